"""Bricks of volumes (docs/format-volumes.md, "Bricks")."""

from fractions import Fraction
from itertools import pairwise, product
from math import floor

import numpy as np

from .coder import Stream, bits, clamp
from .container import check
from .dct import half_octaves as size
from .mixers import CONFIDENCE, RATES, SQUASH, STRETCH, chain, join

NONE = -1


def clip(value, most):
    return clamp(value, -most, most) + most


class Mixer:
    """Decisions of so many contexts, in a brick of so many samples."""

    def __init__(self, stream, contexts, samples, rows, maps):
        self.stream = stream
        self.mask = (1 << clamp(bits(samples), 8, 16)) - 1
        self.counters = [{} for _ in range(contexts)]
        self.weights = np.full((rows, contexts + 1), 19660)
        line = [64 * int(SQUASH[clamp(256 * b - 3072, -2840, 2840) + 2840]) for b in range(25)]
        self.maps = [list(line) for _ in range(maps)]

    def bit(self, contexts, node, rows, r):
        places = [chain(h, node * 0x3D4D51CB) & self.mask for h in contexts]
        counters = [
            c.setdefault(t, [1 << 23, 0]) for c, t in zip(self.counters, places, strict=True)
        ]
        votes = [int(STRETCH[p >> 8]) * int(CONFIDENCE[n]) >> 8 for p, n in counters]
        votes = np.array([*votes, 256])
        u = [clamp(int((self.weights[s] >> 4) @ votes) >> 12, -2840, 2840) for s in rows]
        logit = sum(u) >> 1
        b, f = divmod(clamp(logit + 3072, 0, 6143), 256)
        line = self.maps[r]
        w = line[b] * (256 - f) + line[b + 1] * f >> 14
        c = clamp(int(SQUASH[logit + 2840]) + w >> 1, 3, (1 << 16) - 3)
        bit = int(self.stream.slot() < c)
        self.stream.take(*((0, c) if bit else (c, (1 << 16) - c)))
        target = ((1 << 16) - 1) * bit
        line[b + (f >= 128)] += 64 * target - line[b + (f >= 128)] >> 5
        for s, one in zip(rows, u, strict=True):
            step = 48 * (target - int(SQUASH[one + 2840])) + 32 >> 6
            moved = self.weights[s] + (votes * step + (1 << 13) >> 14)
            self.weights[s] = np.clip(moved, -(1 << 19), 1 << 19)
        for counter in counters:
            p, n = counter
            n += n < 127 and (n < 64 or p % 16 == 0)
            counter[:] = p + ((((1 << 24) - 1) * bit - p) * int(RATES[n]) >> 20), n
        return bit

    def miss(self, contexts, near, place, most):
        """A miss of at most so many bits."""

        def decide(node, group, other):
            row = 24 * group + near
            return self.bit(contexts, node, (row, 192 + other), row)

        if not decide(0, 0, place):
            return 0
        negative, n, v = decide(1, 1, 64 + place), 1, 1
        while n < most and decide(1 + n, 2 + min(n - 1, 3), 128 + n):
            n += 1
        while bits(v) < min(n, 3):
            v = 2 * v + decide(100 + 8 * n + v + 1024 * negative, 5 + bits(v), 192 + n)
        v = self.stream.raw(n - bits(v), v)
        return -v if negative else v


def miss_mixer(stream, samples):
    return Mixer(stream, 12, samples, 448, 192)


