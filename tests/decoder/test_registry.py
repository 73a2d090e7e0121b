"""Decoders are found by name, hash or path, added atomically, and never used if altered."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

from velcodec.decoder import Decoder, load_decoder, load_encoder, registry
from velcodec.formats.decoder_file import read_decoder_file, to_bytes
from velcodec.formats.errors import DecoderFileError, MissingDecoderError, OutputExistsError

NAME = "tiny.safetensors"
ENCODER = save({"weight": np.zeros(3, np.float16)}, {"channels": "1"})


@pytest.fixture
def file(tiny_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the small decoder's file; the user's folder is empty."""
    monkeypatch.setenv(registry.HOME_VARIABLE, str(tmp_path / "home"))
    return Path(shutil.copy(tiny_home / "decoders" / NAME, tmp_path / NAME))


def alter(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(bytes(data))


def test_an_added_decoder_is_found_by_name_hash_and_path(file: Path) -> None:
    added = registry.add(file)
    assert added.place == "user"
    assert added.path == registry.user_folder() / NAME
    hashed = added.identity.hex()
    for wanted in ("tiny", hashed, hashed[:8].upper(), added.identity, added.path, str(file)):
        assert registry.find(wanted).identity == added.identity
    assert "tiny" in [entry.name for entry in registry.entries()]


def test_a_decoder_comes_with_its_encoder(file: Path) -> None:
    sibling = registry.read_entry(file).encoder_path
    sibling.write_bytes(ENCODER)
    assert registry.add(file).encoder_path.read_bytes() == ENCODER
    assert registry.add(registry.user_folder() / NAME).encoder_path.read_bytes() == ENCODER
    assert [entry.name for entry in registry.entries() if entry.place == "user"] == ["tiny"]


def renamed(file: Path, name: str) -> Path:
    """The same decoder by another name, which is no part of its identity."""
    known = read_decoder_file(file)
    path = file.with_name("renamed.safetensors")
    path.write_bytes(to_bytes(replace(known, info={**known.info, "name": name})))
    return path


def test_a_decoder_that_is_called_by_anothers_hash_is_not_taken_for_it(
    file: Path, other: Path
) -> None:
    hashed = registry.add(file).identity.hex()
    registry.add(renamed(other, hashed))
    registry.add(renamed(other, hashed[:8]))
    for wanted in (hashed, hashed[:8]):
        assert registry.find(wanted).identity.hex() == hashed
    assert registry.find(registry.read_entry(other).identity).identity.hex() != hashed


def test_a_name_of_hexadecimal_digits_is_a_name_where_no_hash_begins_so(file: Path) -> None:
    registry.add(renamed(file, "facade"))
    assert registry.find("facade").name == "facade"


@pytest.mark.parametrize("name", ["x.encoder", "a.b.encoder"])
def test_a_decoder_that_is_called_like_an_encoder_is_found(file: Path, name: str) -> None:
    added = registry.add(renamed(file, name))
    assert registry.find(name).path == added.path
    assert registry.find(added.identity).name == name


@pytest.mark.parametrize("kind", ["dangling link", "circle", "folder", "pipe"])
def test_what_is_no_file_in_the_folder_stops_no_decoder(file: Path, kind: str) -> None:
    added = registry.add(file)
    odd = registry.user_folder() / "odd.safetensors"
    if kind == "folder":
        odd.mkdir()
    elif kind == "pipe":
        os.mkfifo(odd)
    else:
        odd.symlink_to("nowhere" if kind == "dangling link" else odd.name)
    assert registry.find(added.identity) == registry.find("tiny") == added
    assert added in registry.entries()
    with pytest.raises(MissingDecoderError, match="decoder 'odd' not found"):
        registry.find("odd")


@pytest.mark.parametrize("content", ["link", "text", "nothing"])
def test_an_encoder_that_is_none_is_refused_and_nothing_is_added(
    file: Path, tmp_path: Path, content: str
) -> None:
    sibling = registry.read_entry(file).encoder_path
    if content == "link":
        (tmp_path / "secret").write_bytes(ENCODER)
        sibling.symlink_to(tmp_path / "secret")
    else:
        sibling.write_bytes(b"weights" if content == "text" else b"")
    with pytest.raises(DecoderFileError, match=r"tiny\.encoder\.safetensors: encoder file: "):
        registry.add(file)
    assert not registry.user_folder().exists()


def test_the_newest_shipped_decoder_is_the_default(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shipped = tmp_path / "shipped"
    shipped.mkdir()
    for name in ("velcodec-1", "velcodec-3", "velcodec-2"):
        shutil.copy(file, shipped / f"{name}.safetensors")
    monkeypatch.setattr(registry, "shipped_folder", lambda: shipped)
    assert registry.find().path.name == "velcodec-3.safetensors"


def test_every_shipped_decoder_is_intact() -> None:
    shipped = [entry for entry in registry.entries() if entry.place == "shipped"]
    assert "velcodec-2" in {entry.name for entry in shipped}
    assert all(entry.path.stat().st_size < 2_000_000 for entry in shipped)
    default = registry.find()
    assert load_encoder(load_decoder(default.path)) is not None


def test_adding_twice_changes_nothing(file: Path) -> None:
    assert registry.add(file) == registry.add(file)


def test_another_decoder_of_the_same_name_needs_force(file: Path) -> None:
    added = registry.add(file)
    added.path.write_bytes(b"something else")
    with pytest.raises(OutputExistsError, match="another decoder"):
        registry.add(file)
    assert registry.add(file, force=True).identity == added.identity


def test_an_altered_file_is_refused_and_leaves_nothing(file: Path) -> None:
    alter(file)
    with pytest.raises(DecoderFileError):
        registry.add(file)
    assert not list(registry.user_folder().glob("*"))


def test_an_altered_file_in_the_folder_is_never_found(file: Path) -> None:
    added = registry.add(file)
    alter(added.path)
    with pytest.raises(DecoderFileError):
        registry.find("tiny")
    with pytest.raises(MissingDecoderError):
        registry.find(added.identity)


def test_the_error_for_a_missing_decoder_names_its_hash_name_and_where_to_look(file: Path) -> None:
    with pytest.raises(MissingDecoderError) as caught:
        registry.find_for_archive(b"\xab" * 32, "basin")
    message = str(caught.value)
    assert "ab" * 32 in message
    assert "'basin'" in message
    assert str(registry.user_folder()) in message
    assert "decoder add" in message


def test_an_explicit_decoder_of_another_hash_is_refused(file: Path) -> None:
    with pytest.raises(MissingDecoderError, match="the archive needs 'basin'"):
        registry.find_for_archive(b"\xab" * 32, "basin", file)


def test_the_error_for_a_missing_path_names_it(tmp_path: Path) -> None:
    with pytest.raises(MissingDecoderError, match="not found"):
        registry.find(tmp_path / "no.safetensors")


def test_the_error_for_a_short_hash_says_how_many_digits_it_needs(file: Path) -> None:
    identity = registry.add(file).identity.hex()
    assert registry.find(identity[:6]).name == "tiny"
    with pytest.raises(MissingDecoderError, match=f"'{identity[:4]}'.* needs 6 digits or more"):
        registry.find(identity[:4])
    with pytest.raises(MissingDecoderError) as other:
        registry.find("tin")
    assert "digits" not in str(other.value)


def test_the_users_folder_follows_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(registry.HOME_VARIABLE, str(tmp_path))
    assert registry.user_folder() == tmp_path / "decoders"
    monkeypatch.delenv(registry.HOME_VARIABLE)
    assert registry.user_folder().name == "decoders"


def test_an_entry_prints_as_plain_values(tiny: Decoder, tiny_home: Path) -> None:
    assert tiny.identity is not None
    printed = registry.find("tiny").to_dict()
    assert printed["hash"] == tiny.identity.hex()
    assert printed["place"] == "user"
    assert printed["bytes"] == (tiny_home / "decoders" / NAME).stat().st_size
