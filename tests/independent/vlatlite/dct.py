"""Exact streams of DCT coefficients (docs/format-exact.md, "DCT", "Learned bits")."""

from math import isqrt

import numpy as np

from .coder import bits, clamp, sign
from .container import check


def logistic():
    found = []
    for i in range(-768, 769):
        power = 1 << (40 * 64 + i)
        for _ in range(6):
            power = isqrt(power)
        found.append(clamp((power << 16) // (power + (1 << 40)), 16, (1 << 16) - 16))
    return found


LOGISTIC = logistic()
SIZES = (20, 20, 20, 28, 100, 46, 36, 24, 16)
STARTS = [sum(SIZES[:k]) for k in range(9)]


def learned(stream, row, found):
    """A bit predicted from the weights `found` of a row, which are updated."""
    zero = LOGISTIC[clamp((sum(row[f] for f in found) >> 10) + 768, 0, 1536)]
    bit = stream.among((zero, (1 << 16) - zero))
    for f in found:
        row[f] += ((0 if bit else 1 << 16) - zero) * 4 >> 8
    return bit


def half_octaves(value, most):
    if value < 3:
        return min(value, most)
    b = bits(value)
    return min(2 * b - 1 + (value >> (b - 2) & 1), most)


SQUARES = np.add.outer(np.arange(-3, 4) ** 2, np.arange(-3, 4) ** 2)
WIDE = np.where(SQUARES <= 8, 16 // np.maximum(SQUARES, 1), 1)
NEAR = np.where(SQUARES <= 2, 3 - SQUARES, 0)
FAR = ((SQUARES > 2) & (SQUARES <= 8)).astype(int)


def cosines(n):
    """Rows of the transform's matrix, in 2^-20."""
    k, i = np.mgrid[:n, :n]
    table = np.where(k, np.sqrt(2 / n), np.sqrt(1 / n)) * np.cos(
        (2 * i + 1) * k % (4 * n) * (np.pi / 2 / n)
    )
    return np.rint(table * 2**20).astype(np.int64)


def synthesise(coefficients):
    down, across = (cosines(n) for n in coefficients.shape)
    turned = (coefficients.T @ down + (1 << 19)) >> 20
    return (turned.T @ across + (1 << 19)) >> 20


def integer(stream):
    size = stream.even(32) + 1
    drop = max(size - 5, 0)
    return stream.raw(size - 1 - drop, 1) << drop


def dct(stream, shape, span, start):
    """`start`: the tensors of waves-1.safetensors."""
    check(span <= 1 << 26 and max(shape) <= 1024 and shape[0] * shape[1] <= 1 << 18, "too great")
    step = integer(stream)
    q = coefficients(stream, shape, (1 << 41) // (step << 4), start)
    image = np.clip(((synthesise(q * (step << 4)) + 8) >> 4) + span // 2, 0, span - 1)
    if stream.raw(1):
        unit = integer(stream)
        units = outliers(stream, shape, 16 * step // unit, start)
        most = span // unit + 1
        image = np.clip(image + unit * np.clip(units, -most, most), 0, span - 1)
    stream.finish()
    return image


def coefficients(stream, shape, most, start):
    nz, nx = shape
    order = sorted(
        ((i, j) for i in range(nz) for j in range(nx)),
        key=lambda ij: ((ij[0] * nx) ** 2 + (ij[1] * nz) ** 2, ij),
    )
    weights = [[w << 12 for w in row] for row in start["weights"].tolist()]
    more = [[frequency, 8] for frequency in start["more"].tolist()]
    signs, tails = [[1 << 15, 2] for _ in range(7)], [[1 << 15, 1] for _ in range(49)]
    q, known = (
        np.zeros((nz + 6, nx + 6), dtype=np.int64),
        np.zeros((nz + 6, nx + 6), dtype=np.int64),
    )
    recent, chunk = 1 << 12, 0
    for k, (i, j) in enumerate(order):
        if k and k % 32 == 0:
            if not stream.bit(more[half_octaves(chunk, 11)]):
                break
            chunk = 0
        found = features(q, known, i, j, nz, nx, recent)
        context = 2 + sign(q[i + 1, 3]) if j == 0 else 5 + sign(q[3, j + 1]) if i == 0 else 0
        signs[0] = [1 << 15, 2]
        size = magnitude(stream, weights, tails, found)
        check(size <= most, "a coefficient out of range")
        negative = size and stream.bit(signs[context])
        q[i + 3, j + 3], known[i + 3, j + 3] = -size if negative else size, 1
        if k:
            recent += (min(size, 1 << 20) * 256 - recent) >> 4
        chunk += min(size, 1 << 20)
    return q[3 : nz + 3, 3 : nx + 3]


def magnitude(stream, weights, tails, found):
    count = 0
    while count < 48 and learned(stream, weights[min(count, 11)], found):
        count += 1
    if count < 2:
        return count
    bit = learned(stream, weights[12], found) if count == 2 else stream.bit(tails[count])
    return stream.raw(count - 2, 2 | bit)


def features(q, known, i, j, nz, nx, recent):
    size, there = np.abs(q[i : i + 7, j : j + 7]), known[i : i + 7, j : j + 7]
    near, far, wide = (int((w * size).sum()) for w in (NEAR, FAR, WIDE))
    nears, fars, wides = (max(int((w * there).sum()), 1) for w in (NEAR, FAR, WIDE))
    wide = half_octaves(24 * wide // wides, 27)
    last = half_octaves(recent >> 4, 19)
    radius = isqrt(1024 * ((i * nx) ** 2 + (j * nz) ** 2) // (nz * nz * nx * nx))
    angle = min(8 * i * nx // max(i * nx + j * nz, 1), 7)
    loud = 0 if wide < 2 else 1 if wide < 9 else 2
    above, left = abs(int(q[i + 2, j + 3])), abs(int(q[i + 3, j + 2]))
    codes = (
        half_octaves(8 * near // nears, 19), half_octaves(8 * far // fars, 19), last, wide,
        10 * min(wide // 2, 9) + min(last // 2, 9), min(radius, 45), 6 * min(i, 5) + min(j, 5),
        3 * angle + loud, 4 * min(above, 3) + min(left, 3),
    )  # fmt: skip
    return [s + c for s, c in zip(STARTS, codes, strict=True)]


def outliers(stream, shape, ratio, start):
    which, side = ([w << 12 for w in start[name].tolist()] for name in ("which", "side"))
    sizes, recent = [[60000, 0] for _ in range(49)], 0
    c = np.zeros((shape[0] + 4, shape[1] + 4), dtype=np.int64)
    for z in range(shape[0]):
        for x in range(shape[1]):
            p, r = z + 2, x + 2
            beside = [int(v) for v in (c[p - 1, r], c[p, r - 1], c[p - 1, r - 1], c[p - 1, r + 1])]
            far = (c[p - 2, r], c[p, r - 2], c[p - 2, r - 1], c[p - 2, r + 1], c[p - 1, r - 2])
            far = sum(v != 0 for v in (*far, c[p - 1, r + 2]))
            count, tilt = sum(v != 0 for v in beside), sum(map(sign, beside))
            reasons = (5 * count + abs(tilt), 25 + far, 32 + min(ratio, 39))
            reasons += (72 + half_octaves(recent >> 9, 11),)
            some = learned(stream, which, reasons)
            recent += ((some << 16) - recent) >> 6
            if some:
                turn = 9 + 3 * (sign(beside[0]) + 1) + sign(beside[1]) + 1
                negative = learned(stream, side, (tilt + 4, turn))
                n = 0
                while n < 48 and stream.bit(sizes[n]):
                    n += 1
                size = 1 + (stream.raw(n - 1, 1) if n else 0)
                c[p, r] = -size if negative else size
    return c[2:-2, 2:-2]
