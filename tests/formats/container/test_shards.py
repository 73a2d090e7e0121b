"""A folder of archives with a manifest reads as one archive, and as nothing else."""

from __future__ import annotations

import gc
import json
import os
import resource
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builders import archive, decoder_bytes, header, stamp_of

from velcodec.archive.edit import split
from velcodec.formats.container import budget
from velcodec.formats.container.append import append_to
from velcodec.formats.container.header import Layout
from velcodec.formats.container.integrity import check_every_byte
from velcodec.formats.container.quality import StoredQuality
from velcodec.formats.container.reader import VlatReader
from velcodec.formats.container.shards import (
    FORMAT,
    MANIFEST,
    SHARDS_OPEN,
    Shard,
    ShardedReader,
    is_sharded,
    open_reader,
    shard_name,
    write_manifest,
)
from velcodec.formats.container.writer import VlatWriter
from velcodec.formats.errors import (
    CorruptError,
    InputFileError,
    KeyNotFoundError,
    NotVlatError,
    OutputExistsError,
    VelcodecError,
    VersionError,
)
from velcodec.formats.storage.safe_read import private_bytes

OTHER = header(decoder_name="other", layouts=(Layout(5, 6),))
GOOD = StoredQuality(35.0, 1.0, 256.0, 1.0)


