"""Absent samples of volumes come back in their places, brick by brick, and promises hold for the
others.
"""

from __future__ import annotations

import io
import json
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from volumes import folded_volume, reads_of, smooth_volume

import velcodec
from velcodec.archive.listing import rows_of
from velcodec.cli.main import main
from velcodec.decode.volumes import open_volume
from velcodec.encode import volume_coder as encoding
from velcodec.encode.description import Description
from velcodec.files.boxes import decompress_box
from velcodec.files.compress import compress_files
from velcodec.files.decompress import decompress_file
from velcodec.formats.container.reader import VlatReader
from velcodec.formats.container.writer import VlatWriter
from velcodec.formats.errors import (
    CorruptError,
    EmptyInputError,
    NoDataError,
    NonFiniteError,
    OptionError,
)
from velcodec.formats.files import open_models
from velcodec.formats.no_data import find_absent, no_data_value
from velcodec.formats.sample_coding.absent_mask import decode_absent, encode_absent
from velcodec.formats.volume_coding.stream import Bricks, pack_volume, read_table

SMALL_BRICKS = (8, 8, 8)
SHAPE = (20, 25, 30)

VALUES = [("<f4", "nan"), (">f8", "nan"), ("<f4", -9999), ("<i2", -9999), ("|u1", 0)]

PROMISES: dict[str, dict[str, Any]] = {
    "35 dB": {"psnr": 35.0},
    "a bound": {"max_error": 12.0},
    "bit for bit": {"lossless": True},
    "a size": {"bytes_per_model": 4000.0},
}


@pytest.fixture(autouse=True)
def small_bricks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoding, "BRICK", SMALL_BRICKS)


def gone_of() -> np.ndarray:
    """Absent samples: a topography that leaves some bricks empty, and a hole in another brick."""
    y, x = np.mgrid[: SHAPE[1], : SHAPE[2]]
    height = 7 + np.rint(4 * np.sin(x / 5) + 3 * np.cos(y / 6)).astype(int)
    gone = np.arange(SHAPE[0])[:, None, None] < height
    gone[17:19, 4:6, 10:13] = True
    return gone


def masked(dtype: str = "<f4", no_data: Any = "nan", kind: str = "folded") -> np.ndarray:
    volume = (folded_volume if kind == "folded" else smooth_volume)(*SHAPE)
    scaled = volume / 32 if dtype == "|u1" else volume
    array = scaled.astype(dtype)
    array[gone_of()] = no_data_value(no_data, np.dtype(dtype))
    return array


def test_the_field_below_an_empty_brick_is_that_of_the_ground() -> None:
    """Ground begins where empty bricks end: their values must not show below it."""
    z = np.arange(24)[:, None, None]
    whole = np.broadcast_to(2000.0 + 50.0 * z, (24, 16, 16)).astype(np.float32)
    ground = whole.copy()
    ground[:8] = np.nan
    ground[20:, 8:] = 4000.0  # a wider range, so that the least value is far from the ground's
    ground[20:, :8] = 500.0
    with compressed(ground, max_error=1.0, mask="nan") as archive:
        fine = archive.decode(0, (48, 16, 16))
        assert np.isnan(fine[:16]).all()
        assert (
            np.abs(fine[16:24] - (2000.0 + 25.0 * (np.arange(16, 24) - 0.5))[:, None, None]).max()
            < 60.0
        )
        stored = open_volume(archive.reader, 0)
        assert stored.table.absent[0] == 8 * 8 * 8


def compressed(volume: np.ndarray, **options: Any) -> velcodec.Archive:
    return velcodec.open(velcodec.compress(volume, volume=True, **options))


