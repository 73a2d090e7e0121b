"""Damaged and hostile volumes are told as such, and the rest of them is read."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from volumes import folded_volume

import velcodec
from velcodec.archive.repair import DamagedVolume
from velcodec.cli.main import main
from velcodec.encode import volume_coder as encoding
from velcodec.formats.container.integrity import check_every_byte
from velcodec.formats.errors import (
    CorruptError,
    OptionError,
    RepairError,
    TruncatedError,
    VelcodecError,
)
from velcodec.formats.volume_coding.stream import Bricks, pack_volume, read_table


@pytest.fixture
def archive_bytes(monkeypatch: pytest.MonkeyPatch) -> bytes:
    monkeypatch.setattr(encoding, "BRICK", (16, 16, 16))
    return velcodec.compress(folded_volume(), volume=True, lossless=True)


def test_a_flipped_bit_never_goes_unnoticed(archive_bytes: bytes) -> None:
    volume = folded_volume()
    for at in range(0, len(archive_bytes), 5):
        damaged = bytearray(archive_bytes)
        damaged[at] ^= 1 << at % 8
        try:
            with velcodec.open(bytes(damaged)) as archive:
                back = archive[0]
        except VelcodecError:
            continue
        assert np.array_equal(back, volume)


def test_a_damaged_brick_leaves_the_others_readable(archive_bytes: bytes) -> None:
    volume = folded_volume()
    damaged = bytearray(archive_bytes)
    damaged[find_record(archive_bytes).stop - 2] ^= 1  # within the last brick
    with velcodec.open(bytes(damaged)) as archive:
        assert np.array_equal(archive.box(0, [(0, 16), (0, 16), (0, 16)]), volume[:16, :16, :16])
        with pytest.raises(CorruptError, match=r"brick 7: checksum does not match"):
            archive.decode(0)


def find_record(data: bytes) -> slice:
    """Where the payload of the first record lies."""
    with velcodec.open(data) as archive:
        payload = archive.reader.payload(0)
    at = data.index(payload)
    return slice(at, at + len(payload))


def test_a_cut_volume_is_told_as_cut(archive_bytes: bytes) -> None:
    for keep in (0.3, 0.6, 0.9):
        with pytest.raises((TruncatedError, CorruptError)):
            velcodec.open(archive_bytes[: int(keep * len(archive_bytes))])


@pytest.mark.parametrize(
    "edges", [(0, 4, 4), (1, 4, 4), (4, 4, 9), (4, 1 << 40, 4), (2, 8, 8)], ids=str
)
def test_tables_of_impossible_bricks_are_refused(edges: tuple[int, int, int]) -> None:
    good = Bricks((8, 8, 8), (8, 8, 8))
    record = pack_volume(0, good, [b"x"])
    from velcodec.formats.storage.varint import encode_varint

    bad = b"\0" + b"".join(map(encode_varint, edges)) + record[4:]
    with pytest.raises(CorruptError, match="bricks along"):
        read_table(lambda start, size: bad[start : start + size], (8, 8, 8), "record 0")


def test_a_table_of_more_bricks_than_bytes_takes_no_memory() -> None:
    from velcodec.formats.storage.varint import encode_varint

    shape = (1 << 11, 1 << 10, 1 << 10)
    bad = b"\0" + b"".join(encode_varint(8) for _ in range(3)) + bytes(100)
    with pytest.raises(CorruptError):
        read_table(lambda start, size: bad[start : start + size], shape, "record 0")


VOLUME = folded_volume()
LAST = (slice(16, 20), slice(16, 25), slice(16, 30))
"""The samples of brick 7."""


def damaged_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, **options: Any) -> Path:
    """An archive of two volumes and a section; the last brick of volume 1 is damaged."""
    monkeypatch.setattr(encoding, "BRICK", (16, 16, 16))
    path = tmp_path / "bad.vlat"
    stack = np.stack([VOLUME, folded_volume(seed=3)])
    path.write_bytes(velcodec.compress(stack, volume=True, lossless=True, **options))
    with velcodec.append(path, lossless=True) as writer:
        writer.add(VOLUME[:, 0], keys=["c"] if "keys" in options else None)
    data = bytearray(path.read_bytes())
    with velcodec.open(path) as archive:
        payload = archive.reader.payload(1)
    data[data.index(payload) + len(payload) - 2] ^= 1
    path.write_bytes(data)
    return path


def without_last() -> np.ndarray:
    expected = folded_volume(seed=3)
    expected[LAST] = np.nan
    return expected


def test_a_repair_loses_a_volume_with_a_bad_brick_and_tells_how_to_save_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = damaged_file(tmp_path, monkeypatch)
    done = velcodec.repair(bad, tmp_path / "out.vlat")
    assert done.lost == ((1, 2),)
    assert done.damaged_volumes == (DamagedVolume(1, (7,), 8, saved=False),)
    assert not done.whole
    shown = CliRunner().invoke(main, ["repair", str(bad), str(tmp_path / "other.vlat")])
    assert shown.exit_code == 4
    assert "model 1: a volume that --fill=nan saves without 1 brick of 8: 7" in shown.output


@pytest.mark.parametrize("options", [{}, {"keys": ["a", "b"]}, {"mask": "nan"}])
def test_a_filled_repair_keeps_every_other_brick(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]
) -> None:
    bad, out = damaged_file(tmp_path, monkeypatch, **options), tmp_path / "out.vlat"
    done = velcodec.repair(bad, out, fill="nan")
    assert (done.saved, done.lost) == (3, ())
    assert done.damaged_volumes == (DamagedVolume(1, (7,), 8, saved=True),)
    assert not done.whole
    assert done.damaged_bytes > 0
    with velcodec.open(bad) as before, velcodec.open(out) as after:
        assert check_every_byte(after.reader) == []
        assert after.keys == before.keys
        assert np.array_equal(after[0], VOLUME)
        assert np.array_equal(after[1], without_last(), equal_nan=True)
        assert np.array_equal(after[2], VOLUME[:, 0])
        assert after.quality is not None
        assert after.quality[0].psnr_db == 100.0
        assert after.quality[1].psnr_db < 100.0  # not measured
        assert after.info()["absent"]["models"] == 1
        box = tuple((each.start, each.stop) for each in LAST)
        assert np.isnan(after.box(1, box)).all()


def test_a_single_volume_with_a_bad_brick_is_saved_when_asked(
    archive_bytes: bytes, tmp_path: Path
) -> None:
    damaged, bad, out = bytearray(archive_bytes), tmp_path / "bad.vlat", tmp_path / "out.vlat"
    damaged[find_record(archive_bytes).stop - 2] ^= 1
    bad.write_bytes(damaged)
    with pytest.raises(RepairError, match="model 0 is a volume with intact bricks, which --fill"):
        velcodec.repair(bad, out)
    assert not out.exists()
    with pytest.raises(OptionError, match="lies among the velocities"):
        velcodec.repair(bad, out, fill=2000)
    velcodec.repair(bad, out, fill=-1)
    with velcodec.open(out) as archive:
        assert (archive[0][LAST] == -1).all()
        assert archive.layout(0).no_data == -1


def test_info_lists_only_the_kinds_of_models_that_a_filled_repair_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad, out = damaged_file(tmp_path, monkeypatch), tmp_path / "out.vlat"
    velcodec.repair(bad, tmp_path / "filled.vlat", fill="nan")
    velcodec.subset(tmp_path / "filled.vlat", out, [1])
    with velcodec.open(out) as archive:
        (kind,) = archive.info()["layouts"]
        assert (kind["ny"], kind["no_data"]) == (VOLUME.shape[1], "nan")
    shown = CliRunner().invoke(main, ["info", str(out)])
    assert ", kind" not in shown.output
    assert "samples of nan" in shown.output


def test_a_volume_whose_table_is_damaged_is_lost(archive_bytes: bytes, tmp_path: Path) -> None:
    damaged, bad = bytearray(archive_bytes), tmp_path / "bad.vlat"
    damaged[find_record(archive_bytes).start + 6] ^= 1
    bad.write_bytes(damaged)
    with pytest.raises(RepairError, match=r"found no intact model$"):
        velcodec.repair(bad, tmp_path / "out.vlat", fill="nan")


def test_the_commands_name_model_and_brick(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bad = damaged_file(tmp_path, monkeypatch)
    verified = CliRunner().invoke(main, ["verify", str(bad)])
    assert verified.exit_code == CorruptError.exit_code
    found = re.search(r"model 1: 1 brick of 8 damaged: 7 \(box ([0-9:,]+)\); ", verified.output)
    assert found is not None
    copied = CliRunner().invoke(main, ["cat", str(bad), str(tmp_path / "two.vlat")])
    assert copied.exit_code == CorruptError.exit_code
    assert not (tmp_path / "two.vlat").exists()
    with velcodec.open(bad) as archive:
        expected = folded_volume(seed=3)
        assert np.array_equal(archive.box(1, [(0, 16), (0, 25), (0, 30)]), expected[:16])
        assert np.array_equal(archive.section(1, x=3), expected[:, :, 3])
        z, y, x = (tuple(map(int, part.split(":"))) for part in found[1].split(","))
        for harmed in ([z, y, x], [(z[1] - 1, z[1]), (y[0], y[0] + 1), (x[0], x[0] + 1)]):
            with pytest.raises(CorruptError, match=r"record 1: brick 7: checksum does not match"):
                archive.box(1, harmed)
        assert archive.box(1, [(z[0] - 1, z[0]), y, x]).shape == (1, y[1] - y[0], x[1] - x[0])
        with pytest.raises(CorruptError, match=r"record 1: brick 7: checksum does not match"):
            archive.decode([0, 1])


def test_decompress_names_record_and_brick_and_writes_nothing(
    archive_bytes: bytes, tmp_path: Path
) -> None:
    damaged, bad, out = bytearray(archive_bytes), tmp_path / "bad.vlat", tmp_path / "out.npy"
    damaged[find_record(archive_bytes).stop - 2] ^= 1
    bad.write_bytes(damaged)
    written = CliRunner().invoke(main, ["decompress", str(bad), str(out)])
    assert written.exit_code == CorruptError.exit_code
    assert "record 0: brick 7: checksum does not match" in written.output
    assert list(tmp_path.iterdir()) == [bad]
    part = CliRunner().invoke(main, ["decompress", str(bad), str(out), "--box", ":16,:,:"])
    assert part.exit_code == 0
    assert np.array_equal(np.load(out), VOLUME[:16])
