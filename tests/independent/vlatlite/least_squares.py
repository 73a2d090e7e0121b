"""Exact streams of least squares (docs/format-exact.md)."""

from math import floor, isqrt

import numpy as np

from .blended import blend
from .coder import clamp, sign
from .container import check
from .dct import half_octaves, learned

OFFSETS = (
    (0, -1), (-1, 0), (-1, -1), (-1, 1), (0, -2), (-2, 0), (-1, 2), (-1, -2),
    (-2, 1), (-2, -1), (0, -3), (-3, 0), (-2, 2), (-2, -2), (-3, 1), (-3, -1),
)  # fmt: skip
NEARNESS = (64, 45, 31, 22, 15, 11, 8, 5, 4, 3, 2, 1, 1)
NEIGHBOURHOOD = [(i, j) for i in range(3) for j in range(-2, 3) if i or j < 0]


def share(i, j):
    return {1: 4, 2: 2}.get(i * i + j * j, 1)


class Image:
    """The integers decoded so far, with a border."""

    def __init__(self, shape, span):
        self.nz, self.nx = shape
        self.at = np.full((self.nx + 3, self.nz + 6), float(span // 2))

    def __call__(self, x, z):
        return self.at[x + 3, z + 3]

    def begin(self, x):
        if x:
            self.at[x + 3, :3] = self(x - 1, 0)

    def end(self, x):
        self.at[x + 3, -3:] = self(x, self.nz - 1)
        if x == 0:
            self.at[:3] = self.at[3]

    def differences(self, x, z):
        return np.array([self(x + dx, z + dz) for dx, dz in OFFSETS[1:]]) - self(x, z - 1)


def predictions(image, x, z, span, prior):
    above, left = image(x, z - 1), image(x - 1, z)
    if x == 0:
        return [16 * int(above)] * 4
    a, b = np.zeros((15, 15)), np.zeros(15)
    for i in range(max(x - 6, 1), x + 1):
        for j in range(max(z - 6, 0), min(z + 7, image.nz)):
            if i == x and j >= z:
                break
            d = image.differences(i, j)
            c = NEARNESS[x - i + abs(z - j)] * d
            b += c * (image(i, j) - image(i, j - 1))
            a += np.outer(c, d)
    b += 128.0 * prior
    lower, pivots = np.zeros((15, 15)), []
    for i in range(15):
        row = a[i].copy()
        row[i] += 128.0
        least = max(64.0, row[i] * 2.0**-36)
        for j in range(i):
            for k in range(j):
                row[j] -= row[k] * lower[j, k]
        for j in range(i):
            lower[i, j] = row[j] / pivots[j]
            row[i] -= row[j] * lower[i, j]
            b[i] -= lower[i, j] * b[j]
        pivots.append(max(row[i], least))
    d, found = image.differences(x, z), []
    for order in (5, 9, 15):
        v, total = np.zeros(order), above
        for k in reversed(range(order)):
            v[k] = b[k] / pivots[k]
            for m in range(k + 1, order):
                v[k] -= lower[m, k] * v[m]
            total += v[k] * d[k]
        found.append(floor(clamp(total, 0.0, span - 1.0) * 16 + 0.5))
    plane = above + left - image(x - 1, z - 1)
    return [*found, 16 * int(clamp(plane, min(above, left), max(above, left)))]


def least_squares(stream, shape, span, start):
    """`start`: the tensors of least-squares-1.safetensors."""
    nz, nx = shape
    check(span <= 1 << 26 and nz * nx <= 1 << 20, "least squares of too wide a span")
    prior = start["prior"] / 256.0
    rows = (start["weights"].astype(np.int64) << 12).tolist()
    signs = (start["signs"].astype(np.int64) << 12).tolist()
    tails = [[1 << 15, 1] for _ in range(28)]
    image = Image(shape, span)
    errors = np.zeros((5, nx + 2, nz + 4), dtype=np.int64)
    residuals = np.zeros((nx + 1, nz + 1), dtype=np.int64)

    def nearby(k, x, z):
        return sum(share(i, j) * int(errors[k, x + 2 - i, z + 2 + j]) for i, j in NEIGHBOURHOOD)

    for x in range(nx):
        image.begin(x)
        for z in range(nz):
            g = predictions(image, x, z, span, prior)
            raised = [nearby(k, x, z) + 8 for k in range(4)]
            fine = blend(g, [r * isqrt(r) for r in raised])
            fine = clamp(fine, 0, 16 * (span - 1))
            prediction = (fine + 8) >> 4
            part = fine - 16 * prediction
            there = sum(share(i, j) for i, j in NEIGHBOURHOOD if x >= i and 0 <= z + j < nz)
            near = half_octaves(4 * nearby(4, x, z) // max(there, 1), 47)
            latest = max(int(errors[4, x + 2, z + 1]), int(errors[4, x + 1, z + 2]))
            spread = half_octaves(abs(g[0] - g[1]) + abs(g[2] - g[1]), 47)
            four = image(x, z - 1), image(x - 1, z), image(x - 1, z - 1), image(x - 1, z + 1)
            rough = half_octaves(4 * int(max(four) - min(four)), 47)
            few = min(near // 2, 11)
            found = [near, half_octaves(latest, 47), spread, rough]
            found += [24 * (near // 2) + spread // 2, 24 * (near // 2) + rough // 2]
            found.append(12 * abs(part) + few)
            starts = (0, 48, 96, 144, 192, 768, 1344)
            found = [a + b for a, b in zip(found, starts, strict=True)]
            last, beside = int(residuals[x + 1, z]), int(residuals[x, z + 1])
            tilt = 3 * (sign(last) + 1) + sign(beside) + 1
            lean = 3 * (sign(g[0] - fine) + 1) + sign(g[2] - fine) + 1
            sign_features = [12 * (part + 8) + few, 192 + tilt, 201 + lean]
            residual = take(stream, rows, signs, tails, found, sign_features)
            value = prediction + residual
            check(0 <= value < span, "a number out of range")
            image.at[x + 3, z + 3] = value
            residuals[x + 1, z + 1] = residual
            errors[:, x + 2, z + 2] = [abs(one - 16 * value) for one in [*g, fine]]
        image.end(x)
    stream.finish()
    return image.at[3:, 3:-3].astype(np.int64).T


def take(stream, rows, signs, tails, found, sign_features):
    if not learned(stream, rows[0], found):
        return 0
    negative = learned(stream, signs, sign_features)
    count = 1
    while count < 27 and learned(stream, rows[min(count, 15)], found):
        count += 1
    size, left = 1, count - 1
    if left:
        bit = learned(stream, rows[16], found) if count == 2 else stream.bit(tails[count])
        size, left = 2 | bit, left - 1
    size = stream.raw(left, size)
    return -size if negative else size
