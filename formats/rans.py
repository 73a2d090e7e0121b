"""Range-variant asymmetric numeral systems (rANS), vectorised over independent streams.

Integer arithmetic only. The state of each lane lies in [2^32, 2^48) and is renormalised by 16-bit
words. The encoder starts from state 1 and the decoder does not read past the end, so a stream costs
its ideal length rounded up to bytes and nothing for its termination (docs/format.md, "Entropy
coding"). Source: Duda, "Asymmetric numeral systems", arXiv:1311.2540.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .errors import CorruptError

UInt64 = NDArray[np.uint64]
Bool = NDArray[np.bool_]

STATE_BITS = 32
WORD_BITS = 16
MAX_PRECISION = 16
_LOW = np.uint64(1 << STATE_BITS)
_WORD = np.uint64(WORD_BITS)
_WORD_MASK = np.uint64((1 << WORD_BITS) - 1)


def _u64(values: ArrayLike) -> UInt64:
    return np.asarray(values).astype(np.uint64)


class RansEncoder:
    """Encodes n streams at once; symbols are pushed in the reverse of the order of decoding."""

    def __init__(self, n: int) -> None:
        self._state = np.ones(n, dtype=np.uint64)
        self._words: list[tuple[UInt64, NDArray[np.intp]]] = []
        self._n = n

    def push(
        self, start: ArrayLike, frequency: ArrayLike, precision: int, active: Bool | None = None
    ) -> None:
        """Push one symbol of [start, start + frequency) out of 2^precision on every active lane."""
        start, frequency = _u64(start), _u64(frequency)
        state = self._state
        limit = frequency << np.uint64(STATE_BITS + WORD_BITS - precision)
        full = state >= limit
        if active is not None:
            full &= active
        lanes = np.flatnonzero(full)
        if len(lanes):
            self._words.append((state[lanes] & _WORD_MASK, lanes))
            state[lanes] >>= _WORD
        frequency = np.where(frequency == 0, np.uint64(1), frequency)
        pushed = ((state // frequency) << np.uint64(precision)) + state % frequency + start
        self._state = pushed if active is None else np.where(active, pushed, state)

    def push_bits(self, values: ArrayLike, bits: int, active: Bool | None = None) -> None:
        """Push `bits` (<= 64) uniform bits of each value, most significant chunk decoded first."""
        values = np.broadcast_to(_u64(values), (self._n,))
        for low in range(0, bits, WORD_BITS):
            width = min(WORD_BITS, bits - low)
            chunk = (values >> np.uint64(low)) & np.uint64((1 << width) - 1)
            self.push(chunk, np.ones(self._n, dtype=np.uint64), width, active)

    def finish(self) -> list[bytes]:
        """The bytes of every stream."""
        words: list[list[bytes]] = [[] for _ in range(self._n)]
        for values, lanes in reversed(self._words):
            packed = values.astype(">u2").tobytes()
            for i, lane in enumerate(lanes.tolist()):
                words[lane].append(packed[2 * i : 2 * i + 2])
        streams = []
        for lane, state in enumerate(self._state.tolist()):
            head = b"" if state == 1 else state.to_bytes((state.bit_length() + 7) // 8, "big")
            streams.append(head + b"".join(words[lane]))
        return streams


class RansDecoder:
    """Decodes n streams at once; `finish` tells whether they were whole."""

    def __init__(self, streams: Sequence[bytes]) -> None:
        n = len(streams)
        heads = [head_length(len(stream)) for stream in streams]
        self._count = np.array(
            [(len(s) - h) // 2 for s, h in zip(streams, heads, strict=True)], dtype=np.int64
        )
        # All streams' words lie end to end: one long stream among many short ones costs no more.
        tails = b"".join(s[h:] for s, h in zip(streams, heads, strict=True))
        self._words = np.frombuffer(tails, dtype=">u2")
        self._first = np.cumsum(self._count) - self._count
        states = [int.from_bytes(s[:h], "big") for s, h in zip(streams, heads, strict=True)]
        self._state = np.array(states, dtype=np.uint64)
        self._state[np.array(heads, dtype=np.int64) == 0] = 1
        self._read = np.zeros(n, dtype=np.int64)
        self._n = n

    def peek(self, precision: int) -> NDArray[np.int64]:
        """Where in [0, 2^precision) each lane's next symbol lies."""
        return (self._state & np.uint64((1 << precision) - 1)).astype(np.int64)

    def pop(
        self, start: ArrayLike, frequency: ArrayLike, precision: int, active: Bool | None = None
    ) -> None:
        """Take the symbol [start, start + frequency) off every active lane."""
        slot = self._state & np.uint64((1 << precision) - 1)
        state = _u64(frequency) * (self._state >> np.uint64(precision)) + slot - _u64(start)
        hungry = (state < _LOW) & (self._read < self._count)
        if active is not None:
            hungry &= active
        lanes = np.flatnonzero(hungry)
        if len(lanes):
            word = self._words[self._first[lanes] + self._read[lanes]].astype(np.uint64)
            state[lanes] = (state[lanes] << _WORD) | word
            self._read[lanes] += 1
        self._state = state if active is None else np.where(active, state, self._state)

    def pop_bits(self, bits: int, active: Bool | None = None) -> UInt64:
        """Take `bits` (<= 64) uniform bits off every active lane; 0 on the others."""
        values = np.zeros(self._n, dtype=np.uint64)
        one = np.ones(self._n, dtype=np.uint64)
        for low in reversed(range(0, bits, WORD_BITS)):
            width = min(WORD_BITS, bits - low)
            chunk = self.peek(width).astype(np.uint64)
            self.pop(chunk, one, width, active)
            values |= chunk << np.uint64(low)
        return values if active is None else np.where(active, values, np.uint64(0))

    def finish(self) -> None:
        """Raise `CorruptError` unless every stream was read to its end and no further."""
        wrong = np.flatnonzero((self._state != 1) | (self._read != self._count))
        if len(wrong):
            lane = int(wrong[0])
            raise CorruptError(
                f"stream {lane}: found state {int(self._state[lane])} with "
                f"{int(self._count[lane] - self._read[lane])} words left, expected state 1 and none"
            )


def head_length(total: int) -> int:
    """Bytes of the state at the head of a stream of `total` bytes."""
    if total <= 4:
        return total
    return 5 if total % 2 else 6
