"""Exact streams of label maps (docs/format-exact.md, "Label map", "Classes", "New values")."""

from math import isqrt

import numpy as np

from .coder import bits, clamp
from .container import check

NONE = -1
SIZES = [23] * 7 + [12] * 4 + [21, 21, 6, 12] + [25] * 6 + [22] * 2 + [64, 48, 6]
FIRST = np.cumsum([0, *SIZES[:-1]])
NEW_VALUE_FIRST = np.cumsum([0, 18] + [50] * 14 + [12] * 2 + [24, 32])


def powers_of_two():
    found = []
    for i in range(256):
        power = 1 << (20 * 256 - i)
        for _ in range(8):
            power = isqrt(power)
        found.append(power)
    return np.array(found)


POWERS = powers_of_two()


def logits(rows, network, part):
    weights = [network[f"{part}.{name}"].astype(np.int64) for name in ("first", "second", "third")]
    biases = [
        network[f"{part}.{name}_bias"].astype(np.int64) for name in ("first", "second", "third")
    ]
    h = np.maximum(biases[0] + weights[0][rows].sum(axis=0), 0)
    h = np.maximum((biases[1] + h @ weights[1]) // 256, 0)
    return (biases[2] + h @ weights[2]) // 256


def layer_end(column, z, label):
    n, row = len(column), z
    if column[z] == label:
        while row < min(n, z + 40) and column[row] == label:
            row += 1
        if row == n:
            return row - z, NONE
        return (40, NONE) if column[row] == label else (row - z, column[row])
    while row > max(0, z - 40) and column[row - 1] != label:
        row -= 1
    if row == 0 or column[row - 1] != label:
        return 41, NONE
    return row - z, column[row]


def layer_top(column, near, label):
    for distance in range(40):
        for row in (near + distance, near - distance):
            inside = 0 <= row < len(column) and column[row] == label
            if inside and (row == 0 or column[row - 1] != label):
                return row
    return NONE


def shift_code(row, other):
    return 10 if other == NONE else clamp(row - other, -4, 4) + 4


def half_octaves(difference):
    size = abs(difference)
    if size > 2:
        b = bits(size)
        size = min(2 * b - 1 + (size >> (b - 2) & 1), 24)
    return 24 + size if difference > 0 else 24 - size


def position(value, start, end):
    offset, length = value - start, end - start
    if length == 0:
        return 0 if offset == 0 else 11
    if length < 0:
        offset, length = -offset, -length
    return 1 if offset < 0 else min(2 + offset * 9 // length, 10)


class LabelMap:
    """An image being decoded, column by column."""

    def __init__(self, stream, shape, span, bound, network):
        self.stream, self.span, self.bound, self.network = stream, span, bound, network
        self.nz, self.nx = shape
        self.columns = [[NONE] * self.nz for _ in range(self.nx)]
        self.values, self.counts, self.thickness, self.recent = [], [], [], []
        self.run_top = self.run_before = self.upper_top = self.upper_label = 0
        self.newest = [0, 0]
        self.rank_counts = [1 + 24 // (k + 1) for k in range(24)]
        self.shift = max(bits(span - 1) - 12, 0)

    def decode(self):
        for x in range(self.nx):
            for z in range(self.nz):
                self._sample(x, z)
        self.stream.finish()
        return np.array(self.values, dtype=np.int64)[np.array(self.columns)].T

    def at(self, x, z):
        return self.columns[x][z] if x >= 0 and 0 <= z < self.nz else NONE

    def _sample(self, x, z):
        above = self.at(x, z - 1) if z else self.at(x - 1, 0)
        left, values = self.at(x - 1, z), self.values
        after, codes = self._features(x, z, above, left)
        low = high = NONE
        if above != NONE:
            ends = [values[above]] + ([values[after]] if after != NONE else [])
            low, high = min(ends), max(ends)
        new_left = left not in (NONE, above, after)
        others = len(values) - (above != NONE) - (after != NONE) - new_left
        possible = [
            above != NONE, after != NONE, new_left, others > 0,
            high - low > 1, high < self.span - 1, low > 0,
        ]  # fmt: skip
        kind = self.stream.among(self._frequencies(codes, possible))
        if kind < 3:
            label = (above, after, left)[kind]
        elif kind == 3:
            first = [self.at(x - 1, z + 1) if x else NONE, self.at(x - 1, z - 1) if x else NONE]
            ranked = list(dict.fromkeys(first + self.recent))
            ranked = [label for label in ranked if label not in (NONE, above, after, left)]
            label = ranked[self._rank(others)]
        else:
            label = self._new(x, z, kind, (above, after, left), low, high)
        if label != above:
            self.recent.remove(label)
            self.recent.insert(0, label)
        self.columns[x][z] = label
        self.counts[label] += 1
        self._advance(label, above, z)

    def _advance(self, label, above, z):
        if z == 0:
            self.run_top = self.run_before = self.upper_top = 0
            self.upper_label = NONE
        elif label != above:
            length = z - self.run_top
            if self.run_top > 0:
                least, most = self.thickness[above]
                self.thickness[above] = min(least, length) if most else length, max(most, length)
            self.upper_top, self.upper_label = self.run_top, above
            self.run_before, self.run_top = length, z

    def _features(self, x, z, above, left):
        columns = [self.columns[x - 1 - k] if x > k else None for k in range(7)]
        begun, codes, after = self.run_top, [], NONE
        run = z - begun
        for k, column in enumerate(columns):
            distance, follower = layer_end(column, z, above) if column else (0, NONE)
            after = follower if k == 0 else after
            codes.append(
                22 if not column else 21 if distance > 40 else clamp(distance, -10, 10) + 10
            )
        row = begun
        for column in columns[:4]:
            if not column or begun == 0 or row == NONE:
                codes.append(11)
                continue
            top = layer_top(column, row, above)
            codes.append(shift_code(row, top))
            row = top
        codes += [clamp(run, -209, 20), min(self.run_before, 20)]
        codes.append((0 if left == above else 1 if left == after else 2) + 3 * (after == NONE))
        upper = 11
        if self.upper_top > 0 and x > 0:
            upper = shift_code(
                self.upper_top, layer_top(columns[0], self.upper_top, self.upper_label)
            )
        codes.append(upper)
        codes += [self._thickness(column, begun, run, above) for column in columns[:6]]
        least, most = self.thickness[above] if above != NONE else (0, 0)
        seen = begun > 0 and most > 0
        codes += [clamp(t - run, -10, 10) + 10 if seen else 21 for t in (least, most)]
        corner = self.at(x - 1, z - 1) if x else NONE
        below = self.at(x - 1, z + 1) if x else NONE
        pairs = (corner, above), (corner, left), (below, left), (below, after)
        pairs += (self.at(x, z - 2), above), (below, above)
        codes.append(sum((a == b) << k for k, (a, b) in enumerate(pairs)))
        codes += [self._order(above, after, left), self.bound]
        return after, codes

    def _thickness(self, column, begun, run, label):
        if not column or begun == 0:
            return 22
        top = layer_top(column, begun, label)
        if top == NONE:
            return 21
        last, end = min(self.nz, top + run + 11), top
        while end < last and column[end] == label:
            end += 1
        if end == self.nz:
            return 23 if end - top > run else 24
        return clamp(end - top - run, -10, 10) + 10

    def _order(self, above, after, left):
        three = (above, after, left)
        code = sum((i != NONE and self.counts[i] < 8) << k for k, i in enumerate(three))
        if above != NONE and after != NONE:
            a, b = self.values[above], self.values[after]
            code += 8 if b > a else 16
            code += 24 * (left != NONE and min(a, b) < self.values[left] < max(a, b))
        return code

    def _frequencies(self, codes, possible):
        found = logits(FIRST + codes, self.network, "classes").tolist()
        greatest = max(v for v, p in zip(found, possible, strict=True) if p)
        below = [min(greatest - v, 256 * 20) for v in found]
        shares = [
            int(POWERS[b % 256]) >> b // 256 if p else 0
            for b, p in zip(below, possible, strict=True)
        ]
        spare = (1 << 16) - sum(possible)
        out = [
            1 + s * spare // sum(shares) if p else 0 for s, p in zip(shares, possible, strict=True)
        ]
        best = next(j for j in range(7) if possible[j] and found[j] == greatest)
        out[best] += (1 << 16) - sum(out)
        return out

    def _rank(self, others):
        groups = bits(others)
        counts = self.rank_counts[:groups]
        frequencies = [1 + c * ((1 << 16) - groups) // sum(counts) for c in counts]
        frequencies[0] += (1 << 16) - sum(frequencies)
        group = self.stream.among(frequencies)
        self.rank_counts[group] += 8
        first = (1 << group) - 1
        return first + self.stream.even(min(1 << group, others - first))

    def _new(self, x, z, kind, near, low, high):
        above, _, left = near
        base, size = {4: (low + 1, high - low - 1), 6: (0, low)}.get(
            kind, (high + 1, self.span - 1 - high)
        )
        if above == NONE:
            value = base + self.stream.even(size)
        else:
            value = self._new_value(x, z, kind - 4, near, base, size)
        check(base <= value < base + size, "a new value outside its interval")
        head = value >> self.shift
        beside = self.values[left] >> self.shift if left != NONE else head
        self.newest = [head, head - beside]
        self.values.append(value)
        self.counts.append(0)
        self.thickness.append((0, 0))
        self.recent.append(len(self.values) - 1)
        return len(self.values) - 1

    def _value_features(self, x, z, near):
        """Predictions, and the codes 1 to 18."""

        def seen(i, j, instead):
            label = self.at(i, j) if i >= 0 else NONE
            return self.values[label] >> self.shift if label != NONE else instead

        above, after, _ = near
        a = self.values[above] >> self.shift
        second = seen(x, z - 2, a)
        beside = seen(x - 1, z, a)
        corner, below = seen(x - 1, z - 1, beside), seen(x - 1, z + 1, beside)
        second_below = seen(x - 1, z + 2, below)
        farther = seen(x - 2, z, beside)
        if x > 1:
            farther_above, farther_below = seen(x - 2, z - 1, farther), seen(x - 2, z + 1, farther)
        else:
            farther_above, farther_below = corner, below
        follower = self.values[after] >> self.shift if after != NONE else beside
        newest, moved = self.newest
        predictions = [
            a, beside, follower, below, a + beside - corner, a + below - beside, 2 * a - second,
            2 * beside - farther, (a + follower) // 2, (beside + below) // 2,
            (beside + corner) // 2, newest, beside + moved,
        ]  # fmt: skip
        codes = [half_octaves(v - a) for v in (beside, corner, below, follower, second)]
        codes[3] = codes[3] if after != NONE else 49
        codes += [
            half_octaves(v - w)
            for v, w in (
                (beside, corner), (below, beside), (second_below, below), (farther, beside),
                (farther_above, corner), (farther_below, below), (newest, a), (moved, 0),
                (farther, farther_above),
            )
        ]  # fmt: skip
        codes += [position(beside, corner, below), position(beside, a, follower)]
        run = 0
        if x > 0:
            column = self.columns[x - 1]
            up = 0
            while up < 3 and z - up > 0 and column[z - up - 1] == column[z]:
                up += 1
            down = int(z + 1 < self.nz and column[z + 1] == column[z])
            run = min(1 + min(up, 2) + 3 * down, 5)
        codes.append(run + 6 * clamp(z - self.run_top - 1, 0, 3))
        alike = (
            beside == a,
            corner == a,
            below == beside,
            farther == beside,
            farther_above == corner,
        )
        codes.append(sum(same << k for k, same in enumerate(alike)))
        return predictions, codes

    def _new_value(self, x, z, kind, near, base, size):
        predictions, codes = self._value_features(x, z, near)
        low = base >> self.shift
        n = ((base + size - 1) >> self.shift) - low + 1
        codes = [6 * kind + self.bound, *codes, min(bits(n - 1), 12)]
        found = logits(NEW_VALUE_FIRST + codes, self.network, "values")
        below = found.max() - found
        shares = np.where(
            below >> 8 < 12, POWERS[below & 255] >> (8 + np.minimum(below >> 8, 12)), 0
        )
        shares[91] += 1
        centres = np.array([clamp(g, low, low + n - 1) for g in predictions])[:, None]

        def mass(h):
            twice = 2 * (h - centres) + 1
            place = (np.abs(twice) << 11) >> 2 * np.arange(7)
            whole = place >> 8
            tail = np.where(whole <= 20, POWERS[place & 255] >> np.minimum(whole, 21), 0)
            own = np.where(twice < 0, tail, (1 << 21) - tail)
            even = int(shares[91]) * (((h - low + 1) << 21) // n)
            return even + int((shares[:91].reshape(13, 7) * own).sum())

        under = mass(low - 1)
        whole = mass(low + n - 1) - under

        def slots(h):
            return h - low + 1 + (mass(h) - under) * ((1 << 16) - n) // whole if h >= low else 0

        slot, first, last = self.stream.slot(), low, low + n - 1
        while first < last:
            middle = (first + last) >> 1
            first, last = (first, middle) if slots(middle) > slot else (middle + 1, last)
        start = slots(first - 1)
        self.stream.take(start, slots(first) - start)
        return self.stream.raw(self.shift, first)
