"""Exact streams of blended prediction (docs/format-exact.md, "Blended prediction")."""

import numpy as np

from .coder import Residuals, bits, clamp, sign
from .container import check


def blended(stream, shape, span):
    nz, nx = shape
    c = [[0] * nz for _ in range(nx)]
    coder = Residuals()
    errors = [[0] * 8 for _ in range(nz)]
    residuals = [0] * nz
    for x in range(nx):
        before, residuals_before = errors, residuals
        errors, residuals = [], []
        for z in range(nz):
            above = c[x][z - 1] if z else c[x - 1][0] if x else 0
            left = c[x - 1][z] if x else above
            corner = c[x - 1][z - 1] if x and z else left
            below = c[x - 1][z + 1] if x and z < nz - 1 else left
            second = c[x][z - 2] if z > 1 else above
            farther = c[x - 2][z] if x > 1 else left
            plane = above + left - corner
            predictions = [
                above, left, plane, above + below - left, 2 * above - second, 2 * left - farther,
                (above + left) // 2, clamp(plane, min(above, left), max(above, left)),
            ]  # fmt: skip
            up, down = max(z - 1, 0), min(z + 1, nz - 1)
            energy = [
                before[z][k] + before[up][k] + before[down][k]
                + (2 * errors[z - 1][k] if z else 0) + (errors[z - 2][k] if z > 1 else 0)
                for k in range(8)
            ]  # fmt: skip
            prediction = clamp(blend(predictions, energy), 0, span - 1)
            last = residuals[z - 1] if z else 0
            recent = (
                2 * abs(residuals_before[z])
                + abs(residuals_before[up])
                + abs(residuals_before[down])
            )
            recent += 2 * abs(last) + (abs(residuals[z - 2]) if z > 1 else 0)
            tilt = 3 * (sign(last) + 1) + sign(residuals_before[z]) + 1
            residual = coder.take(stream, recent, tilt)
            value = prediction + residual
            check(0 <= value < span, "a number out of range")
            c[x][z] = value
            residuals.append(clamp(residual, -(1 << 56), 1 << 56))
            errors.append([min(abs(prediction - value), 1 << 56) for prediction in predictions])
    stream.finish()
    return np.array(c, dtype=np.int64).T


def blend(predictions, energy):
    shift = max(0, bits(min(energy)) - 12)
    weights = total = 0
    for prediction, e in zip(predictions, energy, strict=True):
        size = min((e >> shift) + 1, 1 << 18)
        weight = min((1 << 40) // (size * size), 1 << 24)
        weights += weight
        total += weight * clamp(prediction - predictions[0], -(1 << 34), 1 << 34)
    return predictions[0] + (2 * total + weights) // (2 * weights)