def blend(guesses, costs):
    i = max(0, bits(min(costs)) - 8)
    s = [(cost >> i) + 1 for cost in costs]
    w = [(1 << 20) // (one * one) if one < 1024 else 0 for one in s]
    total = sum(
        one * clamp(g - guesses[0], -(1 << 34), 1 << 34) for one, g in zip(w, guesses, strict=True)
    )
    return guesses[0] + (2 * total + sum(w)) // (2 * sum(w))


class Column:
    """Integers of a column, rows above and below included, with its runs and interfaces."""

    def __init__(self, nz, top):
        self.above, self.nz, self.values = top, nz, []
        self.starts, self.ends = [0] * nz, [nz] * nz
        self.faces = {}
        self.errors, self.misses = [[0] * 6 for _ in range(nz)], [0] * nz

    def __getitem__(self, z):
        return self.above if z < 0 else self.values[min(z, self.nz - 1)]

    def end(self, z, value):
        if self[z] == value:
            return self.ends[z]
        if self.starts[z] > 0 and self[self.starts[z] - 1] == value:
            return self.starts[z]
        if self.ends[z] < self.nz and self[self.ends[z]] == value:
            return self.ends[self.ends[z]]
        return NONE


class Columns:
    """A layered or smooth brick being decoded."""

    def __init__(self, stream, shape, span, smooth):
        self.stream, self.span, self.smooth = stream, span, smooth
        self.nz, self.ny, self.nx = shape
        samples = self.nz * self.ny * self.nx
        self.quiet = Mixer(stream, 6, samples // 16, 64, 32)
        self.like = Mixer(stream, 14, samples, 672, 448)
        self.miss = miss_mixer(stream, samples)
        self.blank = Column(self.nz, NONE)
        self.blank.values = [NONE] * self.nz
        self.done = {}
        self.breaks = self.since = 0
        self.memories = ({}, {})
        self.h = max(0, bits(span - 1) - 44)
        self.learned, self.w = 0, [0.0] * 15
        self.A, self.b = np.zeros((15, 15)), np.zeros(15)

    def decode(self):
        out = np.zeros((self.nz, self.ny, self.nx), dtype=np.int64)
        for y, x in product(range(self.ny), range(self.nx)):
            self._look_around(y, x)
            self.own = Column(self.nz, self.L[0])
            self.top = self.deviation = 0
            broken = False
            while len(self.own.values) < self.nz:
                if not self.smooth and not broken:
                    broken = self._stretch()
                if len(self.own.values) < self.nz:
                    self._sample(broken)
                    broken = False
            self._finish()
            self.done[y, x] = self.own
            out[:, y, x] = self.own.values
        return out

    def _look_around(self, y, x):
        self.y, self.x, at = y, x, self.done.get
        self.L = at((y, x - 1)) or at((y - 1, 0)) or self.blank
        if x:
            self.L = at((y, x - 1))
        self.B = at((y - 1, x)) or self.L
        self.LL = at((y, x - 2)) or self.L
        self.C = (at((y - 1, x - 1)) or at((y - 1, 0))) if y else self.LL
        self.R = at((y - 1, x + 1)) or self.B
        self.BB = at((y - 2, x)) or self.B

    # Interfaces.

    def _foreseen(self, e, f):
        """Depths by L, by B, and by both; None if there is none."""
        by_l = by_b = None
        if self.x and 0 < e < self.nz:
            by_l = self.L.faces[e][0] + self.L.faces[e][1]
        if self.y and 0 < f < self.nz:
            by_b = self.B.faces[f][0] + self.B.faces[f][2]
        if by_l is None or by_b is None:
            return by_l, by_b, by_b if by_l is None else by_l
        return by_l, by_b, by_l + by_b >> 1

    def _finish(self):
        own, nz = self.own, self.nz
        starts = [z for z in range(nz) if z == 0 or own[z] != own[z - 1]]
        for start, end in zip(starts, [*starts[1:], nz], strict=True):
            own.starts[start:end], own.ends[start:end] = (
                [start] * (end - start),
                [end] * (end - start),
            )
        for z in starts[1:]:
            e, f = self.L.end(z, own[z - 1]), self.B.end(z, own[z - 1])
            by_l, by_b, d = self._foreseen(e, f)
            slopes = [] if by_l is None else [self.L.faces[e][1:]]
            slopes += [] if by_b is None else [self.B.faces[f][1:]]
            slope_x, slope_y = (
                (sum(s) >> 1 if len(s) == 2 else s[0])
                for s in zip(*slopes or [(0, 0)], strict=True)
            )
            m = 0 if d is None else 256 * z - d
            if d is None or abs(m) > 768:
                own.faces[z] = 256 * z, slope_x, slope_y
            else:
                slopes = [clamp(s + (m >> 3), -1024, 1024) for s in (slope_x, slope_y)]
                own.faces[z] = d + (3 * m >> 3), *slopes

    # Quiet stretches.

    def _is_alike(self, z):
        return self.L[z] == self.B[z] == self.C[z] == self.R[z]

    def _is_edge(self, z):
        before, here, after = (abs(self.L[i] - self.L[i - 1]) for i in (z - 1, z, z + 1))
        return here > 0 and here > 2 * min(before, after)

    def _length(self, z):
        if self.L is self.blank:
            return 0
        if z and (self.own[z - 1] != self.L[z - 1] or not self._is_alike(z - 1)):
            return 0
        r = z
        while r < self.nz and self._is_alike(r):
            if r and self._is_edge(r):
                return max(0, r - 1 - z)
            r += 1
        if r == self.nz:
            return self.nz - z
        w = 1
        while w < 8 and r + w < self.nz and not self._is_alike(r + w):
            w += 1
        return max(0, r - 1 - min(w, r) - z)

    def _stretch(self):
        """A quiet stretch, if there is one; whether it breaks."""
        z, nz, L = len(self.own.values), self.nz, self.L
        s = self._length(z)
        if not s:
            return False
        last = z + s - 1
        wide = int(self.LL[last] == L[last] and self.LL[z] == L[z])
        wide += 2 * int(self.BB[last] == L[last] and self.BB[z] == L[z])
        c, few, since = size(s, 15), min(self.breaks, 15), bits(min(self.since, 32767))
        k = 2 * (last == nz - 1) + (z == 0)
        contexts = [
            chain(chain(1, c), 4 * wide + k), chain(chain(2, few), since),
            chain(chain(3, L[z]), wide),
            chain(chain(4, self.x), wide), chain(chain(5, z), c),
            chain(chain(6, since), 16 * wide + c),
        ]  # fmt: skip
        self.since += s
        whole = self.quiet.bit(contexts, 0, (c, 32 + 4 * wide + k), c)
        held = s
        if not whole:
            self.breaks, self.since = self.breaks + 1, 0
            held = self._cut(z, s, c, wide)
        same = z > 0 and held > 0 and self.own[z - 1] == L[z]
        self.own.values += [L[i] for i in range(z, z + held)]
        if held:
            start = L.starts[z + held - 1]
            if start > z:
                self.top = start
            elif not same:
                self.top = z
        return not whole

    def _cut(self, z, s, c, wide):
        at_end = int(z + s == self.nz)
        for k in range(min(s, 8) - 1):
            h = s - 1 - k
            contexts = [
                chain(11, 2 * k + at_end), chain(chain(12, z + h), at_end),
                chain(chain(13, k), wide),
                chain(chain(14, k), c), chain(chain(15, h), z), chain(16, at_end),
            ]  # fmt: skip
            if self.quiet.bit(contexts, 1, (16 + k, 48 + wide), 16 + k):
                return h
        return 0 if s <= 8 else self.stream.even(s - 7)

    # Samples.

    def _sample(self, broken):
        z = len(self.own.values)
        value, keys = None, None
        if not self.smooth:
            value, keys = self._candidate(z, broken)
        if value is None:
            value = self._miss(z)
            if keys:
                for memory, key in zip(self.memories, keys, strict=True):
                    memory[key] = value
        self.own.values.append(value)

    def _candidate(self, z, broken):
        L, B, C, R, nz = self.L, self.B, self.C, self.R, self.nz
        above = self.own[z - 1] if z else L[0]
        second = self.own[z - 2] if z > 1 else above
        ends = [c.end(z, above) for c in (L, B, C, R, self.LL, self.BB)]
        off = [31 if e == NONE else clamp(e - z, -8, 15) + 8 for e in ends]
        after = []
        for column, e in zip((L, B), ends, strict=False):
            later = column[e] if e not in (NONE, nz) else NONE
            after.append(column[z] if column[z] != above else later)
        shift = [
            15 if e in (NONE, 0) else clamp(self.top - c.starts[e - 1], -7, 7) + 7
            for c, e in zip((L, B, C, R), ends, strict=False)
        ]
        g_l, g_b, g = (
            63 if d is None else clamp(d - 256 * z >> 5, -24, 37) + 24
            for d in self._foreseen(ends[0], ends[1])
        )
        o, p = join(off[0], *((one, 32) for one in off[1:4])), join(off[0], (off[1], 32))
        low = [c[z + 1] if z + 1 < nz else c[z] for c in (L, B)]
        contexts = [
            chain(1, o), chain(chain(2, o), join(off[4], (off[5], 32))),
            chain(chain(3, join(off[0], (off[4], 32))), g_l),
            chain(chain(4, join(off[1], (off[5], 32))), g_b), chain(chain(5, g), p),
            chain(chain(6, g_l), g_b), chain(chain(7, join(shift[0], (shift[1], 16))), p),
            chain(
                chain(8, join(shift[0], *((one, 16) for one in shift[1:]))),
                join(off[2], (off[3], 32)),
            ),
            chain(chain(9, above), chain(*after)), chain(chain(10, g), self.deviation),
            chain(chain(11, min(z - self.top, 31)), p), chain(chain(12, above), z),
        ]  # fmt: skip
        keys = [
            chain(chain(21, above), chain(*after)) % 4096,
            chain(chain(22, above), chain(second, L[z])) % 4096,
        ]
        memories = [memory.get(k, NONE) for memory, k in zip(self.memories, keys, strict=True)]
        candidates, found = [above, *after, R[z], C[z], *memories], None
        beside = (L[z], B[z], C[z], R[z], *low)
        pairs = (L[z] == B[z], L[z] == C[z], B[z] == C[z], B[z] == R[z])
        for k, one in enumerate(candidates):
            if one == NONE or one in candidates[:k] or (broken and one == L[z]):
                continue
            a = sum(2**i * (one == other) for i, other in enumerate(beside))
            m = sum(2**i * (one == v) for i, v in enumerate((self.LL[z], self.BB[z], after[1])))
            m += sum(2 ** (3 + i) * pair for i, pair in enumerate(pairs))
            more = [chain(chain(13, a), m), chain(chain(14, one), chain(above, a))]
            rows = 64 * k + a, 448 + 32 * k + (g >> 1)
            if self.like.bit(contexts + more, k, rows, 64 * k + a):
                found = one
                break
        if z and (found is None or found != above):
            self.top = z
            self.deviation = 0 if g == 63 else 1 + g
        return found, keys

    def _miss(self, z):
        own, L, B, C, R, h = self.own, self.L, self.B, self.C, self.R, self.h
        top = (self.span - 1) >> h
        first = self.x == self.y == 0
        if first:
            a = own[z - 1] >> h if z else top >> 1
            a2 = own[z - 2] >> h if z > 1 else a
            b = c = d = e = b1 = c1 = d1 = a
            linear = float(a)
        else:
            a, a2 = own[z - 1] >> h, own[z - 2] >> h
            b, c, d, e = (column[z] >> h for column in (L, B, C, R))
            b1, c1, d1 = (column[z - 1] >> h for column in (L, B, C))
            near = [a2] + [n[z + k] >> h for n in (L, B, C, R) for k in (0, -1, 1)]
            near = [float(n - a) for n in [*near, self.LL[z] >> h, self.BB[z] >> h]]
            linear = float(a)
            for w, n in zip(self.w, near, strict=True):
                linear += w * n
        guesses = [floor(16.0 * clamp(linear, 0.0, float(top)) + 0.5)]
        guesses += [
            16 * g
            for g in (a + b + c - b1 - c1 - d + d1, a + b - b1, a + c - c1, b + c - d, 2 * a - a2)
        ]
        up, low = max(z - 1, 0), min(z + 1, self.nz - 1)
        costs = [
            1 + 2 * (L.errors[z][k] + B.errors[z][k]) + L.errors[low][k] + B.errors[low][k]
            + L.errors[up][k] + B.errors[up][k] + C.errors[z][k] + R.errors[z][k]
            + (2 * own.errors[z - 1][k] if z else 0)
            for k in range(6)
        ]  # fmt: skip
        f = clamp(blend(guesses, costs), 0, 16 * top)
        g = f + 8 >> 4
        part = f - 16 * g + 8
        m_a, m_b, m_c = own.misses[z - 1] if z else 0, L.misses[z], B.misses[z]
        off = 2 * (abs(m_a) + abs(m_b) + abs(m_c)) + abs(C.misses[z]) + abs(R.misses[z])
        off = size(off + abs(L.misses[low]) + abs(B.misses[low]), 47)
        error, spread = size(costs[0] >> 2, 47), size(abs(guesses[1] - f) + abs(guesses[0] - f), 47)
        by_linear = clip(guesses[0] - 16 * g >> 1, 15)
        sizes = [size(abs(m), 20) for m in (m_a, m_b, m_c)]
        values = [
            off, join(clip(m_a, 3), (clip(m_b, 3), 7), (clip(m_c, 3), 7)),
            join(part, (off >> 1, 32)),
            join(clip(a - g, 8), (clip(b - g, 8), 17), (clip(c - g, 8), 17)),
            join(spread, (off >> 1, 32)),
            join(by_linear, (clip(guesses[1] - 16 * g >> 2, 15), 32), (off >> 2, 16)),
            join(clip(e - g, 8), (clip(d - g, 8), 17), (part, 32)), join(error, (part, 32)), g,
            join(sizes[0], (sizes[1], 32), (sizes[2], 32)),
            join(z, (min(self.x, 2), 3), (min(self.y, 2), 3)),
            join(error >> 1, (spread >> 1, 32), (off >> 1, 32)),
        ]  # fmt: skip
        contexts = [chain(1 + i, value) for i, value in enumerate(values)]
        miss = self.miss.miss(contexts, min(off >> 1, 23), part, bits(top))
        head = g + miss
        check(0 <= head <= top, "a number out of range")
        own.misses[z] = miss
        own.errors[z] = [abs(guess - 16 * head) for guess in guesses]
        if not first:
            self._learn(near, float(head - a))
        value = self.stream.raw(h, head)
        check(value < self.span, "a number out of range")
        return value

    def _learn(self, near, y):
        keep, d = 1.0 - 2.0**-11, np.array(near)
        self.b = keep * self.b + d * y
        self.A = keep * self.A + np.outer(d, d)
        self.A[np.diag_indices(15)] += 2.0**-8
        self.learned += 1
        if self.learned % 16:
            return
        lower, pivots, s = np.zeros((15, 15)), [0.0] * 15, [0.0] * 15
        for i in range(15):
            u = [0.0] * i
            for j in range(i):
                u[j] = self.A[i, j]
                for k in range(j):
                    u[j] -= u[k] * lower[j, k]
            pivots[i], s[i] = self.A[i, i], self.b[i]
            for j in range(i):
                q = u[j] / pivots[j]
                pivots[i] -= u[j] * q
                s[i] -= q * s[j]
                lower[i, j] = q
            pivots[i] = max(pivots[i], 2.0**-8, self.A[i, i] * 2.0**-36)
        for i in range(14, -1, -1):
            self.w[i] = s[i] / pivots[i]
            for k in range(i + 1, 15):
                self.w[i] -= lower[k, i] * self.w[k]
        self.w = [float(w) for w in self.w]


def positions(n):
    """Known and new positions of every halving; of a new one, its neighbours and their weights."""
    known = sorted({0, n - 1})
    while True:
        new = {}
        for i, (low, high) in enumerate(pairwise(known)):
            m = (low + high) // 2
            if high - low > 1:
                around = [
                    known[i - 1] if i else NONE, low, high,
                    known[i + 2] if i + 2 < len(known) else NONE,
                ]  # fmt: skip
                weights = []
                for p in around:
                    share = Fraction(1 << 16)
                    for o in around:
                        if NONE not in (o, p) and o != p:
                            share *= Fraction(m - o, p - o)
                    weights.append(floor(share + Fraction(1, 2)) if p != NONE else 0)
                weights[1] += (1 << 16) - sum(weights)
                new[m] = around, weights
        yield known, new
        known = sorted([*known, *new])


class Interpolated:
    """An interpolated brick being decoded."""

    def __init__(self, stream, shape, span):
        check(span <= 1 << 31, "interpolation of too great a span")
        self.stream, self.shape, self.span = stream, shape, span
        self.reach = stream.even(span)
        most = stream.raw(16)
        self.labels = np.zeros(shape, dtype=np.int64)
        if most:
            self.labels = Columns(stream, shape, most + 1, False).decode()
        self.mixer = miss_mixer(stream, shape[0] * shape[1] * shape[2])
        self.values, self.misses, self.errors, self.last = {}, {}, {}, {}
        self.means = [[0] * 6 for _ in range(7)]

    def decode(self):
        axes = [positions(n) for n in self.shape]
        halvings = max(bits(max(n - 2, 0)) for n in self.shape)
        guess = (self.span - 1) >> 1
        for i in range(halvings + 1):
            level = halvings - i
            known, new = zip(*(next(axis) for axis in axes), strict=True)
            if i == 0:
                for at in product(*known):
                    contexts = [chain(99, k) for k in range(12)]
                    guess, _ = self._steps(guess, contexts, 23, 63, self._step(level))
                    self.values[at], self.misses[at], self.errors[at] = guess, 0, [0] * 6
                    self.last[int(self.labels[at])] = guess
            stages = ((0,), (1,), (2,), (0, 1), (0, 2), (1, 2), (0, 1, 2))
            for stage, axes_new in enumerate(stages):
                self._stage(level - 1, stage, axes_new, known, new)
        out = np.zeros(self.shape, dtype=np.int64)
        for at, value in self.values.items():
            out[at] = value
        return out

    def _step(self, level):
        return 2 * ((self.reach, 3 * self.reach // 4)[level] if level < 2 else self.reach // 2) + 1

    def _steps(self, guess, contexts, near, place, step):
        most = (1 << 31) - 1
        miss = clamp(self.mixer.miss(contexts, near, place, bits(self.span - 1)), -most, most)
        return clamp(guess + step * miss, 0, self.span - 1), miss

    def _stage(self, level, stage, axes, known, new):
        lists = [sorted(new[k]) if k in axes else known[k] for k in range(3)]
        before = [dict(zip(one[1:], one, strict=False)) for one in lists]
        for at in product(*lists):
            previous = [before[k].get(at[k], NONE) for k in range(3)]
            self._sample(at, previous, level, stage, axes, new)

    def _sample(self, at, previous, level, stage, axes, new):
        label, step = int(self.labels[at]), self._step(level)
        guesses, numbers = [], []
        sided = kept = bent = slope = tall = 0

        def moved(at, **to):
            return tuple(to.get("zyx"[k], at[k]) for k in range(3))

        for k in axes:
            around, weights = new[k][at[k]]
            places = [moved(at, **{"zyx"[k]: p}) if p != NONE else None for p in around]
            counts = [p is not None and int(self.labels[p]) == label for p in places]
            v = [self.values[p] if p else 0 for p in places]
            p, m = around, at[k]
            far_low, far_high = counts[0] and counts[1], counts[3] and counts[2]
            if counts[1] and counts[2]:
                g = line = 16 * (v[1] + v[2]) >> 1
                if far_low == (p[0] != NONE) and far_high == (p[3] != NONE):
                    g = sum(w * one for w, one in zip(weights, v, strict=True)) >> 12
                slope = v[2] - v[1]
                tall += abs(slope)
            elif counts[1]:
                g = line = 16 * v[1]
                if far_low:
                    g += 16 * (v[1] - v[0]) * (m - p[1]) // (p[1] - p[0])
            elif counts[2]:
                g = line = 16 * v[2]
                if far_high:
                    g += 16 * (v[2] - v[3]) * (p[2] - m) // (p[3] - p[2])
            sided = max(sided, int(not (counts[1] and counts[2])))
            kept += sum(abs(self.misses[places[i]]) for i in (1, 2) if counts[i])
            if counts[1] or counts[2]:
                bent += abs(line - g)
                guesses += [line, g]
                numbers += [2 * k, 2 * k + 1]
        nearest = [
            moved(at, **{"zyx"[k]: previous[k]}) if previous[k] != NONE else None for k in range(3)
        ]
        if not guesses:
            sided, numbers = 2, [0]
            same = [p for p in nearest[::-1] if p and int(self.labels[p]) == label]
            value = self.values[same[0]] if same else self.last.get(label, self.span >> 1)
            guesses = [16 * value]
        mean = self.means[stage]
        costs = [
            (mean[k] >> 2) + sum(self.errors[p][k] for p in nearest if p) + (step >> 2) + 1
            for k in numbers
        ]
        f = clamp(blend(guesses, costs), 0, 16 * (self.span - 1))
        m_z, m_y, m_x = (self.misses[p] if p else 0 for p in nearest)
        pz, py, px = previous

        def corner(place, *needed):
            return self.misses[place] if NONE not in needed else 0

        m_zy = corner((pz, py, at[2]), pz, py)
        m_zx = corner((pz, at[1], px), pz, px)
        m_yx = corner((at[0], py, px), py, px)
        q = bits(step) - 1
        near = 2 * (abs(m_z) + abs(m_y) + abs(m_x)) + abs(m_zy) + abs(m_zx) + abs(m_yx)
        near, kept = size(near, 24), size(kept, 24)
        rough = size(4 * sum(abs(g - f) for g in guesses) >> q + 4, 30)
        bent, worst = size(8 * bent >> q + 4, 30), size(8 * min(costs) >> q + 4, 30)
        tall, place = size(2 * tall >> q, 30), (8 * level + stage) * 3 + sided
        signs = join(clip(m_z, 3), (clip(m_y, 3), 7), (clip(m_x, 3), 7))
        corners = join(clip(m_zy, 2), (clip(m_yx, 2), 5), (clip(m_zx, 2), 5))
        values = [
            join(place, (near, 32)), join(near, (kept, 32), (stage, 8)),
            join(rough, (bent, 32), (stage, 8)), join(tall, (near, 32), (worst, 32)), signs,
            join(rough, (near, 32), (kept, 32)), join(worst, (rough, 32), (level, 32)),
            join(clip(2 * slope >> q, 40), (signs, 512)), join(place, (worst, 32)),
            join(bent, (kept, 32), (level, 32)), join(at[0], (stage, 8)),
            join(corners, (signs, 512)),
        ]  # fmt: skip
        contexts = [chain(1 + i, value) for i, value in enumerate(values)]
        value, miss = self._steps(
            f + 8 >> 4, contexts, min(near, 23), 8 * min(level, 7) + stage, step
        )
        self.values[at], self.misses[at], self.last[label] = value, miss, value
        most = (1 << 31) - 1
        self.errors[at] = [min(abs(f - 16 * value), most)] * 6
        for g, k in zip(guesses, numbers, strict=True):
            error = min(abs(g - 16 * value), most)
            self.errors[at][k] = error
            mean[k] += 4 * error - mean[k] >> 5


def brick(data, shape, span):
    """The integers (nz, ny, nx) of a brick's stream."""
    samples = shape[0] * shape[1] * shape[2]
    check(samples <= 1 << 20 and len(data) >= samples // 8192, "a brick of too few bytes")
    stream = Stream(data.lstrip(b"\0"))
    kind = stream.raw(2)
    check(kind < 3, "a brick of an unknown kind")
    if kind == 2:
        found = Interpolated(stream, shape, span).decode()
    else:
        found = Columns(stream, shape, span, kind == 1).decode()
    stream.finish()
    return found
