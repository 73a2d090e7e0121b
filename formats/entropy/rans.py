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

from velcodec.formats.errors import CorruptError

UInt64 = NDArray[np.uint64]
Bool = NDArray[np.bool_]

STATE_BITS = 32
WORD_BITS = 16
_LOW = np.uint64(1 << STATE_BITS)
_WORD = np.uint64(WORD_BITS)
_WORD_MASK = np.uint64((1 << WORD_BITS) - 1)


def _u64(values: ArrayLike) -> UInt64:
    return np.asarray(values).astype(np.uint64)


class RansEncoder:
    """Encodes n streams at once; symbols are pushed in the reverse of the order of decoding."""

    def __init__(self, n: int) -> None:
        self.state = np.ones(n, dtype=np.uint64)
        self._words: list[tuple[UInt64, NDArray[np.intp]]] = []
        self._n = n

    def push(
        self, start: ArrayLike, frequency: ArrayLike, precision: int, active: Bool | None = None
    ) -> None:
        """Push one symbol of [start, start + frequency) out of 2^precision on every active lane."""
        start, frequency = _u64(start), _u64(frequency)
        state = self.state
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
        self.state = pushed if active is None else np.where(active, pushed, state)

    def push_bits(self, values: ArrayLike, bits: int, active: Bool | None = None) -> None:
        """Push `bits` (<= 64) uniform bits of each value, most significant chunk decoded first."""
        values = np.broadcast_to(_u64(values), (self._n,))
        for low in range(0, bits, WORD_BITS):
            width = min(WORD_BITS, bits - low)
            chunk = (values >> np.uint64(low)) & np.uint64((1 << width) - 1)
            self.push(chunk, np.ones(self._n, dtype=np.uint64), width, active)

    def add_words(self, values: NDArray[np.integer], lanes: NDArray[np.intp]) -> None:
        """Take words that another coder of these states has put out, in its order."""
        self._words.append((values[::-1].astype(np.uint64), lanes[::-1]))

    def finish(self) -> list[bytes]:
        """The bytes of every stream."""
        last_first = self._words[::-1]
        values = np.concatenate([np.zeros(0, np.uint64), *(values for values, _ in last_first)])
        lanes = np.concatenate([np.zeros(0, np.intp), *(lanes for _, lanes in last_first)])
        packed = values[np.argsort(lanes, kind="stable")].astype(">u2").tobytes()
        ends = 2 * np.cumsum(np.bincount(lanes, minlength=self._n))
        streams, at = [], 0
        for state, end in zip(self.state.tolist(), ends.tolist(), strict=True):
            head = b"" if state == 1 else state.to_bytes((state.bit_length() + 7) // 8, "big")
            streams.append(head + packed[at:end])
            at = end
        return streams


class RansDecoder:
    """Decodes n streams at once; `finish` tells whether they were whole.

    Stream i has a head of heads[i] bytes and the words first[i] to first[i] + count[i], of which
    read[i] have been read.
    """

    def __init__(self, streams: Sequence[bytes]) -> None:
        n = len(streams)
        heads = [head_length(len(stream)) for stream in streams]
        self.count = np.array(
            [(len(s) - h) // 2 for s, h in zip(streams, heads, strict=True)], dtype=np.int64
        )
        # All streams' words lie end to end: one long stream among many short ones costs no more.
        tails = b"".join(s[h:] for s, h in zip(streams, heads, strict=True))
        self.words = np.frombuffer(tails, dtype=">u2").astype(np.uint64)
        self.first = np.cumsum(self.count) - self.count
        self.heads = np.array(heads, dtype=np.int64)
        states = [int.from_bytes(s[:h], "big") for s, h in zip(streams, heads, strict=True)]
        self.state = np.array(states, dtype=np.uint64)
        self.state[self.heads == 0] = 1
        self.read = np.zeros(n, dtype=np.int64)
        self._n = n

    @property
    def bytes_read(self) -> NDArray[np.int64]:
        """Bytes of every stream that its state has come from so far."""
        return self.heads + WORD_BITS // 8 * self.read

    def peek(self, precision: int) -> NDArray[np.int64]:
        """Where in [0, 2^precision) each lane's next symbol lies."""
        return (self.state & np.uint64((1 << precision) - 1)).astype(np.int64)

    def pop(
        self, start: ArrayLike, frequency: ArrayLike, precision: int, active: Bool | None = None
    ) -> None:
        """Take the symbol [start, start + frequency) off every active lane."""
        slot = self.state & np.uint64((1 << precision) - 1)
        state = _u64(frequency) * (self.state >> np.uint64(precision)) + slot - _u64(start)
        hungry = (state < _LOW) & (self.read < self.count)
        if active is not None:
            hungry &= active
        lanes = np.flatnonzero(hungry)
        if len(lanes):
            word = self.words[self.first[lanes] + self.read[lanes]]
            state[lanes] = (state[lanes] << _WORD) | word
            self.read[lanes] += 1
        self.state = state if active is None else np.where(active, state, self.state)

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
        wrong = np.flatnonzero((self.state != 1) | (self.read != self.count))
        if len(wrong):
            lane = int(wrong[0])
            raise CorruptError(
                f"stream {lane}: found state {int(self.state[lane])} with "
                f"{int(self.count[lane] - self.read[lane])} words left, expected state 1 and none"
            )


def head_length(total: int) -> int:
    """Bytes of the state at the head of a stream of `total` bytes."""
    if total <= 4:
        return total
    return 5 if total % 2 else 6
