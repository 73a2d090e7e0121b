"""Coefficients of many streams by compiled loops, one stream after another.

Same streams and integers as `rans`, whose states these loops take up and leave; a step of `rans`
costs as much for few streams as for many. Imported where something is coded, for numba's sake.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from velcodec.formats.compiled import njit
from velcodec.formats.entropy.rans import STATE_BITS, WORD_BITS, Bool, UInt64
from velcodec.formats.entropy.scalar_rans import READ, STATE, WORDS, peek, pop
from velcodec.formats.latent_coding.tables import PRECISION

Int64 = NDArray[np.int64]
Int32 = NDArray[np.int32]
Float64 = NDArray[np.float64]
Rows = NDArray[np.uint8]

MAX_COEFFICIENT = 2**31 - 1
SIGN_BITS = 1
LENGTH_BITS = 5

ESCAPE_WORDS = 4
"""Words that an escape adds at most: sign, length, two chunks of its tail."""

_ROOM = STATE_BITS + WORD_BITS
_WORD = np.uint64(WORD_BITS)
_MASK = np.uint64((1 << WORD_BITS) - 1)


@njit(cache=True)
def _pop_bits(state: UInt64, words: UInt64, bits: int) -> int:
    """At most WORD_BITS uniform bits."""
    chunk = peek(state, bits)
    pop(state, words, chunk, 1, bits)
    return chunk


@njit(cache=True)
def _tail_bits(beyond: int) -> int:
    """Bits below the leading one."""
    bits = 0
    while beyond >> (bits + 1):
        bits += 1
    return bits


@njit(cache=True)
def pop_coefficients(
    state: UInt64, read: Int64, words: UInt64, first: Int64, count: Int64, active: Bool,
    rows: Rows, symbol_of_slot: NDArray[np.uint16], starts: Int64,
    frequencies: NDArray[np.uint16], coefficients: Int32, words_before: Int64,
) -> int:  # fmt: skip
    """Take the coefficients (n, D) off every active stream; the largest size found where one is
    beyond MAX_COEFFICIENT, else 0.

    Stream i has the words first[i] to first[i] + count[i]. `rows` (n, D) are rows of the tables.
    `words_before` (n, D) is set to how many words had been read when a coefficient was known.
    """
    limit = frequencies.shape[1] // 2 - 1
    lane = np.empty(3, dtype=np.uint64)
    for i in range(len(state)):
        if not active[i]:
            continue
        own = words[first[i] : first[i] + count[i]]
        lane[STATE], lane[READ], lane[WORDS] = state[i], read[i], count[i]
        for d in range(rows.shape[1]):
            row = rows[i, d]
            words_before[i, d] = lane[READ]
            symbol = np.int64(symbol_of_slot[row, peek(lane, PRECISION)])
            pop(lane, own, starts[row, symbol], frequencies[row, symbol], PRECISION)
            value = symbol - limit
            if value > limit:
                negative = _pop_bits(lane, own, SIGN_BITS)
                words_before[i, d] = lane[READ]
                left = length = _pop_bits(lane, own, LENGTH_BITS)
                tail = 0
                while left:
                    words_before[i, d] = lane[READ]
                    width = (left - 1) % WORD_BITS + 1
                    tail = (tail << width) | _pop_bits(lane, own, width)
                    left -= width
                value = limit + (1 << length) + tail
                if value > MAX_COEFFICIENT:
                    return value
                value = -value if negative else value
            coefficients[i, d] = value
        state[i], read[i] = lane[STATE], lane[READ]
    return 0


@njit(cache=True)
def _push(
    x: np.uint64, start: int, frequency: int, precision: int, words: NDArray[np.uint16], at: int
) -> tuple[np.uint64, int]:
    f = np.uint64(frequency)
    if x >= f << np.uint64(_ROOM - precision):
        words[at] = x & _MASK
        at += 1
        x >>= _WORD
    return ((x // f) << np.uint64(precision)) + x % f + np.uint64(start), at


@njit(cache=True)
def _push_bits(
    x: np.uint64, value: int, bits: int, words: NDArray[np.uint16], at: int
) -> tuple[np.uint64, int]:
    while bits:
        width = min(WORD_BITS, bits)
        x, at = _push(x, value & ((1 << width) - 1), 1, width, words, at)
        value >>= width
        bits -= width
    return x, at


@njit(cache=True)
def push_coefficients(
    state: UInt64, active: Bool, rows: Rows, starts: Int64, frequencies: NDArray[np.uint16],
    coefficients: Int32, words: NDArray[np.uint16], ends: Int64,
) -> None:  # fmt: skip
    """Push the coefficients (n, D) of every active stream, last first.

    Its words go to `words`, those of stream i up to `ends[i]`; there must be room for
    ESCAPE_WORDS for each escape and one for each coefficient.
    """
    limit = frequencies.shape[1] // 2 - 1
    at = 0
    for i in range(len(state)):
        x = state[i]
        if active[i]:
            for d in range(rows.shape[1] - 1, -1, -1):
                value = np.int64(coefficients[i, d])
                beyond = abs(value) - limit
                symbol = value + limit
                if beyond > 0:
                    length = _tail_bits(beyond)
                    x, at = _push_bits(x, beyond - (1 << length), length, words, at)
                    x, at = _push_bits(x, length, LENGTH_BITS, words, at)
                    x, at = _push_bits(x, 1 if value < 0 else 0, SIGN_BITS, words, at)
                    symbol = 2 * limit + 1
                row = rows[i, d]
                x, at = _push(
                    x, starts[row, symbol], frequencies[row, symbol], PRECISION, words, at
                )
        state[i] = x
        ends[i] = at


@njit(cache=True)
def class_bits(
    coefficients: Int32, step: Int64, classes: NDArray[np.uint8], bits: Float64, total: Float64
) -> None:
    """Add to `total` (C, n) the ideal length of every tile's coefficients under every class.

    `bits` (T, A) are the lengths of the symbols of the tables' rows.
    """
    limit = bits.shape[1] // 2 - 1
    for i in range(len(coefficients)):
        escapes = 0
        for d in range(coefficients.shape[1]):
            value = np.int64(coefficients[i, d])
            beyond = abs(value) - limit
            symbol = value + limit
            if beyond > 0:
                escapes += SIGN_BITS + LENGTH_BITS + _tail_bits(beyond)
                symbol = 2 * limit + 1
            for c in range(len(classes)):
                total[c, i] += bits[classes[c, step[i], d], symbol]
        for c in range(len(classes)):
            total[c, i] += escapes
