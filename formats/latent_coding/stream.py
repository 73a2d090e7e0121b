"""Tiles to entropy-coded streams and back: value range, step index, record class, coefficients.

Batches of tiles are coded side by side, one rANS lane each (docs/format.md, "Tile stream").
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from velcodec.formats.entropy.rans import WORD_BITS, Bool, RansDecoder, RansEncoder
from velcodec.formats.errors import CorruptError, OptionError
from velcodec.formats.latent_coding.coding import (
    CONSTANT_EXACT,
    CONSTANT_FINE,
    CONSTANT_KINDS,
    EXACT,
    FINE_GRID,
    GRID,
    RANGE_KIND_FREQUENCIES,
    TileCoding,
)
from velcodec.formats.latent_coding.tables import PRECISION, LatentTables, starts_of
from velcodec.formats.latent_coding.value_range import (
    FINE,
    FINE_BITS,
    grid_index,
    inward_range,
    on_grid,
)

MAX_COEFFICIENT = 2**31 - 1
TILES_AT_ONCE = 1 << 12


@dataclass(frozen=True)
class Tiles:
    """n tiles as a structure of arrays: coefficients int32 (n, D), step indices (n,), value ranges
    low and high (n,) in m/s. Where low == high the tile is constant and has no coefficients.
    """

    coefficients: NDArray[np.int32]
    step: NDArray[np.int64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.low)


# --- encoding -------------------------------------------------------------------------------------


def encode_tiles(tiles: Tiles, tables: LatentTables, coding: TileCoding) -> list[bytes]:
    """One stream per tile. Each tile takes the record class that codes it in the fewest bits.

    Raises `OptionError` for what no reader would take: a step index that the coding or the tables
    do not have, a range that is not finite or upside down, a coefficient of -2^31.
    """
    _check_tiles(tiles, tables)
    encoder = RansEncoder(len(tiles))
    varied = tiles.high > tiles.low
    index, frequency, start = coding.step_table
    place = np.searchsorted(index, tiles.step).clip(0, len(index) - 1)
    unknown = varied & ((index[place] != tiles.step) | (tiles.step >= tables.step_count))
    if unknown.any():
        raise OptionError(
            f"step index: found {tiles.step[unknown][0]}, expected one of {index.tolist()} "
            f"less than {tables.step_count}"
        )
    record_class = _class_bits(tiles.coefficients, tiles.step * varied, tables).argmin(axis=0)
    kind = _kinds(tiles, coding)
    # The ends of the range come last in the stream, that is first here: uniform bits fill the young
    # state without loss, so that the coefficients meet one that is fine enough.
    _push_ranges(encoder, tiles, coding, kind)
    _push_coefficients(encoder, tiles, tables, record_class, varied)
    shares = tables.class_frequencies
    encoder.push(starts_of(shares)[record_class], shares[record_class], PRECISION, varied)
    encoder.push(start[place], frequency[place], PRECISION, varied)
    encoder.push(starts_of(RANGE_KIND_FREQUENCIES)[kind], RANGE_KIND_FREQUENCIES[kind], PRECISION)
    return encoder.finish()


def _check_tiles(tiles: Tiles, tables: LatentTables) -> None:
    shape = (len(tiles), tables.latent_size)
    if tiles.coefficients.shape != shape or tiles.step.shape != shape[:1]:
        raise OptionError(f"tiles: found coefficients {tiles.coefficients.shape}, expected {shape}")
    bad = ~(np.isfinite(tiles.low) & np.isfinite(tiles.high) & (tiles.low <= tiles.high))
    if bad.any():
        i = int(np.flatnonzero(bad)[0])
        raise OptionError(
            f"value range of tile {i}: found {tiles.low[i]} to {tiles.high[i]} m/s, "
            "expected finite values in rising order"
        )
    if (tiles.coefficients < -MAX_COEFFICIENT).any():
        raise OptionError(f"coefficient: found -2^31, expected at least {-MAX_COEFFICIENT}")


def tile_bits(
    coefficients: NDArray[np.int32], step: NDArray[np.int64], tables: LatentTables
) -> NDArray[np.float64]:
    """Ideal length (bits) of each tile's coefficients (n, D) and record class.

    `step` holds the step indices (n,).
    """
    bits: NDArray[np.float64] = _class_bits(coefficients, step, tables).min(axis=0)
    return bits


def _class_bits(
    coefficients: NDArray[np.int32], step: NDArray[np.int64], tables: LatentTables
) -> NDArray[np.float64]:
    """Ideal length of each tile under every record class, (C, n)."""
    from velcodec.formats.latent_coding.batch import class_bits

    shares = PRECISION - np.log2(tables.class_frequencies.astype(np.float64))
    total = np.repeat(shares[:, None], len(step), axis=1)
    class_bits(coefficients, step.astype(np.int64), tables.classes, tables.bits, total)
    return total


def _push_coefficients(
    encoder: RansEncoder, tiles: Tiles, tables: LatentTables,
    record_class: NDArray[np.int64], varied: Bool,
) -> None:  # fmt: skip
    from velcodec.formats.latent_coding.batch import ESCAPE_WORDS, push_coefficients

    found = tiles.coefficients
    escapes = np.count_nonzero((found > tables.limit) | (found < -tables.limit))
    words = np.empty(found.size + ESCAPE_WORDS * escapes, dtype=np.uint16)
    ends = np.empty(len(tiles), dtype=np.int64)
    rows = tables.classes[record_class, tiles.step * varied]
    push_coefficients(
        encoder.state, varied, rows, tables.starts, tables.frequencies, found, words, ends
    )
    lanes = np.repeat(np.arange(len(tiles)), np.diff(ends, prepend=0))
    encoder.add_words(words[: len(lanes)], lanes)


def _kinds(tiles: Tiles, coding: TileCoding) -> NDArray[np.int64]:
    """The shortest kind of range that holds each tile's ends exactly."""
    base, step, bits = coding.range_base, coding.range_step, coding.range_bits
    fine, fine_bits = step / FINE, bits + FINE_BITS

    def both(grid: float, width: int) -> Bool:
        return on_grid(tiles.low, base, grid, width) & on_grid(tiles.high, base, grid, width)

    kind = np.full(len(tiles), EXACT)
    kind[both(fine, fine_bits)] = FINE_GRID
    kind[both(step, bits)] = GRID
    constant = tiles.low == tiles.high
    kind[constant] = CONSTANT_EXACT
    kind[constant & on_grid(tiles.low, base, fine, fine_bits)] = CONSTANT_FINE
    return kind


