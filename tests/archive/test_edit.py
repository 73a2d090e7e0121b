"""Merging, selecting and splitting archives keeps everything stored about their models."""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builders import records_apart
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich_archives import SECTION, rich_archive

import velcodec
from velcodec.archive.edit import KEY_MODES
from velcodec.decoder import Decoder, read_decoder
from velcodec.decoder.registry import HOME_VARIABLE
from velcodec.formats.container.header import Layout
from velcodec.formats.container.shards import MANIFEST
from velcodec.formats.errors import (
    CorruptError,
    DamagedEndError,
    KeyNotFoundError,
    OptionError,
    OutputExistsError,
)


@pytest.fixture
def first(tiny: Decoder) -> bytes:
    return rich_archive(tiny)


@pytest.fixture
def second(tiny: Decoder) -> bytes:
    return rich_archive(tiny, 5, seed=1, layout=Layout(8, 8), keys=[f"n{i}" for i in range(5)])


def said(archive: velcodec.Archive, number: int) -> tuple[Any, ...]:
    """Everything that an archive stores about a model, except its number."""
    header = archive.header_of(number)
    known = {
        name: value
        for name, value in archive.metadata(number).items()
        if not (value == "" or (isinstance(value, float) and math.isnan(value)))
    }
    measured = archive.quality
    return (
        archive.reader.payload(number),
        archive.keys[number] if archive.has_keys else None,
        known,
        None if measured is None else measured[number],
        archive.layout(number),
        (header.decoder_hash, header.provenance, header.licence, header.coding),
    )


def all_said(data: bytes | Path) -> list[tuple[Any, ...]]:
    with velcodec.open(data) as archive:
        return [said(archive, number) for number in range(len(archive))]


def merged(*sources: Any, **options: Any) -> bytes:
    stream = io.BytesIO()
    made = velcodec.cat(sources, stream, **options)
    assert made.bytes == len(stream.getvalue())
    return stream.getvalue()


def some(source: Any, models: Any) -> bytes:
    stream = io.BytesIO()
    velcodec.subset(source, stream, models)
    return stream.getvalue()


# cat


def test_a_merged_archive_has_every_model_in_order(first: bytes, second: bytes) -> None:
    both = merged(first, second)
    assert all_said(both) == all_said(first) + all_said(second)


def test_merged_models_render_unchanged(first: bytes, second: bytes) -> None:
    with velcodec.open(merged(second, first)) as both, velcodec.open(first) as one:
        assert np.array_equal(both["m3"], one["m3"])
        assert np.array_equal(both.decode([5, 6], 20), one.decode([0, 1], 20))


def test_archives_of_several_decoders_merge(first: bytes, other: Path) -> None:
    decoder = read_decoder(other)
    keys = [f"n{i}" for i in range(3)]
    theirs = rich_archive(decoder, 3, keys=keys, embedded=other.read_bytes())
    with velcodec.open(merged(first, theirs, theirs, keys="first")) as both:
        assert [len(data) for data in both.reader.embedded_decoders()] == [other.stat().st_size]
        with velcodec.open(theirs) as alone:
            assert np.array_equal(both["n1"], alone["n1"])


def test_a_repeated_key_is_refused_before_anything_is_written(first: bytes, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="model 0: key 'm0': found it twice"):
        velcodec.cat([first, first], tmp_path / "both.vlat")
    assert list(tmp_path.iterdir()) == []


def test_keys_first_takes_the_first_model_of_each_key(first: bytes, tiny: Decoder) -> None:
    later = rich_archive(tiny, 4, seed=2, keys=["m1", "x", "m2", "y"])
    stream = io.BytesIO()
    made = velcodec.cat([first, later], stream, keys="first")
    assert (made.models, made.left_out) == (14, 2)
    expected = [*all_said(first), all_said(later)[1], all_said(later)[3]]
    assert all_said(stream.getvalue()) == expected


