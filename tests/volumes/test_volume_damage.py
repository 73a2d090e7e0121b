"""Damaged and hostile volumes are told as such, and the rest of them is read."""

from __future__ import annotations

import numpy as np
import pytest
from volumes import folded_volume

import velcodec
from velcodec.encode import volumes as encoding
from velcodec.formats.errors import CorruptError, TruncatedError, VelcodecError
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
