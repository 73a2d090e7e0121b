"""The part of an archive's header that all its tile streams share: the grid of value ranges and the
frequencies of step indices. `stream` codes the streams themselves.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from velcodec.formats.errors import CorruptError
from velcodec.formats.latent_coding.tables import TOTAL, integer_frequencies, starts_of
from velcodec.formats.latent_coding.value_range import FINE, FINE_BITS
from velcodec.formats.storage.checked_msgpack import integer, number, sequence, short_number
from velcodec.formats.storage.locks import lazy_property

GRID, FINE_GRID, EXACT, CONSTANT_FINE, CONSTANT_EXACT = range(5)
RANGE_KIND_FREQUENCIES = np.array([TOTAL - 256, 128, 16, 96, 16])
CONSTANT_KINDS = (CONSTANT_FINE, CONSTANT_EXACT)
MAX_RANGE_BITS = 16
MAX_RANGE_BASE = 2.0**40


@dataclass(frozen=True)
class TileCoding:
    """How all tile streams of an archive are coded.

    Value ranges lie on range_base + k range_step (m/s), k having `range_bits` bits; step indices
    are coded by `step_frequencies`, which sum to 2^14. Raises `CorruptError`.
    """

    range_base: float
    range_step: float
    range_bits: int
    step_frequencies: Mapping[int, int]

    def __post_init__(self) -> None:
        mantissa, _ = np.frexp(self.range_step)
        if not (mantissa == 0.5 and 2.0**-20 <= self.range_step <= 2.0**20):
            raise CorruptError(f"range step: found {self.range_step}, expected a power of two")
        if not (abs(self.range_base) < MAX_RANGE_BASE and self.range_base % self.range_step == 0):
            raise CorruptError(
                f"range base: found {self.range_base}, expected a multiple of {self.range_step}"
            )
        if not 0 <= self.range_bits <= MAX_RANGE_BITS:
            raise CorruptError(
                f"range bits: found {self.range_bits}, expected 0 to {MAX_RANGE_BITS}"
            )
        found = self.step_frequencies
        valid = all(0 <= s < 256 and 1 <= f <= TOTAL for s, f in found.items())
        if not valid or sum(found.values()) != TOTAL:
            raise CorruptError(f"step frequencies: found {dict(found)}, expected a sum of {TOTAL}")

    @classmethod
    def for_tiles(
        cls, low: ArrayLike, high: ArrayLike, step: ArrayLike, range_step: float
    ) -> TileCoding:
        """A coding for tiles of these ranges (m/s) and, of the tiles that vary, these step indices.

        Ranges outside its grid are stored exactly.
        """
        least = float(np.min(low)) if np.size(low) else 0.0
        greatest = float(np.max(high)) if np.size(high) else 0.0
        base = float(np.floor(least / range_step) * range_step)
        if not abs(base) < MAX_RANGE_BASE:
            base = greatest = 0.0
        steps = min((greatest - base) / range_step, 2.0**MAX_RANGE_BITS)
        bits = int(np.ceil(steps) + 1).bit_length()
        index, counts = np.unique(np.asarray(step, dtype=np.int64), return_counts=True)
        if not len(index):
            index, counts = np.array([0]), np.array([1])
        frequencies = integer_frequencies(counts)
        table = dict(zip(index.tolist(), frequencies.tolist(), strict=True))
        return cls(base, range_step, min(bits, MAX_RANGE_BITS), table)

    def bits(self, low: NDArray[np.float64], high: NDArray[np.float64], step: ArrayLike) -> float:
        """About the bits that ranges and steps of such tiles take; infinite if some do not fit."""
        ends = (np.concatenate([low, high]) - self.range_base) / self.range_step
        if len(ends) and not 0 <= ends.min() <= ends.max() < 2.0**self.range_bits - 1:
            return np.inf
        found = [self.step_frequencies.get(int(s), 0) for s in np.asarray(step)]
        with np.errstate(divide="ignore"):
            return float(len(ends) * self.range_bits - np.log2(np.array(found) / TOTAL).sum())

    def to_list(self) -> list[Any]:
        """Base, step, bits, then pairs of step index and frequency, as the header keeps them: the
        last frequency, which is what is left of their sum, is left out.
        """
        base, step = short_number(self.range_base), short_number(self.range_step)
        steps = [v for pair in sorted(self.step_frequencies.items()) for v in pair]
        return [base, step, self.range_bits, *steps[:-1]]

    @classmethod
    def from_list(cls, data: Any) -> TileCoding:
        """The inverse of `to_list`. Raises `CorruptError`."""
        try:
            base, step, bits, *pairs = sequence(data)
            flat = [integer(v) for v in pairs]
            flat.append(TOTAL - sum(flat[1::2]))
            steps = dict(zip(flat[::2], flat[1::2], strict=True))
            if len(steps) * 2 != len(flat):
                raise ValueError("step frequencies: found a step index twice")
            return cls(number(base), number(step), integer(bits), steps)
        except (TypeError, ValueError, OverflowError) as error:
            raise CorruptError(f"tile coding in the header: {error}") from error

    @lazy_property
    def step_table(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Step indices in rising order, with their frequencies and first slots."""
        index = np.array(sorted(self.step_frequencies), dtype=np.int64)
        frequency = np.array([self.step_frequencies[int(s)] for s in index], dtype=np.int64)
        return index, frequency, starts_of(frequency)

    @property
    def range_kinds(self) -> tuple[tuple[int, float, int], ...]:
        """Each kind of range with its grid (m/s; 0 for plain float64) and the bits of an end."""
        step, bits = self.range_step, self.range_bits
        fine, fine_bits = step / FINE, bits + FINE_BITS
        return (
            (GRID, step, bits),
            (FINE_GRID, fine, fine_bits),
            (EXACT, 0.0, 64),
            (CONSTANT_FINE, fine, fine_bits),
            (CONSTANT_EXACT, 0.0, 64),
        )


USUAL_CODING = TileCoding(0.0, 4.0, 11, dict.fromkeys(range(8, 24), TOTAL // 16))
"""The coding of which a header says nothing: few latents cost less by it than one of their own."""