def test_keys_prefix_puts_archive_names_before_keys(
    first: bytes, tiny: Decoder, tmp_path: Path
) -> None:
    (tmp_path / "north.vlat").write_bytes(first)
    (tmp_path / "south.vlat").write_bytes(rich_archive(tiny, 2, keys=[]))
    names = [tmp_path / "north.vlat", tmp_path / "south.vlat"]
    velcodec.cat(names, tmp_path / "both.vlat", keys="prefix")
    with velcodec.open(tmp_path / "both.vlat") as both:
        assert both.keys[0] == "north/m0"
        assert list(both.keys[12:]) == ["south/0", "south/1"]


def test_keys_drop_uses_numbers(first: bytes) -> None:
    with velcodec.open(merged(first, first, keys="drop")) as both:
        assert not both.has_keys
        assert len(both) == 24


def test_archives_with_and_without_keys_do_not_merge_by_default(
    first: bytes, tiny: Decoder
) -> None:
    without = rich_archive(tiny, 2, keys=[])
    with pytest.raises(OptionError, match="--keys prefix"):
        merged(first, without)
    assert len(all_said(merged(first, without, keys="drop"))) == 14


def test_an_unknown_key_mode_is_refused(first: bytes) -> None:
    with pytest.raises(OptionError, match="'rename'"):
        merged(first, keys="rename")
    assert KEY_MODES == ("keep", "first", "prefix", "drop")


def test_nothing_to_merge_is_refused() -> None:
    with pytest.raises(OptionError, match="archives: found none"):
        merged()


