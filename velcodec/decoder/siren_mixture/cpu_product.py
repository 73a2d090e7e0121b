"""Compiled products of a layer with a block of points, and sums and maxima over its rows.

Points lie along the last axis, which is contiguous and `BLOCK` long, so that the compiler
vectorises the innermost loop; the sixteen weights of four outputs by four inputs stay in registers.
A block of a layer's inputs and outputs fits the first-level cache.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from velcodec.decoder.siren_mixture.cpu_padding import BLOCK, UNIT
from velcodec.formats.compiled import njit

FLOATS = {"contract", "nsz"}
"""Floating-point licence of the compiler: fuse products and sums, ignore the sign of zero."""


@njit(cache=True, fastmath=FLOATS)
def product(weight: Any, bias: Any, inputs: Any, outputs: Any) -> None:
    """`outputs` (N, BLOCK) = `weight` (N, M) @ `inputs` (M, BLOCK) + `bias` (N,)."""
    rows, columns = weight.shape
    for o in range(0, rows, UNIT):
        for p in range(BLOCK):
            outputs[o, p] = bias[o]
            outputs[o + 1, p] = bias[o + 1]
            outputs[o + 2, p] = bias[o + 2]
            outputs[o + 3, p] = bias[o + 3]
        for k in range(0, columns, UNIT):
            a0, a1, a2, a3 = weight[o, k], weight[o, k + 1], weight[o, k + 2], weight[o, k + 3]
            r = o + 1
            b0, b1, b2, b3 = weight[r, k], weight[r, k + 1], weight[r, k + 2], weight[r, k + 3]
            r = o + 2
            c0, c1, c2, c3 = weight[r, k], weight[r, k + 1], weight[r, k + 2], weight[r, k + 3]
            r = o + 3
            d0, d1, d2, d3 = weight[r, k], weight[r, k + 1], weight[r, k + 2], weight[r, k + 3]
            for p in range(BLOCK):
                x0, x1, x2, x3 = inputs[k, p], inputs[k + 1, p], inputs[k + 2, p], inputs[k + 3, p]
                outputs[o, p] = a3 * x3 + (a2 * x2 + (a1 * x1 + (a0 * x0 + outputs[o, p])))
                outputs[o + 1, p] = b3 * x3 + (b2 * x2 + (b1 * x1 + (b0 * x0 + outputs[o + 1, p])))
                outputs[o + 2, p] = c3 * x3 + (c2 * x2 + (c1 * x1 + (c0 * x0 + outputs[o + 2, p])))
                outputs[o + 3, p] = d3 * x3 + (d2 * x2 + (d1 * x1 + (d0 * x0 + outputs[o + 3, p])))


@njit(cache=True, fastmath=FLOATS)
def products(weights: Any, inputs: Any, outputs: Any) -> None:
    """`outputs` (B, N, T * BLOCK) = `weights` (B, N, M) @ `inputs` (T, M, BLOCK), whose columns are
    cut into T blocks. A row's sums do not depend on other rows.
    """
    rows = weights.shape[1]
    nothing = np.zeros(rows, outputs.dtype)
    part = np.empty((rows, BLOCK), outputs.dtype)
    for t in range(len(inputs)):
        for b in range(len(weights)):
            product(weights[b], nothing, inputs[t], part)
            outputs[b, :, t * BLOCK : (t + 1) * BLOCK] = part


@njit(inline="always", fastmath=FLOATS)
def largest(rows: Any, maximum: Any) -> None:
    """`found` (BLOCK,) = the largest of `rows` (N, BLOCK)."""
    for p in range(BLOCK):
        maximum[p] = rows[0, p]
    for i in range(1, len(rows)):
        for p in range(BLOCK):
            maximum[p] = max(maximum[p], rows[i, p])


@njit(inline="always", fastmath=FLOATS)
def add_weighted(weight: Any, rows: Any, total: Any) -> None:
    """`total` (BLOCK,) += `weight` (N,) @ `rows` (N, BLOCK)."""
    for i in range(len(weight)):
        factor = weight[i]
        for p in range(BLOCK):
            total[p] += factor * rows[i, p]
