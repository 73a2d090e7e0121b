"""rANS streams and the symbols in them (docs/format.md, docs/format-exact.md)."""

import numpy as np

from .container import check


def bits(value):
    return int(value).bit_length()


def clamp(value, least, most):
    return min(max(value, least), most)


def sign(value):
    return int(value > 0) - int(value < 0)


class Stream:
    """A stream from which symbols are popped."""

    def __init__(self, data):
        head = len(data) if len(data) <= 4 else 5 if len(data) % 2 else 6
        self.x = int.from_bytes(data[:head], "big") if data else 1
        self.words = np.frombuffer(data[head:], ">u2").tolist()[::-1]

    def slot(self, p=16):
        return self.x & ((1 << p) - 1)

    def take(self, start, frequency, p=16):
        self.x = frequency * (self.x >> p) + self.slot(p) - start
        if self.x < 1 << 32 and self.words:
            self.x = self.x << 16 | self.words.pop()

    def finish(self):
        check(self.x == 1 and not self.words, "a stream that goes on")

    def uniform(self, count):
        """Uniform bits, the shorter chunk first."""
        value = 0
        while count:
            width = (count - 1) % 16 + 1
            value, count = value << width | self._chunk(width), count - width
        return value

    def raw(self, count, above=0):
        """Raw bits below those `above`, the shorter chunk last."""
        while count > 0:
            width = min(count, 16)
            above, count = above << width | self._chunk(width), count - width
        return above

    def _chunk(self, width):
        chunk = self.slot(width)
        self.take(chunk, 1, width)
        return chunk

    def among(self, frequencies, p=16):
        start, slot = 0, self.slot(p)
        for number, frequency in enumerate(map(int, frequencies)):
            if slot < start + frequency:
                self.take(start, frequency, p)
                return number
            start += frequency
        raise ValueError("frequencies that do not fill the slots")

    def even(self, size):
        tail = 0
        while (size - 1) >> tail >= 1 << 15:
            tail += 1
        m = ((size - 1) >> tail) + 1
        head = self.slot() * m >> 16
        start, end = (-(-(h << 16) // m) for h in (head, head + 1))
        self.take(start, end - start)
        return self.raw(tail, head)

    def bit(self, model):
        """A bit of an adaptive model [frequency of 0, bits seen], which is updated."""
        zero = clamp(model[0], 64, (1 << 16) - 64)
        bit = int(self.slot() >= zero)
        self.take(*((zero, (1 << 16) - zero) if bit else (0, zero)))
        target = 0 if bit else 1 << 16
        model[0] += (target - model[0]) * 2 // (2 * model[1] + 3)
        if 2 * model[1] + 3 < 128:
            model[1] += 1
        return bit


STOPS = (2000, 6000, 14000, 26000, 42000, 54000, 61000)


class Residuals:
    """Signed integers, mostly small."""

    def __init__(self):
        self.stops = [
            [[(1 << 16) - STOPS[clamp(2 * k - e + 5, 0, 13) // 2], 2] for k in range(64)]
            for e in range(48)
        ]
        self.signs = [[1 << 15, 0] for _ in range(9)]
        self.tails = [[[1 << 15, 0] for _ in range(4)] for _ in range(64)]

    def take(self, stream, energy, tilt):
        size = bits(energy)
        half = energy >> (size - 2) & 1 if size > 1 else 0
        stops, count = self.stops[min(2 * size + half, 47)], 0
        while count < 63 and stream.bit(stops[count]):
            count += 1
        if not count:
            return 0
        negative = stream.bit(self.signs[tilt])
        found, left = 1, count - 1
        while left and found < 4:
            found = found << 1 | stream.bit(self.tails[count][found])
            left -= 1
        found = stream.raw(left, found)
        return -found if negative else found


USUAL_CODING = [0, 4, 11, *[v for step in range(8, 24) for v in (step, 1024)][:-1]]
RANGE_KINDS = (16128, 128, 16, 96, 16)


def tile(data, header, tensors):
    """Coefficients, step index, low and high of a tile stream."""
    stream = Stream(data)
    base, step, width, *pairs = header.get("c", USUAL_CODING)
    pairs = [*pairs, 2**14 - sum(pairs[1::2])]
    kind = stream.among(RANGE_KINDS, 14)
    classes = tensors["latent.classes"]
    found, index = np.zeros(classes.shape[2], dtype=np.int64), 0
    if kind < 3:
        table = sorted(zip(pairs[::2], pairs[1::2], strict=True))
        index = table[stream.among([f for _, f in table], 14)][0]
        c = stream.among(tensors["latent.class_frequencies"], 14)
        rows = tensors["latent.frequencies"]
        most = rows.shape[1] // 2 - 1
        ends = np.cumsum(rows.astype(np.int64), axis=1)
        for d, row in enumerate(classes[c, index]):
            symbol = int(np.searchsorted(ends[row], stream.slot(14), side="right"))
            stream.take(int(ends[row, symbol] - rows[row, symbol]), int(rows[row, symbol]), 14)
            found[d] = symbol - most
            if symbol == 2 * most + 1:
                negative, n = stream.uniform(1), stream.uniform(5)
                size = most + (1 << n) + stream.uniform(n)
                found[d] = -size if negative else size

    def end():
        if kind in (2, 4):
            return float(np.array([stream.uniform(64)], np.uint64).view(np.float64)[0])
        return base + stream.uniform(width + (6 if kind else 0)) * (step / 64 if kind else step)

    low = end()
    high = end() if kind < 3 else low
    stream.finish()
    check(np.isfinite([low, high]).all() and (low < high) == (kind < 3), "a range upside down")
    return found, index, low, high