def test_a_target_among_the_sources_is_refused(first: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.vlat"
    path.write_bytes(first)
    for write in (
        lambda: velcodec.cat([first, path], path, keys="drop", force=True),
        lambda: velcodec.subset(path, path, [0], force=True),
    ):
        with pytest.raises(OptionError, match="input itself"):
            write()
    assert path.read_bytes() == first


def test_an_existing_archive_needs_force(first: bytes, tmp_path: Path) -> None:
    path = tmp_path / "there.vlat"
    path.write_bytes(b"something")
    with pytest.raises(OutputExistsError):
        velcodec.subset(first, path, [0])
    assert path.read_bytes() == b"something"
    velcodec.subset(first, path, [0], force=True)
    assert all_said(path) == all_said(first)[:1]


# subset


@pytest.mark.parametrize(
    ("which", "numbers"),
    [
        (slice(2, 9, 3), [2, 5, 8]),
        (slice(None, None, -1), list(range(11, -1, -1))),
        ([7, 0, -1], [7, 0, 11]),
        (["m4", "m1"], [4, 1]),
        (np.arange(12) > 9, [10, 11]),
    ],
    ids=["slice", "backwards", "numbers", "keys", "mask"],
)
def test_a_subset_keeps_the_requested_order(first: bytes, which: Any, numbers: list[int]) -> None:
    everything = all_said(first)
    assert all_said(some(first, which)) == [everything[number] for number in numbers]


def test_a_mask_may_come_from_fields(first: bytes) -> None:
    with velcodec.open(first) as archive:
        kept = some(archive, archive.fields["family"] == "salt")
        assert len(archive) == 12  # it is still open
    with velcodec.open(kept) as salt:
        assert salt.fields["depth_m"].tolist() == [100.0, 300.0, 500.0, 700.0, 900.0, 1100.0]


def test_an_empty_subset_is_refused_and_leaves_no_file(first: bytes, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="found none"):
        velcodec.subset(first, tmp_path / "none.vlat", slice(0, 0))
    assert list(tmp_path.iterdir()) == []


def test_a_missing_key_is_an_error(first: bytes) -> None:
    with pytest.raises(KeyNotFoundError, match="'m12'"):
        some(first, ["m12"])


def test_an_altered_record_is_never_copied(first: bytes, tmp_path: Path) -> None:
    with records_apart():
        velcodec.cat([first], tmp_path / "apart.vlat")
    first = (tmp_path / "apart.vlat").read_bytes()
    (tmp_path / "apart.vlat").unlink()
    with velcodec.open(first) as archive:
        payload = archive.reader.payload(5)
    at = first.index(payload) + len(payload) // 2
    altered = first[:at] + bytes([first[at] ^ 1]) + first[at + 1 :]
    for name, write in (
        ("cat", lambda target: velcodec.cat([altered], target)),
        ("subset", lambda target: velcodec.subset(altered, target, [5])),
        ("split", lambda target: velcodec.split(altered, target, models_per_shard=5)),
    ):
        with pytest.raises(CorruptError, match=r"records? \d.*: checksum"):
            write(tmp_path / name)
    assert list(tmp_path.iterdir()) == []
    assert all_said(some(altered, [4, 6])) == [all_said(first)[i] for i in (4, 6)]


# split


def test_shards_are_archives_and_open_as_one(first: bytes, tmp_path: Path) -> None:
    shards = velcodec.split(first, tmp_path / "shards", models_per_shard=5)
    assert [shard.models for shard in shards] == [5, 5, 2]
    everything = all_said(first)
    assert all_said(tmp_path / "shards") == everything
    assert all_said(tmp_path / "shards" / shards[1].name) == everything[5:10]


def test_merging_shards_restores_the_archive(first: bytes, tmp_path: Path) -> None:
    velcodec.split(first, tmp_path / "shards", models_per_shard=4)
    assert merged(tmp_path / "shards") == first


def test_a_folder_of_shards_can_be_split_anew(first: bytes, tmp_path: Path) -> None:
    velcodec.split(first, tmp_path / "fives", models_per_shard=5)
    shards = velcodec.split(tmp_path / "fives", tmp_path / "sixes", models_per_shard=6)
    assert [shard.models for shard in shards] == [6, 6]
    assert all_said(tmp_path / "sixes") == all_said(first)


def test_a_folder_that_is_not_empty_is_never_replaced(first: bytes, tmp_path: Path) -> None:
    (tmp_path / "own.txt").write_text("mine")
    with pytest.raises(OutputExistsError):
        velcodec.split(first, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["own.txt"]


def test_the_number_of_shards_can_be_chosen(first: bytes, tmp_path: Path) -> None:
    shards = velcodec.split(first, tmp_path / "s", shards=5)
    assert [shard.models for shard in shards] == [2, 2, 3, 2, 3]
    assert all_said(tmp_path / "s") == all_said(first)


@pytest.mark.parametrize(
    ("sizes", "said"),
    [
        ({"models_per_shard": 0}, "models per shard: found 0"),
        ({"shards": 0}, "shards: found 0"),
        ({"shards": 13}, "expected 1 to 12"),
        ({"shards": 2, "models_per_shard": 6}, "found both"),
    ],
)
def test_impossible_shards_are_refused(
    first: bytes, tmp_path: Path, sizes: dict[str, int], said: str
) -> None:
    with pytest.raises(OptionError, match=said):
        velcodec.split(first, tmp_path / "s", **sizes)
    assert list(tmp_path.iterdir()) == []


# What goes with the models


def test_copies_keep_the_embedded_decoder(
    other: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoder = read_decoder(other)
    data = rich_archive(decoder, 6, embedded=other.read_bytes())
    with velcodec.open(data) as archive:
        expected = archive[:]
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "nowhere"))
    velcodec.split(data, tmp_path / "s", models_per_shard=2)
    second_shard = sorted((tmp_path / "s").glob("*.vlat"))[1]
    for made, numbers in (
        (merged(data), range(6)),
        (some(data, [4]), [4]),
        (tmp_path / "s", range(6)),
        (second_shard, [2, 3]),
    ):
        with velcodec.open(made) as archive:
            for model, number in zip(archive, numbers, strict=True):
                assert np.allclose(model, expected[number])  # others are rendered beside it


def test_sections_of_a_later_version_are_kept_each_once(
    first: bytes, tiny: Decoder, tmp_path: Path
) -> None:
    others = [SECTION, (b"y", b"another")]
    later = rich_archive(tiny, 2, keys=["x", "y"], sections=others)
    velcodec.split(later, tmp_path / "s", models_per_shard=1)
    for made, expected in (
        (some(first, [3]), [SECTION]),
        (merged(first, later), others),
        (tmp_path / "s", others),
        (tmp_path / "s" / "shard-00001.vlat", others),
        (merged(tmp_path / "s"), others),
    ):
        with velcodec.open(made) as archive:
            assert archive.reader.ancillary() == expected


def test_progress_counts_models(first: bytes, second: bytes, tmp_path: Path) -> None:
    told: list[tuple[int, int, str]] = []
    merged(first, second, on_progress=lambda *step: told.append(step))
    assert told[-1] == (17, 17, "copy")
    velcodec.split(first, tmp_path / "s", on_progress=lambda *step: told.append(step))
    assert told[-1] == (12, 12, "copy")
    assert (tmp_path / "s" / MANIFEST).exists()


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    st.lists(st.integers(0, 11), min_size=1, max_size=12, unique=True),
    st.integers(1, 13),
)
def test_any_sequence_of_subset_split_and_cat_keeps_every_model(
    first: bytes, tmp_path_factory: pytest.TempPathFactory, numbers: list[int], size: int
) -> None:
    everything = all_said(first)
    folder = tmp_path_factory.mktemp("way") / "s"
    velcodec.split(some(first, numbers), folder, models_per_shard=size)
    assert all_said(merged(folder)) == [everything[number] for number in numbers]


