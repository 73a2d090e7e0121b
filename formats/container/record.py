"""Records: a model's layout number, tiling and tile streams as the payload of an archive entry.

This module knows how many tiles there are and where each stream ends, never what a stream holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from velcodec.formats.container.header import Header
from velcodec.formats.errors import CorruptError, OptionError
from velcodec.formats.sample_coding.coders import CODERS
from velcodec.formats.sample_coding.stream import ExactStream
from velcodec.formats.storage.varint import decode_varint, encode_varint

MAX_TILES = 1 << 18
FREE_TILES, SAMPLES_OF_TILE = 64, 32
"""A model has at most FREE_TILES tiles plus one per SAMPLES_OF_TILE samples: a tile costs one byte
in the file but kilobytes when decoded.
"""


@dataclass(frozen=True)
class Record:
    """One model. `layout` is an index into the header's layouts. There are tiles_z x tiles_x tiles
    of tile_nz x tile_nx samples, in row order, with one stream each; none if the `exact` stream
    stands alone. `absent` is the stream of absent samples, or None.
    """

    layout: int
    tiles_z: int
    tiles_x: int
    tile_nz: int
    tile_nx: int
    streams: Sequence[bytes]
    exact: ExactStream | None = None
    absent: bytes | None = None
    bricks: bytes | None = None


def pack_record(record: Record, header: Header) -> bytes:
    """The payload of a record. In an archive that is not tiled it is the tile stream alone.

    Raises `OptionError` for tiles in an archive whose header is not tiled.
    """
    prefix = b""
    if len(header.layouts) > 1:
        prefix += encode_varint(record.layout)
    if record.bricks is not None:
        return prefix + record.bricks
    prefix += _pack_absent(record, header)
    if header.exact is not None:
        exact = _pack_exact(record)
        if not record.streams:
            return prefix + exact
        prefix += exact
    tiles = record.tiles_z * record.tiles_x
    if len(record.streams) != tiles or (tiles != 1 and not header.tiled):
        raise OptionError(
            f"record: found {len(record.streams)} streams for {record.tiles_z} x {record.tiles_x} "
            f"tiles, expected one each{'' if header.tiled else ' and one tile'}"
        )
    if header.tiled:
        for value in (record.tiles_z, record.tiles_x):
            prefix += encode_varint(value)
        if tiles > 1:
            for value in (record.tile_nz, record.tile_nx):
                prefix += encode_varint(value)
            prefix += b"".join(encode_varint(len(stream)) for stream in record.streams[:-1])
    return prefix + b"".join(record.streams)


def _pack_absent(record: Record, header: Header) -> bytes:
    """The mask of absent samples, for a model whose layout has a no-data value."""
    absent = record.absent
    if header.layouts[record.layout].no_data is None:
        if absent is not None:
            raise OptionError("record: found absent samples, expected a no-data value for them")
        return b""
    return encode_varint(0) if absent is None else encode_varint(len(absent) + 1) + absent


def _pack_exact(record: Record) -> bytes:
    """What precedes the tiles in an archive with exact streams."""
    exact = record.exact
    if exact is None:
        return encode_varint(0)
    kept = bool(record.streams)
    kind = encode_varint(1 + (exact.domain * CODERS + exact.coder) * 2 + kept)
    return kind + (encode_varint(len(exact.data)) if kept else b"") + exact.data


def unpack_record(payload: bytes, header: Header, place: str = "record") -> Record:
    """The record in a payload. Raises `CorruptError` or `TruncatedError`."""
    at, layout = 0, 0
    if len(header.layouts) > 1:
        layout, at = decode_varint(payload, at, f"{place}: layout")
        if layout >= len(header.layouts):
            raise CorruptError(
                f"{place}: layout: found {layout}, expected less than {len(header.layouts)}"
            )
    nz, nx = header.layouts[layout].nz, header.layouts[layout].nx
    if header.layouts[layout].is_volume:
        return Record(layout, 0, 0, nz, nx, [], bricks=payload[at:])
    absent = None
    if header.layouts[layout].no_data is not None:
        absent, at = _unpack_absent(payload, at, place)
    exact = None
    if header.exact is not None:
        exact, at, kept = _unpack_exact(payload, at, place)
        if not kept:
            return Record(layout, 0, 0, nz, nx, [], exact, absent)
    tiles_z = tiles_x = 1
    if header.tiled:
        tiles_z, at = decode_varint(payload, at, f"{place}: tiles")
        tiles_x, at = decode_varint(payload, at, f"{place}: tiles")
    if tiles_z * tiles_x == 1:
        return Record(layout, 1, 1, nz, nx, [payload[at:]], exact, absent)
    tile_nz, at = decode_varint(payload, at, f"{place}: tile size")
    tile_nx, at = decode_varint(payload, at, f"{place}: tile size")
    _check_tiles(place, (tiles_z, tiles_x), (tile_nz, tile_nx), (nz, nx), len(payload) - at)
    lengths = []
    for _ in range(tiles_z * tiles_x - 1):
        length, at = decode_varint(payload, at, f"{place}: stream length")
        lengths.append(length)
    ends = [at]
    for length in lengths:
        ends.append(ends[-1] + length)
    if ends[-1] > len(payload):
        raise CorruptError(
            f"{place}: streams: found lengths up to byte {ends[-1]}, "
            f"expected at most {len(payload)}"
        )
    ends.append(len(payload))
    streams = [payload[a:b] for a, b in pairwise(ends)]
    return Record(layout, tiles_z, tiles_x, tile_nz, tile_nx, streams, exact, absent)


def _unpack_absent(payload: bytes, at: int, place: str) -> tuple[bytes | None, int]:
    """The stream of absent samples or None, and where it ends."""
    more, at = decode_varint(payload, at, f"{place}: absent samples")
    if more == 0:
        return None, at
    end = at + more - 1
    if end > len(payload):
        raise CorruptError(
            f"{place}: absent samples: found a length of {more - 1} bytes, "
            f"expected at most {len(payload) - at}"
        )
    return payload[at:end], end


def _unpack_exact(payload: bytes, at: int, place: str) -> tuple[ExactStream | None, int, bool]:
    """The exact stream or None, where it ends, and whether tiles follow."""
    kind, at = decode_varint(payload, at, f"{place}: representation")
    if kind == 0:
        return None, at, True
    number, kept = divmod(kind - 1, 2)
    domain, coder = divmod(number, CODERS)
    end = len(payload)
    if kept:
        length, at = decode_varint(payload, at, f"{place}: exact stream")
        if length > len(payload) - at:
            raise CorruptError(
                f"{place}: exact stream: found a length of {length} bytes, "
                f"expected at most {len(payload) - at}"
            )
        end = at + length
    return ExactStream(domain, coder, payload[at:end]), end, bool(kept)


def _check_tiles(
    place: str, tiles: tuple[int, int], size: tuple[int, int], model: tuple[int, int], room: int
) -> None:
    """Check that there is at least one tile, that tiles fit the model, and that each has at least
    its length byte.
    """
    count = tiles[0] * tiles[1]
    most = min(MAX_TILES, room + 1, FREE_TILES + model[0] * model[1] // SAMPLES_OF_TILE)
    if not 1 <= count <= most:
        raise CorruptError(
            f"{place}: tiles: found {tiles[0]} x {tiles[1]}, expected 1 to {most} in all"
        )
    for name, n, t, whole in zip("zx", tiles, size, model, strict=True):
        if not 1 <= t <= whole or n > whole:
            raise CorruptError(
                f"{place}: tiles along {name}: found {n} of {t} samples, expected at most {whole}"
            )
