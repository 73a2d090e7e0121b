"""Integer frequency tables: what the entropy coder believes about a decoder's coefficients.

They are learned with the decoder and stored in its file. No float decides any of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from velcodec.formats.errors import DecoderFileError
from velcodec.formats.storage.locks import lazy_property

PRECISION = 14
TOTAL = 1 << PRECISION
MAX_SYMBOLS = 1026


@dataclass(frozen=True)
class LatentTables:
    """Frequency rows and which of them codes what.

    `frequencies` uint16 (T, A = 2 K + 2): each row sums to 2^14, all >= 1; symbol a <= 2 K means
    the coefficient a - K, symbol 2 K + 1 is the escape. `classes` uint8 (C, S, D): the row for
    record class c, step index s, coefficient d. `class_frequencies` uint16 (C,) sums to 2^14.
    """

    frequencies: NDArray[np.uint16]
    classes: NDArray[np.uint8]
    class_frequencies: NDArray[np.uint16]

    def __post_init__(self) -> None:
        rows, classes, shares = self.frequencies, self.classes, self.class_frequencies
        _check("frequencies", rows, np.uint16, 2)
        _check("classes", classes, np.uint8, 3)
        _check("class_frequencies", shares, np.uint16, 1)
        count, symbols = rows.shape
        if not (count <= 256 and 4 <= symbols <= MAX_SYMBOLS and symbols % 2 == 0):
            raise DecoderFileError(
                f"tables: frequencies: found shape {rows.shape}, expected at most 256 rows of an "
                f"even number (4 to {MAX_SYMBOLS}) of symbols"
            )
        for name, table in (("frequencies", rows), ("class_frequencies", shares[None])):
            sums = table.sum(axis=1, dtype=np.int64)
            if (table < 1).any() or (sums != TOTAL).any():
                raise DecoderFileError(
                    f"tables: {name}: found sums {sums.min()} to {sums.max()} and least entry "
                    f"{table.min()}, expected sums of {TOTAL} and entries of 1 or more"
                )
        if len(shares) != len(classes):
            raise DecoderFileError(
                f"tables: class_frequencies: found {len(shares)}, expected {len(classes)}"
            )
        if int(classes.max()) >= len(rows):
            raise DecoderFileError(
                f"tables: classes: found row {classes.max()}, expected less than {len(rows)}"
            )

    @property
    def latent_size(self) -> int:
        """Coefficients per tile."""
        return int(self.classes.shape[2])

    @property
    def step_count(self) -> int:
        """Step indices that the tables serve."""
        return int(self.classes.shape[1])

    @property
    def limit(self) -> int:
        """K: the largest coefficient with a symbol of its own."""
        return (int(self.frequencies.shape[1]) - 2) // 2

    @lazy_property
    def starts(self) -> NDArray[np.int64]:
        """First slot of every symbol of every row, (T, A)."""
        return starts_of(self.frequencies)

    @lazy_property
    def symbol_of_slot(self) -> NDArray[np.uint16]:
        """The symbol that owns each of a row's 2^14 slots, (T, 2^14)."""
        symbols = np.arange(self.frequencies.shape[1], dtype=np.uint16)
        return np.stack([np.repeat(symbols, row) for row in self.frequencies])

    @lazy_property
    def bits(self) -> NDArray[np.float64]:
        """Ideal length of every symbol of every row, (T, A); for the encoder's choices only."""
        return PRECISION - np.log2(self.frequencies.astype(np.float64))

    def to_tensors(self) -> dict[str, NDArray[Any]]:
        """The arrays by the names under which a decoder file keeps them."""
        return {
            "frequencies": self.frequencies,
            "classes": self.classes,
            "class_frequencies": self.class_frequencies,
        }

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, NDArray[Any]]) -> LatentTables:
        """The inverse of `to_tensors`. Raises `DecoderFileError` for a missing or odd array."""
        names = ("frequencies", "classes", "class_frequencies")
        missing = [name for name in names if name not in tensors]
        if missing:
            raise DecoderFileError(f"tables: {missing[0]}: not found in the decoder file")
        return cls(*(tensors[name] for name in names))


def starts_of(frequencies: NDArray[Any]) -> NDArray[np.int64]:
    """Cumulated frequencies, the row's own left out, along the last axis."""
    sums: NDArray[np.int64] = np.cumsum(frequencies.astype(np.int64), axis=-1)
    return sums - frequencies.astype(np.int64)


def integer_frequencies(counts: NDArray[Any]) -> NDArray[np.int64]:
    """Frequencies of 1 or more that sum to 2^14, in about the proportions of `counts` (integers).

    Integer arithmetic only, so that the same counts give the same table everywhere.
    """
    counts = counts.astype(np.int64)
    spare = TOTAL - len(counts)
    frequencies = 1 + counts * spare // max(1, int(counts.sum()))
    frequencies[int(frequencies.argmax())] += TOTAL - int(frequencies.sum())
    return frequencies


def _check(name: str, array: Any, dtype: Any, ndim: int) -> None:
    if not (isinstance(array, np.ndarray) and array.dtype == dtype and array.ndim == ndim):
        found = f"{getattr(array, 'dtype', type(array))}, {getattr(array, 'ndim', 0)}-D"
        expected = f"{np.dtype(dtype)}, {ndim}-D"
        raise DecoderFileError(f"tables: {name}: found {found}, expected {expected}")
    if array.size == 0:
        raise DecoderFileError(f"tables: {name}: found shape {array.shape}, expected no empty axis")
