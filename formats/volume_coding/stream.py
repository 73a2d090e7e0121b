"""A volume's record: a table of its bricks, then their streams.

Every brick has a checksum of its own, and a mask of its absent samples if only some are absent, so
that it can be read without the rest of the record. The brick at (kz, ky, kx) has number
(kz * bricks along y + ky) * bricks along x + kx.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import zstandard

from velcodec.formats.arrays import Bool, Int64
from velcodec.formats.errors import CorruptError, VelcodecError
from velcodec.formats.sample_coding.coding import ExactCoding
from velcodec.formats.sample_coding.domain import RAW, Domain, Samples
from velcodec.formats.storage.varint import decode_varint, encode_varint

Shape = tuple[int, int, int]
Box = tuple[slice, slice, slice]

MOST_FRONT_BYTES = 36
"""Four integers of at most nine bytes stand before the table."""

CHECKSUM_BYTES = COUNT_BYTES = 4
ENTRY_BYTES = COUNT_BYTES + CHECKSUM_BYTES
MAX_BRICKS = 1 << 22
LEAST_EDGE = 4
"""Bricks are no thinner than this where the volume is not: each costs eight bytes of the table or
twelve, and much more when it is decoded.
"""

Read = Callable[[int, int], bytes]
"""Bytes of a record by their start and number."""


@dataclass(frozen=True)
class Bricks:
    """How a volume of `shape` (nz, ny, nx) is cut into bricks of `edges` samples, the last ones
    along each axis smaller.
    """

    shape: Shape
    edges: Shape

    @property
    def counts(self) -> Shape:
        """Bricks along z, y and x."""
        z, y, x = (-(-size // edge) for size, edge in zip(self.shape, self.edges, strict=True))
        return z, y, x

    def __len__(self) -> int:
        return math.prod(self.counts)

    def box(self, number: int) -> Box:
        """The samples of a brick."""
        _, ny, nx = self.counts
        places = number // (ny * nx), number // nx % ny, number % nx
        z, y, x = (
            slice(place * edge, min((place + 1) * edge, size))
            for place, edge, size in zip(places, self.edges, self.shape, strict=True)
        )
        return z, y, x

    def shape_of(self, number: int) -> Shape:
        """(nz, ny, nx) of a brick."""
        z, y, x = (each.stop - each.start for each in self.box(number))
        return z, y, x

    @property
    def samples(self) -> Int64:
        """Samples of every brick, in order."""
        z, y, x = (
            np.minimum(size - edge * np.arange(count), edge)
            for size, edge, count in zip(self.shape, self.edges, self.counts, strict=True)
        )
        found: Int64 = (z[:, None, None] * y[:, None] * x).ravel()
        return found

    def within(self, box: Box) -> list[int]:
        """Numbers of the bricks that share samples with a box, in rising order."""
        _, ny, nx = self.counts
        z, y, x = (
            range(each.start // edge, -(-each.stop // edge))
            for each, edge in zip(box, self.edges, strict=True)
        )
        return [(kz * ny + ky) * nx + kx for kz in z for ky in y for kx in x]


@dataclass(frozen=True)
class BrickTable:
    """What stands before the streams: the number of the volume's domain, its bricks, and where each
    stream begins, what its checksum is, and how many samples of the brick are absent.
    """

    domain: int
    bricks: Bricks
    starts: Int64
    checksums: Int64
    absent: Int64

    def stream(self, number: int, read: Read, place: str) -> bytes:
        """The stream of a brick, its checksum verified. Raises CorruptError."""
        start, end = int(self.starts[number]), int(self.starts[number + 1])
        data = read(start, end - start)
        if len(data) != end - start or zlib.crc32(data) != self.checksums[number]:
            raise CorruptError(
                f"{place}: brick {number}: checksum does not match: the file was altered"
            )
        return data


def pack_volume(
    domain: int, bricks: Bricks, streams: Sequence[bytes], absent: Int64 | None = None
) -> bytes:
    """The record of a volume whose bricks have these streams and, if the layout has a no-data
    value, so many `absent` samples each.
    """
    front = b"".join(encode_varint(value) for value in (domain, *bricks.edges))
    lengths = np.array([len(stream) for stream in streams], dtype="<u4")
    checksums = np.array([zlib.crc32(stream) for stream in streams], dtype="<u4")
    counts = b"" if absent is None else absent.astype("<u4").tobytes()
    table = front + lengths.tobytes() + checksums.tobytes() + counts
    checksum = zlib.crc32(table).to_bytes(CHECKSUM_BYTES, "little")
    return b"".join([table, checksum, *streams])


def read_table(read: Read, shape: Shape, place: str, *, masked: bool = False) -> BrickTable:
    """The table of a volume's record, with counts of absent samples if it is `masked`. Raises
    CorruptError, TruncatedError.
    """
    front, at = read(0, MOST_FRONT_BYTES), 0
    values = []
    for _ in range(4):
        value, at = decode_varint(front, at, f"{place}: bricks")
        values.append(value)
    domain, *edges = values
    for axis, edge, size in zip("zyx", edges, shape, strict=True):
        if not min(LEAST_EDGE, size) <= edge <= size:
            raise CorruptError(
                f"{place}: bricks along {axis}: found {edge} samples, expected "
                f"{min(LEAST_EDGE, size)} to {size}"
            )
    bricks = Bricks(shape, (edges[0], edges[1], edges[2]))
    count = len(bricks)
    if count > MAX_BRICKS:
        raise CorruptError(f"{place}: found {count} bricks, expected at most {MAX_BRICKS}")
    size = at + count * (ENTRY_BYTES + COUNT_BYTES * masked)
    table = read(0, size + CHECKSUM_BYTES)
    if zlib.crc32(table[:size]).to_bytes(CHECKSUM_BYTES, "little") != table[size:]:
        raise CorruptError(
            f"{place}: table of bricks: checksum does not match: the file was altered"
        )
    columns = np.frombuffer(table[at:size], dtype="<u4").reshape(-1, count).astype(np.int64)
    starts = size + CHECKSUM_BYTES + np.concatenate([[0], np.cumsum(columns[0])])
    absent = columns[2] if masked else np.zeros(count, dtype=np.int64)
    if (absent > bricks.samples).any():
        raise CorruptError(
            f"{place}: absent samples: found {int(absent.max())} in a brick, expected at most as "
            "many as it has"
        )
    return BrickTable(domain, bricks, starts, columns[1], absent)


def join_mask(stream: bytes, absent: Bool | None) -> bytes:
    """The stream of a brick some of whose samples are `absent`, from that of its samples."""
    if absent is None or absent.all():
        return stream
    from velcodec.formats.sample_coding.absent_mask import encode_absent

    mask = encode_absent(absent)
    return encode_varint(len(mask)) + mask + stream


def split_mask(data: bytes, shape: Shape, absent: int, place: str) -> tuple[bytes, Bool | None]:
    """The inverse of `join_mask` for a brick of so many absent samples; one of absent samples alone
    has no mask. Raises CorruptError.
    """
    if absent in (0, math.prod(shape)):
        return data, None
    from velcodec.formats.sample_coding.absent_mask import decode_absent

    length, at = decode_varint(data, 0, f"{place}: absent samples")
    if length > len(data) - at:
        raise CorruptError(
            f"{place}: absent samples: found a length of {length} bytes, expected at most "
            f"{len(data) - at}"
        )
    try:
        mask = decode_absent(data[at : at + length], shape)
    except CorruptError as error:
        raise CorruptError(f"{place}: {error}") from error
    found = int(np.count_nonzero(mask))
    if found != absent:
        raise CorruptError(f"{place}: absent samples: found {found}, expected {absent}")
    return data[at + length :], mask


def encode_samples(samples: Samples, codes: Int64 | None, domain: Domain, smooth: bool) -> bytes:
    """The stream of a brick: of its integers `codes` in the domain, or, in a RAW one, of its
    samples.
    """
    if codes is None or domain.kind == RAW:
        native = np.ascontiguousarray(samples.astype(samples.dtype.newbyteorder("<")))
        return zstandard.ZstdCompressor(level=9).compress(native.tobytes())
    from velcodec.formats.volume_coding.coder import encode_brick

    return encode_brick(codes, domain, smooth)


def decode_samples(
    stream: bytes, shape: Shape, coding: ExactCoding, number: int, dtype: np.dtype[np.generic],
    place: str,
) -> Samples:  # fmt: skip
    """The samples (nz, ny, nx) of a brick in domain `number`. Raises CorruptError."""
    if number >= len(coding.domains):
        raise CorruptError(
            f"{place}: domain: found {number}, expected less than {len(coding.domains)}"
        )
    domain = coding.domains[number]
    try:
        if domain.kind == RAW:
            return _decode_raw(stream, shape, dtype)
        from velcodec.formats.volume_coding.coder import decode_brick

        return domain.samples(decode_brick(stream, shape, domain), dtype)
    except VelcodecError as error:
        raise type(error)(f"{place}: {error}") from error


def _decode_raw(stream: bytes, shape: Shape, dtype: np.dtype[np.generic]) -> Samples:
    size = math.prod(shape) * dtype.itemsize
    try:
        if zstandard.frame_content_size(stream) != size:
            raise CorruptError(f"raw samples: expected {size} bytes")
        plain = zstandard.ZstdDecompressor().decompress(stream)
    except zstandard.ZstdError as error:
        raise CorruptError(f"raw samples: {error}") from error
    return np.frombuffer(plain, dtype.newbyteorder("<")).reshape(shape).astype(dtype)