def put(path: Path, payloads: Sequence[bytes], **about: Any) -> Shard:
    """Write a shard. Returns its entry in the manifest."""
    data = archive(payloads, **about)
    path.write_bytes(data)
    return Shard(path.name, len(payloads), len(data), stamp_of(data).hex())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three shards of 2, 1 and 3 models; the second has another header, quality and a field."""
    first = put(tmp_path / shard_name(0), [b"a", b"b"], keys=["k0", "k1"])
    with (tmp_path / shard_name(1)).open("wb") as stream:
        writer = VlatWriter(stream, OTHER, decoder=decoder_bytes())
        writer.add(b"c", "k2", GOOD, {"depth": 7, "site": "north"})
        writer.close()
    second = Shard(shard_name(1), 1, (tmp_path / shard_name(1)).stat().st_size)
    third = put(tmp_path / shard_name(2), [b"d", b"e", b"f"], keys=["k3", "k4", "k5"])
    write_manifest(tmp_path, [first, second, third])
    return tmp_path


def altered(folder: Path, **values: Any) -> Path:
    """The folder with an altered manifest; values of None are left out."""
    data = json.loads((folder / MANIFEST).read_text()) | values
    data = {key: value for key, value in data.items() if value is not None}
    (folder / MANIFEST).write_text(json.dumps(data))
    return folder


def test_a_folder_reads_as_one(folder: Path) -> None:
    assert is_sharded(folder)
    reader = open_reader(folder)
    assert isinstance(reader, ShardedReader)
    assert len(reader) == 6
    assert [reader.payload(i) for i in (5, 0, 2, 3)] == [b"f", b"a", b"c", b"d"]
    assert reader.header == header()
    assert [reader.header_of(i).decoder_name for i in range(4)] == ["tiny", "tiny", "other", "tiny"]
    assert len({reader.header_number(i) for i in range(6)}) == 3
    assert reader.has_keys
    assert reader.keys == tuple(f"k{i}" for i in range(6))
    assert reader.key_index("k4") == 4
    assert reader.lengths.tolist() == [1] * 6
    assert reader.size == sum(path.stat().st_size for path in folder.glob("*.vlat"))
    assert reader.unfinished == 0
    assert len(reader.embedded_decoders()) == 1
    reader.close()


def test_columns_that_some_shards_lack_are_unknown_there(folder: Path) -> None:
    reader = ShardedReader(folder)
    assert reader.quality is not None
    assert reader.quality[2] == GOOD
    assert reader.quality[0].psnr_db == 0.0
    depth = reader.fields["depth"]
    assert depth[2] == 7
    assert np.isnan(depth[[0, 1, 3, 4, 5]]).all()
    assert reader.fields["site"].tolist() == ["", "", "north", "", "", ""]
    assert reader.fields_of([0, 2]) == [{}, {"depth": 7, "site": "north"}]
    assert reader.columns_of([3, 5]).keys == ["k3", "k5"]
    with pytest.raises(KeyNotFoundError, match="'k6'"):
        reader.key_index("k6")
    for number in (-1, 6):
        with pytest.raises(KeyNotFoundError, match="expected 0 to 5"):
            reader.payload(number)


def test_numbers_are_the_keys_if_there_are_no_others(tmp_path: Path) -> None:
    write_manifest(tmp_path, [put(tmp_path / shard_name(i), [b"%d" % i]) for i in range(3)])
    reader = ShardedReader(tmp_path)
    assert reader.keys is None
    assert reader.key_index("2") == 2
    assert reader.quality is None
    assert reader.fields == {}
    with pytest.raises(KeyNotFoundError):
        reader.key_index("3")


def test_an_empty_shard_is_skipped(tmp_path: Path) -> None:
    names = [shard_name(i) for i in range(3)]
    shards = [put(tmp_path / name, own) for name, own in zip(names, ([], [b"a"], []), strict=True)]
    write_manifest(tmp_path, shards)
    reader = ShardedReader(tmp_path)
    assert (len(reader), reader.payload(0)) == (1, b"a")


def test_keys_for_some_shards_only_are_refused(tmp_path: Path) -> None:
    shards = [
        put(tmp_path / shard_name(0), [b"a"], keys=["a"]),
        put(tmp_path / shard_name(1), [b"b"]),
    ]
    write_manifest(tmp_path, shards)
    with pytest.raises(CorruptError, match="keys for some"):
        _ = ShardedReader(tmp_path).keys


def test_a_key_in_two_shards_is_refused(tmp_path: Path) -> None:
    shards = [put(tmp_path / shard_name(i), [b"a"], keys=["same"]) for i in range(2)]
    write_manifest(tmp_path, shards)
    with pytest.raises(CorruptError, match="'same'"):
        ShardedReader(tmp_path).key_index("same")


# --- manifests ------------------------------------------------------------------------------------

NAMES = [
    "../shard.vlat",
    "sub/shard.vlat",
    "/etc/shard.vlat",
    "sub\\shard.vlat",
    "..vlat",
    ".hidden.vlat",
    "shard.npy",
    "s3://bucket/shard.vlat",
    "shard.vlat\n",
    "",
    "x" * 300 + ".vlat",
    7,
    None,
]


@pytest.mark.parametrize("name", NAMES, ids=repr)
def test_only_files_beside_the_manifest_are_shards(folder: Path, name: object) -> None:
    altered(folder, models=2, shards=[{"name": name, "models": 2, "bytes": 100}])
    with pytest.raises(CorruptError, match="shard: found name"):
        ShardedReader(folder)


def test_a_name_twice_is_refused(folder: Path) -> None:
    row = {"name": shard_name(0), "models": 2, "bytes": 100}
    with pytest.raises(CorruptError, match="found 1 names for 2 shards"):
        ShardedReader(altered(folder, models=4, shards=[row, row]))


ROW = {"name": shard_name(0), "models": 2, "bytes": 100}
ODD: dict[str, dict[str, Any]] = {
    "no shards": {"shards": [], "models": 0},
    "shards of nothing": {"shards": None},
    "no format": {"format": None},
    "another number of models": {"models": 7},
    "a text for models": {"models": "6"},
    "a true count": {"shards": [ROW | {"models": True}], "models": 1},
    "a negative count": {"shards": [ROW | {"models": -1}], "models": -1},
    "a fraction": {"shards": [ROW | {"models": 2.0}], "models": 2},
    "a huge count": {"shards": [ROW | {"models": 1 << 63}], "models": 1 << 63},
    "a shard that is a text": {"shards": ["shard.vlat"]},
    "a shard without bytes": {"shards": [{"name": "a.vlat", "models": 1}]},
    "shards that are a number": {"shards": 5},
    "a stamp that is a number": {"shards": [ROW | {"stamp": 5}], "models": 2},
    "a stamp of other digits": {"shards": [ROW | {"stamp": "0123456G"}], "models": 2},
    "a stamp that is too short": {"shards": [ROW | {"stamp": "0123456"}], "models": 2},
}


@pytest.mark.parametrize("case", ODD)
def test_an_impossible_manifest_is_refused(folder: Path, case: str) -> None:
    with pytest.raises(CorruptError, match=str(folder)):
        ShardedReader(altered(folder, **ODD[case]))


@pytest.mark.parametrize(
    "text", ["", "[]", "{", "null", "[" * 100_000, '{"format": 1e999}', "\xff"]
)
def test_a_file_that_is_not_a_manifest_is_refused(folder: Path, text: str) -> None:
    (folder / MANIFEST).write_bytes(text.encode("latin-1"))
    with pytest.raises(VelcodecError, match=MANIFEST):
        ShardedReader(folder)


def test_an_unknown_format_is_refused_with_its_name(folder: Path) -> None:
    with pytest.raises(VersionError, match=f"found 'velcodec-shards-9', expected '{FORMAT}'"):
        ShardedReader(altered(folder, format="velcodec-shards-9"))


def test_a_shard_with_another_number_of_models_is_refused(folder: Path) -> None:
    with append_to(folder / shard_name(2)) as writer:
        writer.add(b"g", "k6")
    reader = ShardedReader(folder)
    assert reader.payload(0) == b"a"
    with pytest.raises(CorruptError, match=r"shard-00002\.vlat: found 4 models, expected 3"):
        reader.payload(4)


@pytest.mark.parametrize("how", ["exchanged", "duplicated"])
def test_swapped_shards_of_equal_size_are_refused(tmp_path: Path, how: str) -> None:
    paths = [tmp_path / shard_name(number) for number in range(2)]
    shards = [put(path, [b"%d" % i, b"x"]) for i, path in enumerate(paths)]
    assert shards[0].bytes == shards[1].bytes
    write_manifest(tmp_path, shards)
    assert list(map(ShardedReader(tmp_path).payload, range(4))) == [b"0", b"x", b"1", b"x"]
    first, second = (path.read_bytes() for path in paths)
    paths[1].write_bytes(first)
    if how == "exchanged":
        paths[0].write_bytes(second)
    with pytest.raises(CorruptError, match=r"shard-00001\.vlat: found [0-9a-f]{8} as its stamp"):
        ShardedReader(tmp_path).payload(2)
    with pytest.raises(CorruptError, match=r"shard-0000[01]\.vlat: found [0-9a-f]{8} as its stamp"):
        check_every_byte(ShardedReader(tmp_path))


def test_a_manifest_without_stamps_is_read(folder: Path) -> None:
    data = json.loads((folder / MANIFEST).read_text())
    shards = [{k: v for k, v in row.items() if k != "stamp"} for row in data["shards"]]
    assert ShardedReader(altered(folder, shards=shards)).payload(2) == b"c"


def test_shards_are_split_with_their_stamps(tmp_path: Path) -> None:
    (tmp_path / "a.vlat").write_bytes(archive([b"a", b"b"]))
    split(tmp_path / "a.vlat", tmp_path / "shards", models_per_shard=1)
    rows = json.loads((tmp_path / "shards" / MANIFEST).read_text())["shards"]
    files = [tmp_path / "shards" / row["name"] for row in rows]
    assert [row["stamp"] for row in rows] == [stamp_of(path.read_bytes()).hex() for path in files]
    assert rows[0]["stamp"] != rows[1]["stamp"]


def test_a_missing_or_damaged_shard_is_named(folder: Path) -> None:
    (folder / shard_name(1)).unlink()
    (folder / shard_name(2)).write_bytes(b"PK\x03\x04")
    reader = ShardedReader(folder)
    assert reader.payload(1) == b"b"
    with pytest.raises(InputFileError, match=r"shard-00001\.vlat: No such file"):
        reader.payload(2)
    with pytest.raises(NotVlatError, match=r"shard-00002\.vlat"):
        reader.payload(3)


@pytest.mark.parametrize("name", [MANIFEST, shard_name(1)])
def test_a_pipe_in_place_of_a_file_is_refused_without_waiting(folder: Path, name: str) -> None:
    (folder / name).unlink()
    os.mkfifo(folder / name)
    with pytest.raises(InputFileError, match=f"{name}: is a pipe, expected a regular file"):
        ShardedReader(folder).payload(2)
    with pytest.raises(InputFileError, match=f"{name}: is a pipe"):
        private_bytes(folder / name)


def test_a_folder_without_a_manifest_is_not_an_archive(tmp_path: Path) -> None:
    put(tmp_path / shard_name(0), [b"a"])
    assert not is_sharded(tmp_path)
    with pytest.raises(InputFileError, match=f"is a folder without {MANIFEST}"):
        open_reader(tmp_path)
    with pytest.raises(InputFileError):
        ShardedReader(tmp_path)


def test_a_manifest_is_not_replaced_without_force(folder: Path) -> None:
    with pytest.raises(OutputExistsError):
        write_manifest(folder, [])


def test_a_file_reads_as_a_file(folder: Path) -> None:
    assert isinstance(open_reader(folder / shard_name(0)), VlatReader)


def open_in(folder: Path) -> list[str]:
    """The files of a folder that this process has open."""
    paths = []
    for number in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):  # that of the listing itself
            paths.append(os.readlink(f"/proc/self/fd/{number}"))
    return [path for path in paths if path.startswith(f"{folder}/")]


def test_open_files_are_bounded(tmp_path: Path) -> None:
    count = SHARDS_OPEN + 40
    shards = [put(tmp_path / shard_name(i), [b"%d" % i], keys=[f"k{i}"]) for i in range(count)]
    write_manifest(tmp_path, shards)
    gc.collect()  # close what earlier tests left behind
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = max(map(int, os.listdir("/proc/self/fd"))) + 1 + SHARDS_OPEN + 8
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, limits[1]))
    try:
        check_every_shard(tmp_path, count)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert open_in(tmp_path) == []


def check_every_shard(tmp_path: Path, count: int) -> None:
    reader = ShardedReader(tmp_path)
    assert reader.keys == tuple(f"k{i}" for i in range(count))
    assert reader.lengths.sum() == sum(len(str(i)) for i in range(count))
    assert len(reader.headers()) == count
    assert reader.embedded_decoders() == []
    assert reader.unfinished == 0
    for i in (0, count - 1, 5):
        assert reader.payload(i) == b"%d" % i
    reader.close()


def test_columns_of_all_shards_share_one_budget(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(budget, "FREE_BYTES", 60_000)
    monkeypatch.setattr(budget, "BYTES_OF_BYTE", 0)
    shards = []
    for number in range(3):
        path = tmp_path / shard_name(number)
        with path.open("wb") as stream:
            writer = VlatWriter(stream, header())
            keys = [f"{number}-{i}" for i in range(500)]
            writer.add_many([b"a"] * 500, keys, fields={"line": [1.5] * 500, "text": ["t"] * 500})
            writer.close()
        shards.append(Shard(path.name, 500, path.stat().st_size))
    write_manifest(tmp_path, shards[:1])
    one = ShardedReader(tmp_path)
    assert len(one.keys or ()) == len(one.fields["text"]) == 500
    (tmp_path / MANIFEST).unlink()
    write_manifest(tmp_path, shards)
    every = ShardedReader(tmp_path)
    with pytest.raises(CorruptError, match="keys or fields that unpack to"):
        _ = every.keys
    monkeypatch.setattr(budget, "FREE_BYTES", 20_000)
    with pytest.raises(CorruptError, match="keys or fields that unpack to"):
        _ = every.fields
    assert every.fields_of([1400]) == [{"line": 1.5, "text": "t"}]
