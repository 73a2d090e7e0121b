"""`velcodec.repair` writes every intact model to a new archive and reports what is lost."""

from __future__ import annotations

import io
import json
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from builders import records_apart
from checkers import layered
from hypothesis import given, settings
from hypothesis import strategies as st
from paths import GOLDEN

import velcodec
from velcodec.archive.repair import Repaired
from velcodec.formats.container.header import Layout
from velcodec.formats.container.journal import part_of
from velcodec.formats.container.reader import VlatReader
from velcodec.formats.container.sections import DIRECTORY, HEADER
from velcodec.formats.container.writer import VlatWriter
from velcodec.formats.errors import (
    InputFileError,
    OptionError,
    OutputExistsError,
    RepairError,
    UnknownFeatureError,
    VersionError,
)

MODELS = layered(24, 12, 10)
KEYS = [f"model {i}" for i in range(len(MODELS))]


def made(*, keys: bool = True) -> bytes:
    """An archive of the models as samples, each in a block of its own, in pages of six."""
    stream = io.BytesIO()
    with (
        VlatReader(velcodec.compress(MODELS, lossless=True, keys=KEYS if keys else None)) as reader,
        records_apart(),
    ):
        writer = VlatWriter(stream, reader.header)
        for i in range(len(reader)):
            about = reader.fields_of([i])[0] | {"line": i}
            writer.add(
                reader.payload(i),
                KEYS[i] if keys else None,
                None if reader.quality is None else reader.quality[i],
                about,
            )
            if i % 6 == 5:
                writer.end_page()
        writer.close()
    return stream.getvalue()


WHOLE = made()


def span(data: bytes, number: int) -> tuple[int, int]:
    """Where the block of a record begins and ends."""
    block = VlatReader(data).locate(number)
    return block.at, block.at + block.size


def spoilt(data: bytes, at: int, end: int) -> bytes:
    return data[:at] + np.random.default_rng(at).bytes(end - at) + data[end:]


def repaired(data: bytes, folder: Path, **options: bool) -> tuple[Repaired, Path]:
    (folder / "broken.vlat").write_bytes(data)
    target = folder / "saved.vlat"
    return velcodec.repair(folder / "broken.vlat", target, force=True, **options), target


def check(target: Path) -> list[int]:
    """Check that every saved model is an original one, bit for bit; return their numbers."""
    with velcodec.open(target) as archive:
        found = []
        for i, key in enumerate(archive.keys):
            kind, _, number = key.rpartition(" " if " " in key else "#")
            n = int(number)
            assert kind in {"model", ""}
            assert archive[i].tobytes() == MODELS[n].tobytes()
            if kind:
                assert archive.metadata(i)["line"] == n
            found.append(n)
        return found


def test_an_intact_archive_is_copied_completely(tmp_path: Path) -> None:
    result, target = repaired(WHOLE, tmp_path)
    assert (result.saved, result.whole, result.damaged_bytes) == (24, True, 0)
    assert check(target) == list(range(24))
    with VlatReader(WHOLE) as before, VlatReader(target) as after:
        assert after.headers() == before.headers()
        assert np.array_equal(after.quality_codes, before.quality_codes)
        assert {n: list(c) for n, c in after.fields.items()} == {
            n: list(c) for n, c in before.fields.items()
        }


def test_the_damaged_archive_is_not_changed(tmp_path: Path) -> None:
    data = spoilt(WHOLE, *span(WHOLE, 3))
    repaired(data, tmp_path)
    assert (tmp_path / "broken.vlat").read_bytes() == data


def test_only_the_damaged_record_is_lost_and_reported(tmp_path: Path) -> None:
    result, target = repaired(spoilt(WHOLE, *span(WHOLE, 3)), tmp_path)
    assert check(target) == [i for i in range(24) if i != 3]
    assert (result.lost, result.lost_models, result.without_index) == (((3, 4),), 1, 0)


