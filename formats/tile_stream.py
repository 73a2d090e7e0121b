"""Tiles to entropy-coded streams and back: value range, step index, record class, coefficients.

Batches of tiles are coded side by side, one rANS lane each (docs/format.md, "Tile stream").
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .errors import CorruptError, OptionError
from .rans import Bool, RansDecoder, RansEncoder
from .tables import PRECISION, TOTAL, LatentTables, integer_frequencies, starts_of
from .value_range import FINE, FINE_BITS, grid_index, inward_range, on_grid

GRID, FINE_GRID, EXACT, CONSTANT_FINE, CONSTANT_EXACT = range(5)
RANGE_KIND_FREQUENCIES = np.array([TOTAL - 256, 128, 16, 96, 16])
CONSTANT_KINDS = (CONSTANT_FINE, CONSTANT_EXACT)
MAX_RANGE_BITS = 16
LENGTH_BITS = 5
SIGN_BITS = 1


@dataclass(frozen=True)
class Tiles:
    """n tiles as a structure of arrays: coefficients int32 (n, D), step indices (n,), value ranges
    low and high (n,) in m/s. Where low == high the tile is constant and has no coefficients."""

    coefficients: NDArray[np.int32]
    step: NDArray[np.int64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.low)


@dataclass(frozen=True)
class TileCoding:
    """What an archive's header says about its tile streams.

    Value ranges lie on range_base + k range_step (m/s) with k of `range_bits` bits; step indices
    are coded by `step_frequencies`, which sum to 2^14.
    """

    range_base: float
    range_step: float
    range_bits: int
    step_frequencies: Mapping[int, int]

    def __post_init__(self) -> None:
        mantissa, _ = np.frexp(self.range_step)
        if not (mantissa == 0.5 and 2.0**-20 <= self.range_step <= 2.0**20):
            raise CorruptError(f"range step: found {self.range_step}, expected a power of two")
        if not (abs(self.range_base) < 2.0**40 and self.range_base % self.range_step == 0):
            raise CorruptError(
                f"range base: found {self.range_base}, expected a multiple of {self.range_step}"
            )
        if not 0 <= self.range_bits <= MAX_RANGE_BITS:
            raise CorruptError(f"range bits: found {self.range_bits}, expected 0 to {MAX_RANGE_BITS}")
        found = self.step_frequencies
        valid = all(0 <= s < 256 and 1 <= f <= TOTAL for s, f in found.items())
        if not valid or sum(found.values()) != TOTAL:
            raise CorruptError(f"step frequencies: found {dict(found)}, expected a sum of {TOTAL}")

    @classmethod
    def for_tiles(
        cls, low: ArrayLike, high: ArrayLike, step: ArrayLike, range_step: float
    ) -> TileCoding:
        """The coding that suits tiles of these ranges (m/s) and, where not constant, step indices."""
        least = float(np.min(low)) if np.size(low) else 0.0
        greatest = float(np.max(high)) if np.size(high) else 0.0
        base = float(np.floor(least / range_step) * range_step)
        bits = int(np.ceil((greatest - base) / range_step) + 1).bit_length()
        index, counts = np.unique(np.asarray(step, dtype=np.int64), return_counts=True)
        if not len(index):
            index, counts = np.array([0]), np.array([1])
        frequencies = integer_frequencies(counts)
        table = dict(zip(index.tolist(), frequencies.tolist(), strict=True))
        return cls(base, range_step, min(bits, MAX_RANGE_BITS), table)

    def to_dict(self) -> dict[str, Any]:
        """Short keys: this stands in every archive's header."""
        base = int(self.range_base) if self.range_base == int(self.range_base) else self.range_base
        step = int(self.range_step) if self.range_step == int(self.range_step) else self.range_step
        steps = [v for pair in sorted(self.step_frequencies.items()) for v in pair]
        return {"rb": base, "rs": step, "rn": self.range_bits, "st": steps}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> TileCoding:
        """The inverse of `to_dict`. Raises `CorruptError`."""
        try:
            flat = [_whole(v) for v in data["st"]]
            if len(flat) % 2 or len(flat) > 512:
                raise ValueError(f"{len(flat)} step entries")
            steps = dict(zip(flat[::2], flat[1::2], strict=True))
            return cls(float(data["rb"]), float(data["rs"]), _whole(data["rn"]), steps)
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise CorruptError(f"tile coding in the header: {error}") from error

    @cached_property
    def step_table(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Step indices in rising order, their frequencies and starts."""
        index = np.array(sorted(self.step_frequencies), dtype=np.int64)
        frequency = np.array([self.step_frequencies[int(s)] for s in index], dtype=np.int64)
        return index, frequency, starts_of(frequency)


def _whole(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"found {value!r}, expected an integer")
    return value


# --- encoding -------------------------------------------------------------------------------------


def encode_tiles(tiles: Tiles, tables: LatentTables, coding: TileCoding) -> list[bytes]:
    """One stream per tile. Each tile takes the record class that codes it in the fewest bits.

    Raises `OptionError` for a step index that the coding's table does not have.
    """
    encoder = RansEncoder(len(tiles))
    varied = tiles.high > tiles.low
    index, frequency, start = coding.step_table
    place = np.searchsorted(index, tiles.step).clip(0, len(index) - 1)
    unknown = varied & (index[place] != tiles.step)
    if unknown.any():
        raise OptionError(f"step index {tiles.step[unknown][0]}: found none in the header's table")
    record_class = _class_bits(tiles.coefficients, tiles.step * varied, tables).argmin(axis=0)
    _push_coefficients(encoder, tiles, tables, record_class, varied)
    shares = tables.class_frequencies
    encoder.push(starts_of(shares)[record_class], shares[record_class], PRECISION, varied)
    encoder.push(start[place], frequency[place], PRECISION, varied)
    _push_ranges(encoder, tiles, coding)
    return encoder.finish()


def tile_bits(
    coefficients: NDArray[np.int32], step: NDArray[np.int64], tables: LatentTables
) -> NDArray[np.float64]:
    """Ideal length (bits) of each tile's coefficients (n, D) and record class at step indices (n,)."""
    return _class_bits(coefficients, step, tables).min(axis=0)


def _class_bits(
    coefficients: NDArray[np.int32], step: NDArray[np.int64], tables: LatentTables
) -> NDArray[np.float64]:
    """Ideal length of each tile under every record class, (C, n)."""
    symbol, beyond = _symbols(coefficients, tables.limit)
    escapes = (beyond > 0) * (SIGN_BITS + LENGTH_BITS)
    escapes = (escapes + np.floor(np.log2(np.maximum(beyond, 1)))).sum(axis=1)
    shares = PRECISION - np.log2(tables.class_frequencies.astype(np.float64))
    totals = [
        tables.bits[rows[step], symbol].sum(axis=1) + escapes + share
        for rows, share in zip(tables.classes, shares, strict=True)
    ]
    return np.stack(totals)


def _symbols(
    coefficients: NDArray[np.int32], limit: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Symbols (n, D), and how far escaped coefficients lie beyond the limit (0 where they do not)."""
    wide = coefficients.astype(np.int64)
    beyond = np.maximum(np.abs(wide) - limit, 0)
    return np.where(beyond > 0, 2 * limit + 1, wide + limit), beyond


def _push_coefficients(
    encoder: RansEncoder, tiles: Tiles, tables: LatentTables,
    record_class: NDArray[np.int64], varied: Bool,
) -> None:  # fmt: skip
    symbol, beyond = _symbols(tiles.coefficients, tables.limit)
    step = tiles.step * varied
    active = None if varied.all() else varied
    for d in reversed(range(tables.latent_size)):
        escaped = varied & (beyond[:, d] > 0)
        if escaped.any():
            _push_escape(encoder, beyond[:, d], tiles.coefficients[:, d] < 0, escaped)
        row = tables.classes[record_class, step, d]
        start = tables.starts[row, symbol[:, d]]
        encoder.push(start, tables.frequencies[row, symbol[:, d]], PRECISION, active)


def _push_escape(
    encoder: RansEncoder, beyond: NDArray[np.int64], negative: Bool, escaped: Bool
) -> None:
    """Decoded as sign, then the number of bits below the leading one of `beyond`, then those bits."""
    length = np.floor(np.log2(np.maximum(beyond, 1))).astype(np.int64)
    for bits in np.unique(length[escaped]).tolist():
        if bits:
            encoder.push_bits(beyond - (1 << bits), bits, escaped & (length == bits))
    encoder.push_bits(length, LENGTH_BITS, escaped)
    encoder.push_bits(negative, SIGN_BITS, escaped)


def _push_ranges(encoder: RansEncoder, tiles: Tiles, coding: TileCoding) -> None:
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
    low_bits, high_bits = tiles.low.view(np.uint64), tiles.high.view(np.uint64)
    for k, low, high, width in (
        (GRID, grid_index(tiles.low, base, step), grid_index(tiles.high, base, step), bits),
        (FINE_GRID, grid_index(tiles.low, base, fine), grid_index(tiles.high, base, fine), fine_bits),
        (EXACT, low_bits, high_bits, 64),
    ):
        if (active := kind == k).any():
            encoder.push_bits(high, width, active)
            encoder.push_bits(low, width, active)
    if (active := kind == CONSTANT_FINE).any():
        encoder.push_bits(grid_index(tiles.low, base, fine), fine_bits, active)
    if (active := kind == CONSTANT_EXACT).any():
        encoder.push_bits(low_bits, 64, active)
    encoder.push(starts_of(RANGE_KIND_FREQUENCIES)[kind], RANGE_KIND_FREQUENCIES[kind], PRECISION)


# --- decoding -------------------------------------------------------------------------------------


def decode_tiles(streams: Sequence[bytes], tables: LatentTables, coding: TileCoding) -> Tiles:
    """The tiles of some streams. Raises `CorruptError` where a stream is not what was written."""
    decoder = RansDecoder(streams)
    low, high = _pop_ranges(decoder, len(streams), coding)
    varied = high > low
    active = None if varied.all() else varied
    index, frequency, start = coding.step_table
    place = np.searchsorted(start, decoder.peek(PRECISION), side="right") - 1
    decoder.pop(start[place], frequency[place], PRECISION, active)
    step = np.where(varied, index[place], 0)
    if len(step) and step.max() >= tables.step_count:
        raise CorruptError(f"step index: found {step.max()}, expected less than {tables.step_count}")
    shares = tables.class_frequencies.astype(np.int64)
    start = starts_of(shares)
    record_class = np.searchsorted(start, decoder.peek(PRECISION), side="right") - 1
    decoder.pop(start[record_class], shares[record_class], PRECISION, active)
    coefficients = _pop_coefficients(decoder, tables, record_class, step, varied)
    decoder.finish()
    return Tiles(coefficients, step, low, high)


def _pop_coefficients(
    decoder: RansDecoder, tables: LatentTables, record_class: NDArray[np.int64],
    step: NDArray[np.int64], varied: Bool,
) -> NDArray[np.int32]:  # fmt: skip
    result = np.zeros((len(step), tables.latent_size), dtype=np.int32)
    active = None if varied.all() else varied
    escape = 2 * tables.limit + 1
    for d in range(tables.latent_size):
        row = tables.classes[record_class, step, d]
        symbol = tables.symbol_of_slot[row, decoder.peek(PRECISION)].astype(np.int64)
        decoder.pop(tables.starts[row, symbol], tables.frequencies[row, symbol], PRECISION, active)
        value = symbol - tables.limit
        escaped = varied & (symbol == escape)
        if escaped.any():
            value = np.where(escaped, _pop_escape(decoder, tables.limit, escaped), value)
        result[:, d] = np.where(varied, value, 0)
    return result


def _pop_escape(decoder: RansDecoder, limit: int, escaped: Bool) -> NDArray[np.int64]:
    negative = decoder.pop_bits(SIGN_BITS, escaped).astype(bool)
    length = decoder.pop_bits(LENGTH_BITS, escaped).astype(np.int64)
    beyond = np.ones(len(length), dtype=np.int64)
    for bits in np.unique(length[escaped]).tolist():
        if bits:
            mine = escaped & (length == bits)
            tail = decoder.pop_bits(bits, mine).astype(np.int64)
            beyond = np.where(mine, (1 << bits) + tail, beyond)
    size = beyond + limit
    if (size[escaped] >= 2**31).any():
        raise CorruptError(f"coefficient: found {size.max()}, expected less than 2^31")
    return np.where(negative, -size, size)


def _pop_ranges(
    decoder: RansDecoder, n: int, coding: TileCoding
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    base, step, bits = coding.range_base, coding.range_step, coding.range_bits
    fine, fine_bits = step / FINE, bits + FINE_BITS
    starts = starts_of(RANGE_KIND_FREQUENCIES)
    kind = np.searchsorted(starts, decoder.peek(PRECISION), side="right") - 1
    decoder.pop(starts[kind], RANGE_KIND_FREQUENCIES[kind], PRECISION)
    low, high = np.zeros(n), np.zeros(n)
    for k, grid, width in ((GRID, step, bits), (FINE_GRID, fine, fine_bits), (EXACT, 0.0, 64)):
        if (active := kind == k).any():
            ends = [decoder.pop_bits(width, active) for _ in range(2)]
            values = [e.view(np.float64) if k == EXACT else base + e * grid for e in ends]
            low[active], high[active] = values[0][active], values[1][active]
    for k in CONSTANT_KINDS:
        if (active := kind == k).any():
            end = decoder.pop_bits(fine_bits if k == CONSTANT_FINE else 64, active)
            value = base + end * fine if k == CONSTANT_FINE else end.view(np.float64)
            low[active] = high[active] = value[active]
    bad = ~(np.isfinite(low) & np.isfinite(high) & (low <= high))
    bad |= (low == high) & ~np.isin(kind, CONSTANT_KINDS)
    if bad.any():
        i = int(np.flatnonzero(bad)[0])
        raise CorruptError(f"value range of tile {i}: found {low[i]} to {high[i]} m/s")
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
