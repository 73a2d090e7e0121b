"""Symbols of exact streams, one function for both directions: what is given is coded or ignored,
what is returned is the same on both sides.

A coder is a tuple: whether it decodes, the rANS state and words of a decoder, and the symbols that
an encoder has collected with their count.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from velcodec.formats.compiled import njit
from velcodec.formats.entropy.scalar_rans import check_read, encode_symbols, open_stream, peek, pop
from velcodec.formats.sample_coding.label_map.network import PRECISION

Int64 = NDArray[np.int64]
UInt64 = NDArray[np.uint64]
Coder = tuple[bool, UInt64, UInt64, NDArray[np.int32], Int64]

DECODING = 0

EVEN_BITS = 15
"""Even symbols are cut into a head of at most so many bits and raw bits."""

CERTAIN = 64
"""Least frequency of either value of an adaptive bit."""

SLOWEST = 6
"""An adaptive bit forgets with a rate of at least 2^-SLOWEST."""


def new_encoder(most: int) -> Coder:
    """An encoder of at most so many symbols."""
    state, words = open_stream(b"")
    return False, state, words, np.zeros((most, 3), dtype=np.int32), np.zeros(1, dtype=np.int64)


def finish_encoder(coder: Coder) -> bytes:
    """The stream of all that was coded."""
    _, _, _, symbols, count = coder
    return encode_symbols(symbols[: count[0]])


def new_decoder(stream: bytes) -> Coder:
    """A decoder of a stream."""
    state, words = open_stream(stream)
    return True, state, words, np.zeros((0, 3), dtype=np.int32), np.zeros(1, dtype=np.int64)


def finish_decoder(coder: Coder) -> None:
    """Raise CorruptError unless the stream was read to its end and no further."""
    _, state, _, _, _ = coder
    check_read(state)


@njit(cache=True)
def code_interval(start: int, frequency: int, precision: int, coder: Coder) -> None:
    """The interval from `start` on, `frequency` of 2^precision slots."""
    decoding, state, words, symbols, count = coder
    if decoding:
        pop(state, words, start, frequency, precision)
    else:
        row = symbols[count[0]]
        row[0], row[1], row[2] = start, frequency, precision
        count[0] += 1


@njit(cache=True)
def code_even(value: int, size: int, coder: Coder) -> int:
    """An integer of [0, size), all alike."""
    decoding, state = coder[0], coder[1]
    tail = 0
    while ((size - 1) >> tail) >= 1 << EVEN_BITS:
        tail += 1
    head_size = ((size - 1) >> tail) + 1
    total = 1 << PRECISION
    head = value >> tail
    if decoding:
        head = peek(state, PRECISION) * head_size // total
    start = (head * total + head_size - 1) // head_size
    end = ((head + 1) * total + head_size - 1) // head_size
    code_interval(start, end - start, PRECISION, coder)
    return code_bits(value, head, tail, coder)


@njit(cache=True)
def code_bits(value: int, head: int, bits: int, coder: Coder) -> int:
    """The lowest `bits` of `value` as they are, below the higher ones, `head`."""
    decoding, state = coder[0], coder[1]
    found = head
    while bits > 0:
        width = min(bits, PRECISION)
        bits -= width
        chunk = (value >> bits) & ((1 << width) - 1)
        if decoding:
            chunk = peek(state, width)
        code_interval(chunk, 1, width, coder)
        found = (found << width) | chunk
    return found


@njit(cache=True)
def code_among(value: int, frequencies: Int64, coder: Coder) -> int:
    """The number of an interval among `frequencies`, which sum to 2^16."""
    start = 0
    if coder[0]:
        slot = peek(coder[1], PRECISION)
        value = 0
        while slot >= start + frequencies[value]:
            start += frequencies[value]
            value += 1
    else:
        for k in range(value):
            start += frequencies[k]
    code_interval(start, frequencies[value], PRECISION, coder)
    return value


@njit(cache=True)
def code_bit(bit: int, model: Int64, coder: Coder) -> int:
    """A bit by an adaptive `model` (2,): its frequency of 0 out of 2^16 and bits seen."""
    zero = min(max(model[0], CERTAIN), (1 << PRECISION) - CERTAIN)
    if coder[0]:
        bit = int(peek(coder[1], PRECISION) >= zero)
    if bit:
        code_interval(zero, (1 << PRECISION) - zero, PRECISION, coder)
    else:
        code_interval(0, zero, PRECISION, coder)
    target = 0 if bit else 1 << PRECISION
    seen = model[1]
    model[0] += (target - model[0]) * 2 // (2 * seen + 3)
    if 2 * seen + 3 < 2 << SLOWEST:
        model[1] = seen + 1
    return bit