@pytest.mark.parametrize("cut", [0.3, 0.6, 0.9, 0.98])
def test_a_truncated_archive_gives_every_model_before_the_cut(tmp_path: Path, cut: float) -> None:
    at = int(cut * len(WHOLE))
    result, target = repaired(WHOLE[:at], tmp_path)
    assert check(target) == [i for i in range(24) if span(WHOLE, i)[1] <= at]
    assert not result.whole
    assert result.uncounted == ("broken.vlat",)


def test_only_a_file_without_its_directory_may_have_lost_more_models(tmp_path: Path) -> None:
    with VlatReader(WHOLE) as reader:
        at = reader.size - len(WHOLE) // 200
    result, _ = repaired(WHOLE[:at], tmp_path)
    assert (result.saved, result.lost) == (24, ())
    assert (result.uncounted, result.whole) == (("broken.vlat",), False)
    assert repaired(WHOLE, tmp_path)[0].uncounted == ()


def test_models_with_a_lost_page_get_their_numbers_as_keys(tmp_path: Path) -> None:
    page = VlatReader(WHOLE).directory.pages[1].place
    result, target = repaired(spoilt(WHOLE, page.at, page.at + page.size), tmp_path)
    assert check(target) == list(range(24))
    assert result.without_index == 6
    assert list(velcodec.open(target).keys[5:13]) == [
        "model 5", "#6", "#7", "#8", "#9", "#10", "#11", "model 12",
    ]  # fmt: skip


def test_a_number_that_is_already_a_key_gets_a_mark(tmp_path: Path) -> None:
    """If two models would get one key, the later one gets a mark."""
    stream = io.BytesIO()
    with VlatReader(WHOLE) as reader:
        writer = VlatWriter(stream, reader.header)
        for number, key in enumerate(["#2", "b", "c"]):
            writer.add(reader.payload(number), key)
            writer.end_page()
    writer.close()
    data = stream.getvalue()
    page = VlatReader(data).directory.pages[2].place
    result, target = repaired(spoilt(data, page.at, page.at + page.size), tmp_path)
    assert result.without_index == 1
    assert list(velcodec.open(target).keys) == ["#2", "b", "#2'"]


def test_models_without_keys_keep_their_numbers_as_keys_if_some_are_lost(
    tmp_path: Path,
) -> None:
    data = made(keys=False)
    result, target = repaired(spoilt(data, *span(data, 2)), tmp_path)
    assert result.saved == 23
    with velcodec.open(target) as archive:
        assert list(archive.keys) == [str(i) for i in range(24) if i != 2]
        assert np.array_equal(archive["7"], MODELS[7])


def test_an_unfinished_archive_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    at, _ = span(WHOLE, 20)
    part = part_of(tmp_path / "models.vlat")
    part.write_bytes(WHOLE[: at + 5])
    result = velcodec.repair(part, tmp_path / "saved.vlat")
    assert result.saved == 20


def test_ancillary_sections_in_the_directory_are_kept(tmp_path: Path) -> None:
    source = (GOLDEN / "metadata" / "ancillary.vlat").read_bytes()
    _, target = repaired(source, tmp_path)
    with VlatReader(source) as before, VlatReader(target) as after:
        assert before.ancillary()
        assert sorted(after.ancillary()) == sorted(set(before.ancillary()))
        assert after.header.extra == before.header.extra


def test_the_embedded_decoder_is_kept(tmp_path: Path) -> None:
    source = (GOLDEN / "latents" / "embedded.vlat").read_bytes()
    result, target = repaired(source, tmp_path)
    with VlatReader(source) as before, VlatReader(target) as after:
        assert after.embedded_decoders() == before.embedded_decoders()
        assert result.decoders == len(before.embedded_decoders()) > 0


