"""Label images with neighbour contexts: an adaptive binary arithmetic coder, compiled.

For each sample, row by row, two neighbours are tried ("is it this label?") in contexts of which
neighbours are equal; any other label is coded as a signed distance from the left one. The same loop
encodes and decodes.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from velcodec.formats.arrays import Int64

_LOW, _HIGH, _AT, _VALUE = range(4)
"""Fields of a coder's state: the interval's ends, bytes done, and the decoder's window."""

_SIGN = 256
_DISTANCE = 260
_LONGEST = 12
_CONTEXTS = _DISTANCE + 2 * (_LONGEST + 1)

_SURE = 48
"""Least probability of a bit, of 65536."""


def fresh_contexts() -> tuple[Int64, Int64]:
    """Probability of a 1, of 65536, and number of uses, for every context."""
    chances = np.full(_CONTEXTS, 32768)
    chances[:128] = 65536 * 15 // 16
    return chances, np.zeros(_CONTEXTS, np.int64)


@njit(cache=True)
def _code_bit(
    bit: int, context: int, chances: Int64, uses: Int64, coder: Int64, data: NDArray[np.uint8],
    decoding: bool,
) -> int:  # fmt: skip
    chance, width = chances[context], coder[_HIGH] - coder[_LOW]
    middle = coder[_LOW] + (width >> 16) * chance + (((width & 0xFFFF) * chance) >> 16)
    if decoding:
        bit = 1 if coder[_VALUE] <= middle else 0
    if bit:
        coder[_HIGH] = middle
    else:
        coder[_LOW] = middle + 1
    while (coder[_LOW] ^ coder[_HIGH]) & 0xFF000000 == 0:
        at = coder[_AT]
        if decoding:
            byte = data[at] if at < len(data) else 0
            coder[_VALUE] = ((coder[_VALUE] << 8) & 0xFFFFFFFF) | byte
        else:
            data[at] = coder[_HIGH] >> 24
        coder[_AT] = at + 1
        coder[_LOW] = (coder[_LOW] << 8) & 0xFFFFFFFF
        coder[_HIGH] = ((coder[_HIGH] << 8) & 0xFFFFFFFF) | 0xFF
    off = (65536 if bit else 0) - chance
    chance += int(off / (uses[context] + 1.6)) if uses[context] < 60 else off >> 6
    uses[context] = min(uses[context] + 1, 60)
    chances[context] = min(max(chance, _SURE), 65536 - _SURE)
    return bit


@njit(cache=True)
def _code_labels(
    labels: Int64, count: int, chances: Int64, uses: Int64, coder: Int64, data: NDArray[np.uint8],
    decoding: bool,
) -> None:  # fmt: skip
    rows, columns = labels.shape
    tried = np.empty(2, np.int64)
    order = np.empty(4, np.int64)
    for z in range(rows):
        for x in range(columns):
            left = labels[z, x - 1] if x else -1
            up = labels[z - 1, x] if z else -1
            corner = labels[z - 1, x - 1] if z and x else -1
            ahead = labels[z - 1, x + 1] if z and x + 1 < columns else up
            left2 = labels[z, x - 2] if x > 1 else left
            up2 = labels[z - 2, x] if z > 1 else up
            context = (
                (left == up)
                | (left == corner) << 1
                | (up == ahead) << 2
                | (up == corner) << 3
                | (left == left2) << 4
                | (up == up2) << 5
                | (left == ahead) << 6
            )
            order[2], order[3] = ahead, corner
            if left >= 0 and left != corner:
                order[0], order[1] = left, up
            else:
                order[0], order[1] = up, left
            label, asked, found = labels[z, x], 0, False
            for candidate in order:
                if candidate < 0 or (asked and candidate == tried[0]):
                    continue
                hit = 1 if label == candidate else 0
                if _code_bit(hit, 128 * asked + context, chances, uses, coder, data, decoding):
                    labels[z, x] = candidate
                    found = True
                    break
                tried[asked] = candidate
                asked += 1
                if asked == 2:
                    break
            if found:
                continue
            near = left if left >= 0 else up
            if near <= 0:
                greater = 1
            elif near == count - 1:
                greater = 0
            else:
                sign = _SIGN + (0 if up > near else 1 if 0 <= up < near else 2)
                guess = 1 if label > near else 0
                greater = _code_bit(guess, sign, chances, uses, coder, data, decoding)
            most = count - 1 - near if greater else near
            distance, base = 1, _DISTANCE + (_LONGEST + 1 if count > 8 else 0)
            while distance < most:
                further = 1 if abs(label - near) > distance else 0
                context = base + min(distance, _LONGEST)
                if not _code_bit(further, context, chances, uses, coder, data, decoding):
                    break
                distance += 1
            labels[z, x] = near + distance if greater else near - distance


class LabelCoder:
    """Codes label images one after another; images with equal numbers of labels share contexts."""

    def __init__(self, data: bytes | None = None) -> None:
        self._decoding = data is not None
        self._state = np.array([0, 0xFFFFFFFF, 0, 0])
        self._contexts: dict[int, tuple[Int64, Int64]] = {}
        if data is None:
            self._data = np.zeros(0, np.uint8)
        else:
            self._data = np.frombuffer(bytearray(data), np.uint8)
            self._state[_AT] = 4
            self._state[_VALUE] = int.from_bytes(data[:4].ljust(4, b"\0"), "big")

    def code(self, labels: Int64, count: int) -> None:
        """Write `labels` (nz, nx) of [0, count), or read them in place."""
        if count > 1:
            if not self._decoding:
                self._make_room(labels)
            chances, uses = self._contexts.setdefault(min(count, 9), fresh_contexts())
            _code_labels(labels, count, chances, uses, self._state, self._data, self._decoding)
        elif self._decoding:
            labels[...] = 0

    def _make_room(self, labels: Int64) -> None:
        """A sample takes at most three binary decisions and one per step of its distance; a
        decision takes at most eleven bits.
        """
        distances = np.abs(np.diff(labels, axis=1)).sum() + np.abs(np.diff(labels[:, 0])).sum()
        asked = 3 * labels.size + int(distances) + int(labels[0, 0]) + 1
        needed = int(self._state[_AT]) + asked * 11 // 8 + 16
        self._data = np.concatenate([self._data, np.zeros(needed, np.uint8)])[:needed]

    def finish(self) -> bytes:
        """The bytes; a decoder reads zeros after them."""
        low, high = int(self._state[_LOW]), int(self._state[_HIGH])
        for kept in range(5):
            mask = (1 << (32 - 8 * kept)) - 1
            end = (low + mask) & ~mask
            if end <= high:
                break
        done = self._data[: self._state[_AT]].tobytes()
        return (done + end.to_bytes(4, "big")).rstrip(b"\0")
