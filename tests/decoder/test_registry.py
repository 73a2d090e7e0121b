"""Decoders are found by name, hash or path, added whole or not at all, and never used altered."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from velcodec.decoder import Decoder, load_decoder, load_encoder, registry
from velcodec.formats.errors import DecoderFileError, MissingDecoderError, OutputExistsError

NAME = "tiny.safetensors"


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
    sibling.write_bytes(b"weights")
    assert registry.add(file).encoder_path.read_bytes() == b"weights"
    assert [entry.name for entry in registry.entries() if entry.place == "user"] == ["tiny"]


def test_the_newest_shipped_decoder_is_the_default(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shipped = tmp_path / "shipped"
    shipped.mkdir()
    for name in ("velcodec-1", "velcodec-3", "velcodec-2"):
        shutil.copy(file, shipped / f"{name}.safetensors")
    monkeypatch.setattr(registry, "shipped_folder", lambda: shipped)
    assert registry.find().path.name == "velcodec-3.safetensors"


def test_every_shipped_decoder_is_whole() -> None:
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


def test_a_missing_decoder_is_told_with_its_hash_name_and_where_to_look(file: Path) -> None:
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


def test_a_path_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(MissingDecoderError, match="not found"):
        registry.find(tmp_path / "no.safetensors")


def test_too_short_a_hash_is_told_how_many_digits_it_needs(file: Path) -> None:
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