def _push_ranges(
    encoder: RansEncoder, tiles: Tiles, coding: TileCoding, kind: NDArray[np.int64]
) -> None:
    for k, grid, width in coding.range_kinds:
        if (active := kind == k).any():
            for end in (tiles.low,) if k in CONSTANT_KINDS else (tiles.high, tiles.low):
                index = grid_index(end, coding.range_base, grid) if grid else end.view(np.uint64)
                encoder.push_bits(index, width, active)


# --- decoding -------------------------------------------------------------------------------------


def decode_tiles(streams: Sequence[bytes], tables: LatentTables, coding: TileCoding) -> Tiles:
    """The tiles of some streams. Raises `CorruptError` where a stream is not what was written."""
    return joined_tiles([tiles for tiles, _ in decode_measured(streams, tables, coding)])


def joined_tiles(parts: Sequence[Tiles]) -> Tiles:
    """Tiles one behind the other as one batch."""
    if len(parts) == 1:
        return parts[0]
    columns = ("coefficients", "step", "low", "high")
    return Tiles(*(np.concatenate([getattr(p, name) for p in parts]) for name in columns))


def decode_measured(
    streams: Sequence[bytes], tables: LatentTables, coding: TileCoding
) -> Iterator[tuple[Tiles, NDArray[np.int64]]]:
    """The tiles of some streams, and how many bytes of a stream tell what is in it, (n, 1 + D); as
    many as TILES_AT_ONCE at a time, so that a bad one is found before memory is taken for all.

    Column 0 is for kind of range, step and record class, column d + 1 for coefficient d, all at
    least as many as those before; the ends of the range need the whole stream. Raises
    `CorruptError` as `decode_tiles`.
    """
    for first in range(0, max(1, len(streams)), TILES_AT_ONCE):
        yield _decode_some(streams[first : first + TILES_AT_ONCE], tables, coding, first)