# a last index that is damaged


@pytest.fixture
def damaged(tmp_path: Path) -> Path:
    """An archive of 2 + 10 models; a bit of the index of the addition is flipped."""
    path = tmp_path / "a.vlat"
    models = np.full((12, 9, 8), 2000.0) + np.arange(12)[:, None, None]
    with velcodec.create(path, lossless=True) as archive:
        archive.add(models[:2])
    with velcodec.append(path, lossless=True) as archive:
        archive.add(models[2:])
    data = bytearray(path.read_bytes())
    data[-20] ^= 1
    path.write_bytes(data)
    return path


def test_an_archive_with_a_damaged_last_index_is_refused(damaged: Path, tmp_path: Path) -> None:
    before, model = damaged.read_bytes(), np.full((1, 9, 8), 1500.0)
    target = tmp_path / "out"
    attempts: dict[str, Any] = {
        "cat": lambda **more: velcodec.cat([damaged], target, force=True, **more),
        "subset": lambda **more: velcodec.subset(damaged, target, [0], force=True, **more),
        "subset of an open archive": lambda **more: velcodec.subset(
            velcodec.open(damaged), target, [0], force=True, **more
        ),
        "split": lambda **more: velcodec.split(damaged, tmp_path / "shards", **more),
    }
    for attempt in attempts.values():
        with pytest.raises(DamagedEndError, match=r"a\.vlat: .* 10 intact models .* repair"):
            attempt()
        assert sorted(p.name for p in tmp_path.iterdir() if p.name != "home") == ["a.vlat"]
    with (
        pytest.raises(DamagedEndError, match="10 intact models"),
        velcodec.append(damaged, lossless=True) as archive,
    ):
        archive.add(model)
    assert damaged.read_bytes() == before
    assert velcodec.repair(damaged, target).saved == 12
    for attempt in attempts.values():
        attempt(ignore_rest=True)
    assert len(velcodec.open(tmp_path / "shards")) == 2
    with velcodec.append(damaged, lossless=True, ignore_rest=True) as archive:
        archive.add(model)
    assert len(velcodec.open(damaged)) == 3