@pytest.mark.parametrize("kind", ["folded", "smooth"])
@pytest.mark.parametrize("promise", PROMISES)
def test_promises_hold_for_present_samples(kind: str, promise: str) -> None:
    array, gone, options = masked(kind=kind), gone_of(), PROMISES[promise]
    with compressed(array, mask="nan", **options) as archive:
        found = archive[0]
        assert found.dtype == array.dtype
        assert np.array_equal(np.isnan(found), gone)
        error = np.abs(array.astype(float) - found)[~gone]
        assert error.max() <= options.get("max_error", np.inf)
        psnr = 10 * np.log10(9e6 / max(np.square(error).mean(), 1e-9))
        assert psnr >= options.get("psnr", 0.0)
        assert archive.quality is not None
        assert archive.quality[0].psnr_db == pytest.approx(min(psnr, 100.0), abs=1.0)
        assert archive.quality[0].max_error_m_s >= error.max()
        if "lossless" in options:
            assert found.tobytes() == array.tobytes()
        assert archive.reader.size <= options.get("bytes_per_model", np.inf)


@pytest.mark.parametrize(("dtype", "no_data"), VALUES)
@pytest.mark.parametrize("order", ["zyx", "xzy"])
def test_no_data_values_come_back_bit_for_bit(dtype: str, no_data: Any, order: str) -> None:
    array = masked(dtype, no_data).transpose(["zyx".index(axis) for axis in order])
    with compressed(array, mask=no_data, order=order, lossless=True) as archive:
        assert archive[0].tobytes() == np.ascontiguousarray(array).tobytes()


def test_every_nan_of_a_volume_comes_back_as_the_quiet_nan() -> None:
    array, gone = masked(), gone_of()
    array.view("<u4")[gone] |= 0x80012345
    with compressed(array, mask="nan", lossless=True) as archive:
        assert set(archive[0].view("<u4")[gone].tolist()) == {0x7FC00000}


def test_volumes_too_wide_for_integers_have_absent_samples_too() -> None:
    array = np.random.default_rng(0).uniform(-1, 1, (9, 10, 11)) * 1e30
    array[:, :, 8:] = np.nan
    with compressed(array, mask="nan", lossless=True) as archive:
        assert archive.header.exact is not None
        assert np.array_equal(archive[0], array, equal_nan=True)
        assert np.nanmax(archive.decode(0, res=(18, 20, 22))) <= np.nanmax(array)


def test_a_box_needs_its_own_bricks_alone() -> None:
    array = masked()
    with compressed(array, mask="nan", lossless=True) as archive:
        read = reads_of(archive)
        part = archive.box(0, [(15, 17), slice(None, 4), (0, 4)])
        assert np.array_equal(part, array[15:17, :4, :4], equal_nan=True)
        assert len(read) == 2 + 2  # the edges of bricks, the table, two bricks
        read.clear()
        table = open_volume(archive.reader, 0).table
        empty = int(np.flatnonzero(table.absent == table.bricks.samples)[0])
        read.clear()
        assert np.isnan(archive.box(0, table.bricks.box(empty))).all()
        assert len(read) == 2  # no stream at all


@pytest.mark.parametrize("grid", [(40, 50, 60), (10, 9, 41), (1, 1, 1), SHAPE])
def test_other_grids_follow_the_nearest_sample(grid: tuple[int, int, int]) -> None:
    gone = gone_of()
    places = [
        np.ceil((np.arange(m) + 0.5) * n / m - 1e-9).astype(int) - 1
        for n, m in zip(SHAPE, grid, strict=True)
    ]
    with compressed(masked(), mask="nan", lossless=True) as archive:
        found = archive.decode(0, res=grid)
        assert np.array_equal(np.isnan(found), gone[np.ix_(*places)])
        part = archive.box(0, [(8, 16), (4, 12), (2, 30)], res=(16, 16, 56))
        fine = archive.decode(0, res=(40, 50, 60))
    assert np.array_equal(np.isnan(part), np.isnan(fine[16:32, 8:24, 4:]))
    assert np.allclose(part, fine[16:32, 8:24, 4:], atol=0.02, equal_nan=True)