@pytest.mark.parametrize("path", sorted(GOLDEN.rglob("*.vlat")), ids=lambda path: path.stem)
def test_every_archive_of_the_golden_corpus_is_saved_whole(path: Path, tmp_path: Path) -> None:
    with VlatReader(path) as before:
        if not len(before):
            return
        result = velcodec.repair(path, tmp_path / "saved.vlat")
        assert result.whole
        with VlatReader(tmp_path / "saved.vlat") as after:
            assert list(after.payloads()) == list(before.payloads())
            assert after.keys == before.keys
            assert [after.header_of(i) for i in range(len(after))] == [
                before.header_of(i) for i in range(len(before))
            ]


def test_no_model_is_saved_under_a_wrong_header(tmp_path: Path) -> None:
    stream = io.BytesIO()
    first = VlatReader(WHOLE).header
    writer = VlatWriter(stream, first)
    other = replace(first, layouts=(Layout(10, 12),))
    for i in range(12):
        writer.use(first if i < 6 else other)
        writer.add(VlatReader(WHOLE).payload(i))
    writer.close()
    data = stream.getvalue()
    with VlatReader(data) as reader:
        (place,), index = reader.directory.headers, reader.directory.pages[0].place.at
    result, target = repaired(spoilt(data, place.at, place.at + place.size)[:index], tmp_path)
    assert (result.saved, result.whole) == (6, False)
    with VlatReader(target) as saved:
        assert list(saved.payloads()) == [VlatReader(WHOLE).payload(i) for i in range(6)]


# --- folders of shards ---


def shards(folder: Path) -> Path:
    folder.mkdir()
    for path in (GOLDEN / "shards").iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


def test_a_lost_shard_is_reported_and_the_others_are_saved(tmp_path: Path) -> None:
    folder = shards(tmp_path / "models")
    manifest = json.loads((folder / "manifest.json").read_text())
    counts = [shard["models"] for shard in manifest["shards"]]
    (folder / "shard-00001.vlat").unlink()
    result = velcodec.repair(folder, tmp_path / "saved.vlat")
    assert result.lost_files == ("shard-00001.vlat",)
    assert result.lost == ((counts[0], counts[0] + counts[1]),)
    assert result.saved == counts[0] + counts[2]


def test_shards_are_saved_without_a_manifest(tmp_path: Path) -> None:
    folder = shards(tmp_path / "models")
    with velcodec.open(folder) as archive:
        keys, count = list(archive.keys), len(archive)
    (folder / "manifest.json").write_text("{")
    assert velcodec.repair(folder, tmp_path / "saved.vlat").saved == count
    with velcodec.open(tmp_path / "saved.vlat") as archive:
        assert list(archive.keys) == keys


def test_without_a_manifest_a_gap_in_shard_numbers_is_reported(tmp_path: Path) -> None:
    folder = shards(tmp_path / "models")
    with velcodec.open(folder) as archive:
        count = len(archive)
    for name in ("manifest.json", "shard-00001.vlat"):
        (folder / name).unlink()
    result = velcodec.repair(folder, tmp_path / "saved.vlat")
    assert 0 < result.saved < count
    assert (result.lost_files, result.whole) == (("shard-00001.vlat",), False)


def test_the_manifest_gives_the_size_of_a_truncated_shard(tmp_path: Path) -> None:
    folder = shards(tmp_path / "models")
    counts = [s["models"] for s in json.loads((folder / "manifest.json").read_text())["shards"]]
    first = folder / "shard-00000.vlat"
    with VlatReader(first) as reader:
        block = reader.locate(counts[0] - 1)
    first.write_bytes(first.read_bytes()[: block.at])
    result = velcodec.repair(folder, tmp_path / "saved.vlat")
    assert (result.lost, result.uncounted) == (((block.first, counts[0]),), ())
    assert result.saved == sum(counts) - block.count


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RepairError, match="no manifest and no shard"):
        velcodec.repair(tmp_path, tmp_path / "saved.vlat")
    assert not (tmp_path / "saved.vlat").exists()


# --- what is refused ---


