"""The rANS coder of `formats.rans` for one stream whose symbols depend on those before them.

Same streams, same integers; compiled, because contexts force it to go symbol by symbol. A symbol of
precision p is an interval [start, start + frequency) of 2^p slots.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from velcodec.formats.compiled import njit
from velcodec.formats.entropy.rans import STATE_BITS, WORD_BITS, head_length
from velcodec.formats.errors import CorruptError

UInt64 = NDArray[np.uint64]

_LOW = np.uint64(1 << STATE_BITS)
_WORD = np.uint64(WORD_BITS)
_MASK = np.uint64((1 << WORD_BITS) - 1)
_ROOM = STATE_BITS + WORD_BITS

STATE, READ, WORDS = range(3)
"""What a decoder's (3,) uint64 `state` holds: x, words read, words there are."""


@njit(cache=True)
def peek(state: UInt64, precision: int) -> int:
    """The slot in [0, 2^precision) of the next symbol."""
    # numba makes int() of an unsigned number unsigned, and the sum of both kinds a float.
    return np.int64(state[STATE] & np.uint64((1 << precision) - 1))  # type: ignore[return-value]


@njit(cache=True)
def pop(state: UInt64, words: UInt64, start: int, frequency: int, precision: int) -> None:
    """Take a symbol off."""
    x = state[STATE]
    slot = x & np.uint64((1 << precision) - 1)
    x = np.uint64(frequency) * (x >> np.uint64(precision)) + slot - np.uint64(start)
    if x < _LOW and state[READ] < state[WORDS]:
        x = (x << _WORD) | words[state[READ]]
        state[READ] += np.uint64(1)
    state[STATE] = x


@njit(cache=True)
def _push_all(symbols: NDArray[np.int32], words: UInt64) -> tuple[np.uint64, int]:
    x, written = np.uint64(1), 0
    for i in range(len(symbols) - 1, -1, -1):
        start, frequency = np.uint64(symbols[i, 0]), np.uint64(symbols[i, 1])
        precision = symbols[i, 2]
        while x >= frequency << np.uint64(_ROOM - precision):
            words[written] = x & _MASK
            written += 1
            x >>= _WORD
        x = ((x // frequency) << np.uint64(precision)) + x % frequency + start
    return x, written


def encode_symbols(symbols: NDArray[np.int32]) -> bytes:
    """The stream of symbols (n, 3): start, frequency, precision, in order of decoding."""
    words = np.zeros(len(symbols) + 1, dtype=np.uint64)
    x, written = _push_all(symbols, words)
    state = int(x)
    head = b"" if state == 1 else state.to_bytes((state.bit_length() + 7) // 8, "big")
    return head + words[:written][::-1].astype(">u2").tobytes()


def open_stream(stream: bytes) -> tuple[UInt64, UInt64]:
    """The decoder's state and the words of a stream."""
    head = head_length(len(stream))
    words = np.frombuffer(stream[head:], dtype=">u2").astype(np.uint64)
    first = int.from_bytes(stream[:head], "big") if head else 1
    return np.array([first, 0, len(words)], dtype=np.uint64), words


def check_read(state: UInt64) -> None:
    """Raise CorruptError unless the stream was read to its end and no further."""
    if state[STATE] != 1 or state[READ] != state[WORDS]:
        raise CorruptError(
            f"exact stream: found state {int(state[STATE])} with "
            f"{int(state[WORDS] - state[READ])} words left, expected state 1 and none"
        )