def test_points_and_slopes_are_nan_where_samples_are_absent() -> None:
    array, gone = masked("<i2", -9999), gone_of()
    z, y, x = (axis.ravel() for axis in np.mgrid[: SHAPE[0] : 3, : SHAPE[1] : 4, : SHAPE[2] : 3])
    with compressed(array, mask=-9999, lossless=True, dx=20, dy=10, dz=5) as archive:
        points = np.stack([20 * x + 3.0, 10.0 * y, 5 * z - 1.0], axis=1)
        values, slopes = archive.sample(0, points), archive.gradient(0, points)
    assert np.array_equal(np.isnan(values), gone[z, y, x])
    assert np.array_equal(np.isnan(slopes), np.stack([gone[z, y, x]] * 3, axis=1))


def test_bricks_with_no_or_only_absent_samples_cost_four_bytes() -> None:
    volume = folded_volume(*SHAPE)
    plain = len(velcodec.compress(volume, volume=True, lossless=True))
    bricks = len(Bricks(SHAPE, SMALL_BRICKS))
    declared = len(velcodec.compress(volume, volume=True, lossless=True, mask="nan"))
    assert declared <= plain + 4 * bricks + 12
    volume[:8] = np.nan
    assert len(velcodec.compress(volume, volume=True, lossless=True, mask="nan")) < declared


def test_the_mask_of_a_brick_takes_about_a_bit_for_each_column() -> None:
    y, x = np.mgrid[:64, :64]
    height = 30 + 9 * np.sin(x / 17) + 7 * np.cos(y / 13)
    absent = np.arange(64)[:, None, None] < height
    stream = encode_absent(absent)
    assert len(stream) < 64 * 64 / 8
    assert np.array_equal(decode_absent(stream, absent.shape), absent)
    assert np.array_equal(decode_absent(encode_absent(absent[:, 3]), (64, 64)), absent[:, 3])


@pytest.mark.parametrize("suffix", ["npy", "npz", "h5", "nc", "zarr", "rsf"])
@pytest.mark.parametrize("no_data", ["nan", -9999])
def test_masked_volumes_of_every_format_round_trip(
    tmp_path: Path, suffix: str, no_data: Any
) -> None:
    array, path = masked("<f4", no_data), tmp_path / f"out.{suffix}"
    with compressed(array, mask=no_data, lossless=True) as archive:
        decompress_file(archive, path)
    models = open_models(path, volume=True, no_data=no_data)
    out = io.BytesIO()
    compress_files(models, out, lossless=True, description=Description(mask=no_data))
    with velcodec.open(out.getvalue()) as archive:
        layout = archive.layout(0)
        found = archive[0].transpose([layout.axes[-3:].index(axis) for axis in "zyx"])
        assert np.array_equal(found, array, equal_nan=True)
        decompress_box(archive, 0, [(2, 17), (1, 5), (3, 11)], tmp_path / f"part.{suffix}")
    (part,) = open_models(tmp_path / f"part.{suffix}", volume=True, no_data=no_data).parts
    assert np.array_equal(part.read(0, 1)[0], array[2:17, 1:5, 3:11], equal_nan=True)
    refusal = NonFiniteError if no_data == "nan" else NoDataError
    with pytest.raises(refusal, match="--mask"):
        open_models(path, volume=True).parts[0].read(0, 1)


def test_unsuitable_masks_of_volumes_are_refused() -> None:
    array = masked()
    with pytest.raises(NonFiniteError, match=r"found nan at index \(0, 0, 0\).*--mask nan"):
        compressed(array)
    with pytest.raises(NonFiniteError, match="found nan"):
        compressed(array, mask=-9999)
    with pytest.raises(NoDataError, match=r"found -9999.0 at index \(0, 0, 0\)"):
        compressed(masked(no_data=-9999))
    with pytest.raises(OptionError, match="lies among the velocities"):
        compressed(folded_volume(*SHAPE), mask=1750)
    with pytest.raises(EmptyInputError, match="model 1: every sample is absent"):
        compressed(np.stack([array, np.full_like(array, np.nan)]), mask="nan")
    array[19, 24, 29] = np.inf
    with pytest.raises(NonFiniteError, match=r"found inf at index \(19, 24, 29\)"):
        compressed(array, mask="nan")


