"""Exact streams of mixing (docs/format-exact.md, "Mixing" and what follows)."""

from math import isqrt

import numpy as np

from .blended import blend
from .coder import bits, clamp
from .container import check
from .dct import half_octaves as size_of
from .labels import NONE, LabelMap, half_octaves, position
from .mixers import Mixer, chain, join
from .predictions import Near, Plane, Steady

NEIGHBOURHOOD = [(i, j) for i in range(3) for j in range(-2, 3) if i or j < 0]


def share(i, j):
    return {1: 4, 2: 2}.get(i * i + j * j, 1)


class Mixed(LabelMap):
    """An image being decoded; `start` are the tensors of mixing-1."""

    def __init__(self, stream, shape, span, bound, network, start):
        super().__init__(stream, shape, span, bound, network)
        n = self.nz * self.nx
        check(span <= 1 << 26 and n <= 1 << 22, "mixing of too great an image")
        self.smooth = stream.among(((1 << 16) - (1 << 12), 1 << 12))
        self.quiet = Mixer(stream, start, "quiet", n // 8)
        self.like = Mixer(stream, start, "like", n)
        self.miss = Mixer(stream, start, "smooth_miss" if self.smooth else "layered_miss", n)
        self.image = Plane(shape, span)
        self.steady = Steady(self.image, span)
        self.near = Near(self.image, span, start["prior"] / 256.0, self.smooth)
        self.label_of = {}
        self.memories, self.memory_bits = [{}, {}, {}], 4 + bits(n // 8)
        self.left = self.breaks = self.since = self.jump = self.broken = 0
        self.plain, self.deviation, self.runs, self.latest = span // 2, 0, [0, 0], 0
        self.errors = np.zeros((6, self.nx + 2, self.nz + 4), dtype=np.int64)
        self.misses = np.zeros((self.nx + 1, self.nz + 1), dtype=np.int64)

    def decode(self):
        for x in range(self.nx):
            self.image.begin(x)
            self.near.begin()
            for z in range(self.nz):
                if not self.smooth and not self.left and not self.broken:
                    self._stretch(x, z)
                if self.left:
                    self.left -= 1
                    self._note(x, z, self.at(x, z - 1), self.at(x, z - 1))
                else:
                    self._sample(x, z)
                    self.broken = 0
            self.image.end(x)
            self.near.end(x)
        self.stream.finish()
        return np.array(self.values, dtype=np.int64)[np.array(self.columns)].T

    def _note(self, x, z, label, above):
        """Take down the label of a sample, whose label above is `above`."""
        if z == 0:
            self.runs = [0, 0]
        elif label != above:
            self.runs = [z - self.run_top, self.runs[0]]
        self.columns[x][z] = label
        self.image[x, z] = self.values[label]
        self.counts[label] += 1
        self._advance(label, above, z)

    def _kind(self, x):
        n = len(self.values)
        return int(n > 6) if n <= 12 else min(2 + bits(2 * n // (x + 1)), 11)

    # Quiet stretches.

    def _stretch(self, x, z):
        samples, c = self._quiet_length(x, z)
        if samples == 0:
            return
        above, top, nz, nx = self.at(x, z - 1), self.run_top, self.nz, self.nx
        ends = []
        for k in range(3):
            row, column = z, self.columns[max(x - 1 - k, 0)]
            while row < min(nz, z + 40) and column[row] == above:
                row += 1
            ends.append(row)
        p = 8 * (clamp(ends[0] - ends[1], -3, 4) + 3) + clamp(ends[1] - ends[2], -3, 4) + 3
        row = z - 1
        while row >= max(0, top - 12) and self.columns[x - 1][row] == above:
            row -= 1
        moved = top - row - 1
        moved = 9 if abs(moved) > 8 or row < 0 or top == 0 else moved
        few, since, v = min(self.breaks, 15), bits(min(self.since, 32767)), self.values[above]
        values = [
            join(c, (bits(min(z - top, 255)), 32)), join(c, (few, 16), (since, 16)), chain(p, z),
            chain(v, p), chain(v, x), join(few, (since, 16), (p, 64)),
            join(min(z, 3), (min(nz - 1 - z, 3), 4), (min(nx - 1 - x, 3), 4), (c, 16)),
            join(moved + 8, (c, 16), (since, 16)),
        ]  # fmt: skip
        kind = self._kind(x)
        rows, maps = (c, 16 + few, 32 + since, 48 + kind), (c, 16 + few)
        self.since += samples
        if self.quiet.bit(contexts(277, values), 0, 0, rows, maps):
            self.left = samples
            return
        self.left = self._cut(z, samples, c, v, p, ends[0], moved, few, kind)
        self.breaks, self.since, self.broken = self.breaks + 1, 0, 1
        self.jump = z + self.left - ends[0]

    def _quiet_length(self, x, z):
        """Samples of the stretch that begins here, and its class."""
        if x < 2 or z < 1:
            return 0, 0
        nz, above, p, q = self.nz, self.at(x, z - 1), self.columns[x - 1], self.columns[x - 2]

        def first_other(column, row, end):
            while row < end and column[row] == above:
                row += 1
            return row

        r = min(first_other(p, z - 1, nz), first_other(q, z - 1, nz))
        if r == nz:
            return nz - z, 15
        e, f = first_other(p, r, min(nz, r + 2)), first_other(q, r, min(nz, r + 8))
        samples = max(0, min(r, 2 * e - f) - 2 - z)
        return samples, size_of(samples, 14)

    def _cut(self, z, samples, c, v, p, end, moved, few, kind):
        """Samples of a stretch before the one that breaks it."""
        instead = 0 if moved == 9 else moved
        for k in range(min(samples, 12) - 1):
            r = z + samples - 1 - k
            w = clamp(r - end - instead, -12, 3)
            values = [
                k, join(w, (instead, 32)), join(w, (p, 64)), chain(r - end, self.jump),
                join(k, (p, 64)), chain(r, v), join(k, (c, 16)), join(w, (moved, 32), (k, 16)),
            ]  # fmt: skip
            rows, maps = (64 + c, 80 + k, 96 + few, 112 + kind), (64 + c, 80 + k)
            if self.quiet.bit(contexts(377, values), 1, 1, rows, maps):
                return samples - 1 - k
        return 0 if samples <= 12 else self.stream.even(samples - 11)

    # Samples.

    def _sample(self, x, z):
        above = self.at(x, z - 1) if z else self.at(x - 1, 0)
        left = self.at(x - 1, z)
        after, self.codes = self._features(x, z, above, left)
        self._look_around(x, z, above, left)
        label, first_four = NONE, True
        if above != NONE and not self.smooth:
            label, first_four = self._candidate(x, z, above, after, left)
        else:
            self.steady.predict(x, z)
        if label == NONE:
            value = self._value(x, z, self.values[after] if after != NONE else self.b)
            check(0 <= value < self.span, "a number out of range")
            if value not in self.label_of:
                self.label_of[value] = len(self.values)
                self.values.append(value)
                self.counts.append(0)
                self.thickness.append((0, 0))
            label = self.label_of[value]
        if not first_four:
            for memory, key in zip(self.memories, self.keys, strict=True):
                memory[key] = label
        y = float(self.values[label]) - self.image[x, z - 1]
        self.steady.learn(y)
        self.near.learn(x, z, y)
        self._note(x, z, label, above)

    def _look_around(self, x, z, above, left):
        def seen(i, j, instead):
            label = self.at(i, j) if i >= 0 else NONE
            return self.values[label] if label != NONE else instead

        self.a = a = self.values[above] if above != NONE else self.span // 2
        self.a2, self.b = seen(x, z - 2, a), seen(x - 1, z, a)
        self.c, self.d = seen(x - 1, z - 1, self.b), seen(x - 1, z + 1, self.b)
        self.hi, self.lo = seen(x - 1, z - 2, self.c), seen(x - 1, z + 2, self.d)
        self.b2, self.c2, self.d2 = self.b, self.c, self.d
        if x > 1:
            self.b2 = seen(x - 2, z, None)
            self.c2, self.d2 = seen(x - 2, z - 1, self.b2), seen(x - 2, z + 1, self.b2)
        self.b3 = seen(x - 3, z, self.b2)
        self.kind, self.run = self._kind(x), 21 if self.codes[11] < 0 else self.codes[11]
        if above != NONE and z - self.run_top >= 3:
            self.plain = a
        self.next = self.plain
        if x > 0:
            column = self.columns[x - 1]
            plains = [
                column[row]
                for row in range(z, min(z + 10, self.nz - 2))
                if column[row] == column[row + 1] == column[row + 2]
            ]
            last = column[-1] if z + 10 >= self.nz - 2 else left
            self.next = self.values[plains[0] if plains else last]

    def _way(self, value):
        o, w = value - self.plain, self.next - self.plain
        if w < 0:
            o, w = -o, -w
        if o <= 0:
            return 0 if o == 0 else 1
        return 4 + 28 * o // w if o < w else 2 if o == w else 3

    # Candidates.

    def _ends(self, x, row, label):
        if not 1 <= row <= self.nz or self.columns[x][row - 1] != label:
            return False
        return row == self.nz or self.columns[x][row] != label

    def _steps(self, x, z, label):
        found, r, i = [0] * 5, z + self.codes[0] - 10, x - 1
        if not 5 <= self.codes[0] <= 16:
            return found
        for k in (0, 2, 4):
            while i >= 0 and found[k] < 63 and self._ends(i, r, label):
                i, found[k] = i - 1, found[k] + 1
            if i < 0 or k == 4 or found[k] == 63:
                break
            moves = [m for m in (1, -1, 2, -2, 3, -3) if self._ends(i, r + m, label)]
            found[k + 1] = moves[0] if moves else 9
            if not moves:
                break
            r += moves[0]
        return found

    def _ahead(self, x, z, label):
        """Line, few, parabola, followed."""
        rows, q = [], z + self.codes[0] - 10
        if not 2 <= self.codes[0] <= 19:
            return 0, 0, 0, 0
        for k in range(1, min(16, x) + 1):
            near = [q + m for m in (0, -1, 1, -2, 2, -3, 3) if self._ends(x - k, q + m, label)]
            if not near:
                break
            q = near[0]
            rows.append(q - z)
        n = len(rows)
        if n == 0:
            return 0, 0, 0, 0

        def sums(count):
            return [
                sum(k**power * row for k, row in enumerate(rows[:count], 1)) for power in range(3)
            ]

        def line(count):
            s0, s1, _ = sums(count)
            if count == 1:
                return 8 * s0
            return 8 * ((4 * count + 2) * s0 - 6 * s1) // (count * (count - 1))

        s0, s1, s2 = sums(n)
        parabola = line(n)
        if n > 2:
            total = 3 * (3 * n * n + 3 * n + 2) * s0 - 18 * (2 * n + 1) * s1 + 30 * s2
            parabola = 8 * total // (n * (n - 1) * (n - 2))
        found = [clamp(32 + one, 0, 95) for one in (line(n), line(min(n, 5)), parabola)]
        return *found, 1 + (n > 1) + (n > 2) + (n > 4) + (n > 8) + (n == 16)

    def _like_values(self, x, z, above, after):
        a, a2, b, c, d = self.a, self.a2, self.b, self.c, self.d
        hi, lo, b2, c2, d2, b3 = self.hi, self.lo, self.b2, self.c2, self.d2, self.b3
        k, run, way = self.codes, self.run, self._way
        t, (line, few, parabola, followed) = self._steps(x, z, above), self.ahead
        e = chain(join(k[0], (k[1], 32), (k[2], 32)), join(k[3], (k[4], 32)))
        diff = chain(b - a, c - a, d - a)
        pair = chain(a, b)
        three = chain(pair, d, c)
        went = join(k[0], (t[0], 64), (t[1] + 8, 16))
        pairs = (
            (c, a), (b, a), (d, a), (a2, a), (b2, b), (c2, c), (d2, d), (hi, c), (lo, d), (d, b),
            (c, b), (b2, c), (b2, d), (d2, b), (c2, b), (b3, b),
        )  # fmt: skip

        def column(i, first, last):
            rows = range(max(z + first, 0), min(z + last + 1, self.nz)) if i >= 0 else ()
            return chain(0, *(self.values[self.columns[i][row]] - a for row in rows))

        one, two, three_left = column(x - 1, -3, 5), column(x - 2, -3, 5), column(x - 3, -2, 3)
        own = chain(min(run, 6), a2 - a)
        deviation = self.deviation
        return [
            chain(e, self.kind),
            chain(e, join(k[5], (k[6], 32), (k[13], 8))),
            join(k[0], (k[1], 32), (k[7], 16), (k[8], 16)),
            join(k[0], (k[15], 32), (k[16], 32), (run, 32)),
            join(k[0], (k[14], 16), (k[12], 32), (k[13], 8)),
            join(run, (k[12], 32), (k[0], 64)),
            diff,
            chain(diff, a2 - a, b2 - a),
            sum((v == w) << i for i, (v, w) in enumerate(pairs)),
            pair,
            chain(pair, self.values[after] if after != NONE else -1, z),
            three,
            chain(three, hi, b2, b3),
            chain(three, a2, lo),
            chain(a, x),
            join(chain(a, run), (k[13], 8)),
            chain(a, k[0], k[1]),
            chain(a, z),
            join(k[23], (k[24], 48), (k[13], 8)),
            join(
                size_of(abs(a - b), 20), (size_of(abs(d - b), 20), 24),
                (size_of(abs(a2 - a), 20), 24), (k[13], 8),
            ),
            went,
            chain(went, t[2]),
            chain(went, t[2], t[3], t[4]),
            chain(went, k[7], k[8]),
            join(
                run, (min(self.runs[0], 31), 32), (min(self.runs[1], 31), 32), (min(k[13], 3), 4),
                (k[0], 32),
            ),
            join(way(a), (way(b), 32), (way(c), 32), (way(d), 32)),
            chain(
                join(way(a), (way(b), 32), (way(a2), 32)), size_of(abs(self.next - self.plain), 30)
            ),
            join(line, (followed, 8), (k[13], 8)),
            join(line, (few, 128), (followed, 8)),
            join(parabola, (followed, 8), (k[13], 8)),
            join(line, (deviation, 64), (followed, 8)),
            chain(join(parabola, (deviation, 64), (followed, 8)), k[0]),
            chain(one, own),
            chain(one, two, own),
            chain(one, two, own, three_left),
            chain(one, run, self.runs[0]),
            one,
        ]  # fmt: skip

    def _candidate_values(self, v, w, difference):
        a, b, c, d, k, line = self.a, self.b, self.c, self.d, self.codes, self.ahead[0]
        run = clamp(k[11], 0, 20)
        third = chain(v - a, v - b, v - c)
        return [
            join(w, (k[0], 64)),
            join(w, (line, 64), (k[13], 8)),
            chain(w, difference),
            join(w >> 1, (run, 32), (k[13], 8)),
            third,
            chain(third, v - d, v - self.lo),
            chain(v - a - b + c, v - d, min(run, 3)),
            chain(v - b, b - self.b2, self.b2 - self.b3),
            chain(chain(v - a, a - self.a2), chain(run, v - b)),
        ]

    def _candidate(self, x, z, above, after, left):
        """The label of the candidate that the sample is like, or NONE, and whether it is one of
        the first four.
        """
        if z == 0:
            self.deviation = 0
        f, c = self._class_frequencies(above, after, left), self.codes
        self.ahead = self._ahead(x, z, above)
        fine = self.steady.predict(x, z)
        shared = contexts(77, self._like_values(x, z, above, after))
        self.keys = [shared[i] % (1 << self.memory_bits) for i in (12, 10, 9)]
        candidates = [above, after, left, self.at(x - 1, z + 1) if x else NONE]
        candidates += [
            memory.get(key, NONE) for memory, key in zip(self.memories, self.keys, strict=True)
        ]
        found = 7
        for k, label in enumerate(candidates):
            if label in (NONE, *candidates[:k]) or (k == 0 and self.broken):
                continue
            v = self.values[label]
            away = fine - 16 * v
            w = clamp(away, -48, 48)
            own = contexts(77 + 37, self._candidate_values(v, w, shared[6]))
            rows = (
                12 * k + clamp(away >> 2, -5, 6) + 5, 84 + 64 * k + c[23],
                532 + 48 * k + 8 * c[13] + bits(clamp(c[11], 0, 127)), 868 + 12 * k + self.kind,
            )  # fmt: skip
            maps = 64 * k + clamp(away >> 1, -31, 31) + 31, 64 * k + c[23]
            chance = (f[min(k, 3)] << 16) // max(sum(f[min(k, 3) :]), 1)
            if self.like.bit(shared + own, k, k, rows, maps, chance):
                found = k
                break
        label = candidates[found] if found < 7 else NONE
        if label != above and self.ahead[3] > 0:
            self.deviation = clamp(32 - self.ahead[0], -20, 20) + 21
        return label, found < 4

    def _class_frequencies(self, above, after, left):
        low = high = self.values[above]
        if after != NONE:
            low, high = min(low, self.values[after]), max(high, self.values[after])
        new_left = left not in (NONE, above, after)
        others = len(self.values) - 1 - (after != NONE) - new_left
        possible = [
            True, after != NONE, new_left, others > 0,
            high - low > 1, high < self.span - 1, low > 0,
        ]  # fmt: skip
        return self._frequencies(self.codes, possible)

    # Misses.

    def _nearby(self, e, x, z):
        return sum(share(i, j) * int(e[x + 2 - i, z + 2 + j]) for i, j in NEIGHBOURHOOD)

    def _value(self, x, z, n):
        guesses = [*self.near.predict(x, z), self.steady.prediction]
        raised = [self._nearby(self.errors[k], x, z) + 8 for k in range(5)]
        f = clamp(blend(guesses, [r * isqrt(r) for r in raised]), 0, 16 * (self.span - 1))
        g = (f + 8) >> 4
        miss = self._miss(x, z, n, guesses, g, f - 16 * g + 8)
        value = g + miss
        self.misses[x + 1, z + 1] = self.latest = miss
        self.errors[:, x + 2, z + 2] = [abs(one - 16 * value) for one in [*guesses, f]]
        return value

    def _miss(self, x, z, n, guesses, g, part):
        e = self.errors[5]
        there = sum(share(i, j) for i, j in NEIGHBOURHOOD if x >= i and 0 <= z + j < self.nz)
        off = size_of(4 * self._nearby(e, x, z) // max(there, 1), 47)
        late = size_of(max(int(e[x + 2, z + 1]), int(e[x + 1, z + 2])), 47)
        h = contexts(177, self._miss_values(x, z, n, guesses, g, part, off, late))
        c = self.codes
        near, beside, most = min(off // 2, 15), min(c[13], 3), bits(self.span - 1)

        def bit(node, group, count):
            rows = (
                16 * group + near, 192 + 16 * group + 4 * (c[24] % 24 // 8) + beside,
                384 + 8 * group + min(count, 7), 480 + 12 * group + self.kind,
            )  # fmt: skip
            maps = 64 * group + c[23], 64 * group + 4 * near + beside
            return self.miss.bit(h, node, group, rows, maps)

        if not bit(0, 0, 0):
            return 0
        negative, count, v = bit(1, 1, 0), 1, 1
        while count < most and bit(2 + count, 2 + min(count, 6), count):
            count += 1
        while bits(v) < min(count, 5):
            node = 100 + 64 * count + v + 8192 * negative
            v = 2 * v + bit(node, min(8 + bits(v), 11), count)
        v = self.stream.raw(count - bits(v), v)
        return -v if negative else v

    def _miss_values(self, x, z, n, guesses, g, part, off, late):
        a, a2, b, c, d, b2 = self.a, self.a2, self.b, self.c, self.d, self.b2
        k, way, half = self.codes, self._way, half_octaves
        spread = size_of(abs(guesses[0] - guesses[1]) + abs(guesses[2] - guesses[1]), 47)
        rough = size_of(4 * (max(a, b, c, d) - min(a, b, c, d)), 47)
        up, beside = int(self.misses[x + 1, z]), int(self.misses[x, z + 1])
        y = [one - 16 * g for one in guesses]
        p = [clamp(one >> 2, -8, 7) + 8 for one in y]
        far, above, left = min(off // 3, 15), half(a - g), half(b - g)
        tilt = position(b, c, d)
        edge = join(
            min(x, 3), (min(self.nx - 1 - x, 3), 4), (min(z, 3), 4), (min(self.nz - 1 - z, 3), 4)
        )
        two, pair, ends = chain(a - g, b - g), chain(g, a), chain(self.plain, self.next)
        signs = 9 * clamp(up, -4, 4) + clamp(beside, -4, 4) + 60
        return [
            join(self.kind, (off, 64), (x == z == 0, 2)),
            join(above, (left, 64)),
            join(half(n - g), (above, 64)),
            two,
            pair,
            g,
            chain(pair, b),
            chain(pair, n),
            chain(pair, z),
            join(k[23], (off, 64)),
            join(k[13], (k[24], 48), (clamp(k[11], 0, 8), 32)),
            join(half(d - b), (half(b - c), 64), (above, 64)),
            join(tilt, (position(b, a, n), 12), (size_of(abs(n - a), 30), 32)),
            join(bits(self.span - 1), (self.kind, 16), (k[25], 8), ((z == 0) + 2 * (x == 0), 4)),
            join(half(self.latest), (above, 64)),
            join(half(b2 - b), (half(a2 - a), 64), (left, 64)),
            join(position(b2, self.c2, self.d2), (tilt, 12), (position(g, a, n), 12)),
            edge,
            join(off, (spread, 64), (late // 2, 64)),
            join(off, (rough, 64), (part, 32)),
            join(spread, (rough, 64), (part, 32)),
            join(part, (off // 2, 32)),
            join(signs, (part, 32), (off // 2, 32)),
            join(p[1], (p[4], 16), (part, 16), (far // 2, 8)),
            join(p[0], (p[2], 16), (part, 16), (far // 2, 8)),
            chain(two, chain(d - g, c - g)),
            join(late, (rough, 64), (spread // 2, 32)),
            join(p[3], (p[4], 16), (p[1], 16), (far // 2, 8)),
            join(edge, (clamp(a - g, -3, 3), 8), (clamp(b - g, -3, 3), 8)),
            *(join(i, (clamp(y[i] >> 1, -31, 31) + 31, 64), (far, 16)) for i in range(5)),
            join(size_of(4 * abs(a - a2), 47), (size_of(4 * abs(b - b2), 47), 64), (off // 2, 32)),
            join(way(a), (way(b), 32), (way(c), 32), (way(g), 32)),
            join(way(b), (way(c), 32), (way(d), 32), (way(g), 32)),
            join(way(g), (part, 32), (size_of(abs(self.next - self.plain), 30), 32)),
            chain(ends, chain(a, g)),
            chain(ends, g),
            join(way(a), (way(a2), 32), (way(g), 32)),
        ]


def contexts(base, values):
    return [chain(base + i, int(value)) for i, value in enumerate(values)]