def _decode_some(
    streams: Sequence[bytes], tables: LatentTables, coding: TileCoding, first: int
) -> tuple[Tiles, NDArray[np.int64]]:
    """Tiles from number `first` on."""
    decoder = RansDecoder(streams)
    starts = starts_of(RANGE_KIND_FREQUENCIES)
    kind = np.searchsorted(starts, decoder.peek(PRECISION), side="right") - 1
    decoder.pop(starts[kind], RANGE_KIND_FREQUENCIES[kind], PRECISION)
    varied = ~np.isin(kind, CONSTANT_KINDS)
    active = None if varied.all() else varied
    index, frequency, start = coding.step_table
    place = np.searchsorted(start, decoder.peek(PRECISION), side="right") - 1
    decoder.pop(start[place], frequency[place], PRECISION, active)
    step = np.where(varied, index[place], 0)
    if len(step) and step.max() >= tables.step_count:
        raise CorruptError(
            f"step index: found {step.max()}, expected less than {tables.step_count}"
        )
    shares = tables.class_frequencies.astype(np.int64)
    start = starts_of(shares)
    record_class = np.searchsorted(start, decoder.peek(PRECISION), side="right") - 1
    fixed = np.where(varied, decoder.bytes_read, decoder.heads)
    decoder.pop(start[record_class], shares[record_class], PRECISION, active)
    rows = tables.classes[record_class, step]
    coefficients, needed = _pop_coefficients(decoder, tables, rows, varied)
    low, high = _pop_ranges(decoder, coding, kind, first)
    decoder.finish()
    needed = np.where(varied[:, None], needed, fixed[:, None])
    return Tiles(coefficients, step, low, high), np.column_stack([fixed, needed])


def _pop_coefficients(
    decoder: RansDecoder, tables: LatentTables, rows: NDArray[np.uint8], varied: Bool
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """The coefficients, 0 where a tile has none, and the bytes that tell each, both (n, D)."""
    from velcodec.formats.latent_coding.batch import pop_coefficients

    coefficients = np.zeros(rows.shape, dtype=np.int32)
    words_before = np.zeros(rows.shape, dtype=np.int64)
    too_large = pop_coefficients(
        decoder.state, decoder.read, decoder.words, decoder.first, decoder.count, varied,
        rows, tables.symbol_of_slot, tables.starts, tables.frequencies, coefficients, words_before,
    )  # fmt: skip
    if too_large:
        raise CorruptError(f"coefficient: found {too_large}, expected at most {MAX_COEFFICIENT}")
    return coefficients, decoder.heads[:, None] + WORD_BITS // 8 * words_before


def _pop_ranges(
    decoder: RansDecoder, coding: TileCoding, kind: NDArray[np.int64], first: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    low, high = np.zeros(len(kind)), np.zeros(len(kind))
    for k, grid, width in coding.range_kinds:
        if (active := kind == k).any():
            for end in (low,) if k in CONSTANT_KINDS else (low, high):
                found = decoder.pop_bits(width, active)
                value = coding.range_base + found * grid if grid else found.view(np.float64)
                end[active] = value[active]
            if k in CONSTANT_KINDS:
                high[active] = low[active]
    with np.errstate(invalid="ignore"):  # whatever bits stand where a float64 should
        bad = ~(np.isfinite(low) & np.isfinite(high) & (low <= high))
        bad |= (low == high) & ~np.isin(kind, CONSTANT_KINDS)
    if bad.any():
        i = int(np.flatnonzero(bad)[0])
        raise CorruptError(f"value range of tile {first + i}: found {low[i]} to {high[i]} m/s")
    return low, high


__all__ = [
    "PRECISION",
    "LatentTables",
    "TileCoding",
    "Tiles",
    "decode_tiles",
    "encode_tiles",
    "inward_range",
    "tile_bits",
]