def test_the_commands_keep_and_count_absent_samples(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    array, gone = masked("<i2", -9999), gone_of()
    np.save("in.npy", array)

    def done(*arguments: object) -> str:
        result = CliRunner().invoke(main, [str(each) for each in arguments])
        assert result.exit_code == 0, result.output
        return result.stdout

    done("compress", "in.npy", "a.vlat", "--volume", "--mask=-9999", "--max-error", 5)
    done("verify", "a.vlat", "--against", "in.npy")
    done("decompress", "a.vlat", "out.npy")
    assert np.array_equal(find_absent(np.load("out.npy"), -9999), gone)
    (row,) = json.loads(done("ls", "a.vlat", "--json"))["rows"]
    assert row["absent"] == gone.mean()
    assert f"{100 * gone.mean():.1f} % of all samples, in 1 model" in done("info", "a.vlat")
    section = json.loads(done("info", "a.vlat", "--json"))["layouts"][0]
    assert section["no_data"] == -9999


def test_the_share_of_absent_samples_is_told_without_a_brick(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: Any) -> bytes:
        raise AssertionError("a record was read as a whole")

    with compressed(masked(), mask="nan", lossless=True) as archive:
        table = open_volume(archive.reader, 0).table
        monkeypatch.setattr(VlatReader, "payload", refuse)
        of_reader = VlatReader.payload_part

        def counted(reader: VlatReader, number: int, start: int, size: int) -> bytes:
            assert start + size <= max(table.starts[0], 64)
            return of_reader(reader, number, start, size)

        monkeypatch.setattr(VlatReader, "payload_part", counted)
        share = gone_of().mean()
        assert archive.info()["absent"] == {"models": 1, "share": pytest.approx(share)}
        assert next(rows_of(archive, [0])).absent == share


def reworked(data: bytes, change: Any) -> velcodec.Archive:
    """The archive with `change` made to its record: counts of absent samples, and streams."""
    with VlatReader(data) as reader:
        header, layout = reader.header, reader.header.layouts[0]
        payload = reader.payload(0)
    table = read_table(lambda a, n: payload[a : a + n], layout.shape, "record", masked=True)
    streams = [payload[a:b] for a, b in zip(table.starts, table.starts[1:], strict=False)]
    absent = table.absent.copy()
    change(absent, streams)
    out = io.BytesIO()
    writer = VlatWriter(out, header)
    writer.add(pack_volume(table.domain, table.bricks, streams, absent))
    writer.close()
    return velcodec.open(out.getvalue())


def test_false_masks_are_refused_by_brick() -> None:
    data = velcodec.compress(masked(), volume=True, mask="nan", lossless=True)
    with VlatReader(data) as reader:
        table = open_volume(reader, 0).table
    some = int(np.flatnonzero((table.absent > 0) & (table.absent < table.bricks.samples))[0])

    def one_more(absent: np.ndarray, streams: list[bytes]) -> None:
        absent[some] += 1

    def too_many(absent: np.ndarray, streams: list[bytes]) -> None:
        absent[some] = 513

    def too_long(absent: np.ndarray, streams: list[bytes]) -> None:
        streams[some] = b"\xff\x7f" + streams[some][1:]

    def cut(absent: np.ndarray, streams: list[bytes]) -> None:
        streams[some] = streams[some][:2]

    def complete(absent: np.ndarray, streams: list[bytes]) -> None:
        absent[some] = 0

    for change in (one_more, too_many, too_long, cut, complete):
        with reworked(data, change) as archive, pytest.raises(CorruptError, match=r"brick|absent"):
            archive.decode(0)


def test_counts_of_absent_samples_have_the_checksum_of_the_table() -> None:
    data = velcodec.compress(masked(), volume=True, mask="nan", lossless=True)
    with VlatReader(data) as reader:
        payload = reader.payload(0)
        table = open_volume(reader, 0).table
    at = int(table.starts[0]) - 4 - 4 * len(table.bricks)
    assert struct.unpack_from("<I", payload, at)[0] == table.absent[0]
    assert zlib.crc32(payload[: table.starts[0] - 4]) == int.from_bytes(
        payload[table.starts[0] - 4 : table.starts[0]], "little"
    )