def test_an_unsalvageable_archive_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    (tmp_path / "text.vlat").write_bytes(b"no archive at all" * 50)
    with pytest.raises(RepairError, match="it is no archive"):
        velcodec.repair(tmp_path / "text.vlat", tmp_path / "saved.vlat")
    with pytest.raises(InputFileError, match="absent"):
        velcodec.repair(tmp_path / "absent.vlat", tmp_path / "saved.vlat")
    assert {path.name for path in tmp_path.iterdir()} == {"text.vlat"}


def test_the_target_is_another_file_and_replaced_only_with_force(tmp_path: Path) -> None:
    source = tmp_path / "a.vlat"
    source.write_bytes(WHOLE)
    with pytest.raises(OptionError, match="input itself"):
        velcodec.repair(source, source, force=True)
    (tmp_path / "b.vlat").write_bytes(b"kept")
    with pytest.raises(OutputExistsError):
        velcodec.repair(source, tmp_path / "b.vlat")
    assert (tmp_path / "b.vlat").read_bytes() == b"kept"


def test_another_version_is_refused_without_any_version(tmp_path: Path) -> None:
    data = WHOLE[:8] + b"\x03" + WHOLE[9:]
    with pytest.raises(VersionError, match="found 3, expected 1"):
        repaired(data, tmp_path)
    result, target = repaired(data, tmp_path, any_version=True)
    assert check(target) == list(range(24))
    assert result.saved == 24


def test_features_of_later_versions_are_refused_rather_than_dropped(
    tmp_path: Path,
) -> None:
    stream = io.BytesIO()
    writer = VlatWriter(stream, VlatReader(WHOLE).header)
    writer.add(VlatReader(WHOLE).payload(0))
    place = writer._section(b"X", b"new")
    writer._others.append((b"X", place))
    writer.close()
    with pytest.raises(UnknownFeatureError, match="section b'X'"):
        repaired(stream.getvalue(), tmp_path)


# --- any damage ---

LAST_OF_HEADER = span(WHOLE, 0)[0]
INDEX_AT = VlatReader(WHOLE).directory.pages[0].place.at
DAMAGES = st.lists(
    st.tuples(
        st.integers(LAST_OF_HEADER, len(WHOLE) - 1),
        st.integers(1, 300),
        st.binary(min_size=1, max_size=40),
    ),
    max_size=5,
)


@settings(deadline=None, max_examples=80, derandomize=True)
@given(DAMAGES)
def test_every_model_outside_the_damage_is_saved_exactly(
    damages: list[tuple[int, int, bytes]],
) -> None:
    """Holds if its index or the next model is undamaged too."""
    data, hit = bytearray(WHOLE), np.zeros(len(WHOLE), bool)
    for at, size, new in damages:
        piece = (new * size)[:size][: len(data) - at]
        data[at : at + len(piece)] = piece
        hit[at : at + len(piece)] = True
    spots = [span(WHOLE, i) for i in range(24)]
    outside = {i for i, (at, end) in enumerate(spots) if not hit[at:end].any()}
    pages = VlatReader(WHOLE).directory.pages
    directory = WHOLE.rindex(b"\x00" + DIRECTORY)
    with tempfile.TemporaryDirectory() as folder:
        try:
            _, target = repaired(bytes(data), Path(folder))
        except RepairError:
            assert not outside
            return
        found = set(check(target))
        assert found <= set(range(24))
        for i in outside:
            page = pages[i // 6].place
            if not (hit[page.at : page.at + page.size].any() or hit[directory:].any()):
                assert i in found
        assert {i for i in outside if i + 1 in outside} <= found


def test_only_the_first_header_is_indispensable(tmp_path: Path) -> None:
    at = WHOLE.index(b"\x00" + HEADER)
    with pytest.raises(RepairError, match="first header is damaged"):
        repaired(spoilt(WHOLE, at + 5, at + 20), tmp_path)
