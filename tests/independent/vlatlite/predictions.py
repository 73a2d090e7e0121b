"""Linear predictions in float64 (docs/format-exact.md, "Predictions")."""

from math import floor

import numpy as np

from .coder import clamp

OFFSETS = (
    (0, -1), (-1, 0), (-1, -1), (-1, 1), (0, -2), (-2, 0), (-1, 2), (-1, -2),
    (-2, 1), (-2, -1), (0, -3), (-3, 0), (-2, 2), (-2, -2), (-3, 1), (-3, -1),
)  # fmt: skip
STEADY = sorted(
    ((dx, dz) for dx in range(-3, 1) for dz in range(-3, 4) if dx < 0 or dz < -1),
    key=lambda o: (o[0] ** 2 + o[1] ** 2, -o[0], o[1]),
)


class Plane:
    """The integers decoded so far, with a border, in float64."""

    def __init__(self, shape, span):
        self.nz, self.nx = shape
        self.at = np.full((self.nx + 3, self.nz + 6), float(span // 2))

    def __getitem__(self, place):
        return float(self.at[place[0] + 3, place[1] + 3])

    def __setitem__(self, place, value):
        self.at[place[0] + 3, place[1] + 3] = value

    def begin(self, x):
        if x:
            self.at[x + 3, :3] = self[x - 1, 0]

    def end(self, x):
        self.at[x + 3, -3:] = self[x, self.nz - 1]
        if x == 0:
            self.at[:3] = self.at[3]

    def differences(self, x, z, offsets):
        return np.array([self[x + dx, z + dz] for dx, dz in offsets]) - self[x, z - 1]


def factor(a, b, least):
    """L (unit diagonal left out), D and s of a symmetric system of which the lower half is used."""
    n = len(b)
    lower, pivots, s = np.zeros((n, n)), np.zeros(n), b.copy()
    for i in range(n):
        u = a[i].copy()
        for k in range(i):  # u[k] is ready, and is taken from those after it
            u[k + 1 : i] -= u[k] * lower[k + 1 : i, k]
        pivot = a[i, i]
        for j in range(i):
            lower[i, j] = u[j] / pivots[j]
            pivot -= u[j] * lower[i, j]
            s[i] -= lower[i, j] * s[j]
        pivots[i] = max(pivot, least, a[i, i] * 2.0**-36)
    return lower, pivots, s


def solve(lower, pivots, s, order):
    """Weights of the first `order` unknowns."""
    w = np.zeros(order)
    for k in reversed(range(order)):
        w[k] = s[k] / pivots[k]
        for m in range(k + 1, order):
            w[k] -= lower[m, k] * w[m]
    return w


def sixteenths(value, span):
    return floor(clamp(value, 0.0, span - 1.0) * 16 + 0.5)


class Steady:
    """The prediction whose weights serve the whole stream."""

    def __init__(self, image, span):
        self.image, self.span = image, span
        self.a, self.b, self.w = np.eye(23) * 8.0, np.zeros(23), np.zeros(23)
        self.learned = 0

    def predict(self, x, z):
        self.d = self.image.differences(x, z, STEADY)
        total = self.image[x, z - 1]
        for w, d in zip(self.w.tolist(), self.d.tolist(), strict=True):
            total += w * d
        self.prediction = sixteenths(total, self.span)
        return self.prediction

    def learn(self, y):
        kept = 1.0 - 2.0**-11
        self.b = kept * self.b + self.d * y
        self.a = kept * self.a + np.outer(self.d, self.d)
        self.a[range(23), range(23)] += 2.0**-8
        self.learned += 1
        if self.learned % 8 == 0:
            self.w = solve(*factor(self.a, self.b, 0.5), 23)


class Near:
    """Four predictions, three of weights that are fitted nearby."""

    def __init__(self, image, span, prior, smooth):
        self.image, self.span, self.prior, self.smooth = image, span, prior, smooth
        self.rows = np.zeros((image.nz, 15, 16))  # of each row A, and b in the last column
        self.products = np.zeros((image.nz, 15, 16))  # of each sample of this column

    def begin(self):
        self.above = np.zeros((15, 16))

    def _window(self, x, z):
        sums = np.zeros((15, 16))
        for i in range(max(x - 6, 1), x + 1):
            for j in range(max(z - 6, 0), min(z + 7, self.image.nz)):
                if i == x and j >= z:
                    break
                d = self.image.differences(i, j, OFFSETS[1:])
                y = self.image[i, j] - self.image[i, j - 1]
                sums += np.outer(2.0 ** -(x - i + abs(z - j)) * d, [*d, y])
        return sums

    def predict(self, x, z):
        above, left = self.image[x, z - 1], self.image[x - 1, z]
        if x == 0:
            return [16 * int(above)] * 4
        if self.smooth:
            self.rows[z] += self.above
        sums = self.rows[z] if self.smooth else self._window(x, z)
        factors = factor(sums[:, :15] + 2.0 * np.eye(15), sums[:, 15] + 2.0 * self.prior, 1.0)
        d, found = self.image.differences(x, z, OFFSETS[1:]), []
        for order in (5, 9, 15):
            total = above
            for w, one in reversed(list(zip(solve(*factors, order), d, strict=False))):
                total += w * one
            found.append(sixteenths(total, self.span))
        return [*found, 16 * int(plane(above, left, self.image[x - 1, z - 1]))]

    def learn(self, x, z, y):
        if self.smooth and x:
            d = self.image.differences(x, z, OFFSETS[1:])
            self.products[z] = np.outer(d, [*d, y])
            self.above = (self.above + self.products[z]) / 2

    def end(self, x):
        if self.smooth and x:
            below = np.zeros((15, 16))
            for z in reversed(range(self.image.nz)):
                below = below / 2 + self.products[z]
                rows = (self.rows[z] + below) / 2
                self.rows[z] = np.where(np.abs(rows) > 2.0**-60, rows, 0.0)


def plane(above, left, corner):
    return clamp(above + left - corner, min(above, left), max(above, left))
