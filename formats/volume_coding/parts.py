"""The smooth parts of a brick: samples that hang together without a jump between neighbours."""

from __future__ import annotations

import numpy as np

from velcodec.formats.arrays import Int64
from velcodec.formats.compiled import njit

MOST_LABELS = 1 << 16
LEAST_PART = 64
"""Smaller parts count to the one above."""

JUMP_STEPS, JUMP_SLOPES = 3, 4
"""A jump is more than so many quantiser steps and so many usual differences."""


def smooth_parts(codes: Int64, step: int) -> Int64:
    """Labels (nz, ny, nx) from 0 of the smooth parts of a brick; all 0 if it is one part."""
    usual = [
        float(np.percentile(np.abs(np.diff(codes, axis=axis)), 75))
        if codes.shape[axis] > 1
        else 0.0
        for axis in range(3)
    ]
    jumps = np.array([int(JUMP_STEPS * step + JUMP_SLOPES * slope) for slope in usual])
    labels = np.zeros(codes.shape, dtype=np.int64)
    count = _label(np.ascontiguousarray(codes), jumps, labels)
    return labels if 1 < count <= MOST_LABELS else np.zeros_like(labels)


@njit(cache=True)
def _label(codes: Int64, jumps: Int64, labels: Int64) -> int:
    """Fill in labels in the order of columns; their number."""
    nz, ny, nx = codes.shape
    parents = np.arange(codes.size)
    for z in range(nz):
        for y in range(ny):
            for x in range(nx):
                here, value = (z * ny + y) * nx + x, codes[z, y, x]
                if z > 0 and abs(value - codes[z - 1, y, x]) <= jumps[0]:
                    _join(here, here - ny * nx, parents)
                if y > 0 and abs(value - codes[z, y - 1, x]) <= jumps[1]:
                    _join(here, here - nx, parents)
                if x > 0 and abs(value - codes[z, y, x - 1]) <= jumps[2]:
                    _join(here, here - 1, parents)
    sizes = np.zeros(codes.size, dtype=np.int64)
    for i in range(codes.size):
        sizes[_root(i, parents)] += 1
    names = np.full(codes.size, -1)
    count = 0
    for y in range(ny):
        for x in range(nx):
            for z in range(nz):
                root = _root((z * ny + y) * nx + x, parents)
                if sizes[root] < LEAST_PART and (z > 0 or x > 0 or y > 0):
                    if z > 0:
                        labels[z, y, x] = labels[z - 1, y, x]
                    else:
                        labels[z, y, x] = labels[0, y, x - 1] if x > 0 else labels[0, y - 1, x]
                    continue
                if names[root] < 0:
                    names[root] = count
                    count += 1
                labels[z, y, x] = names[root]
    return count


@njit(cache=True)
def _root(i: int, parents: Int64) -> int:
    while parents[i] != i:
        parents[i] = parents[parents[i]]
        i = parents[i]
    return i


@njit(cache=True)
def _join(i: int, j: int, parents: Int64) -> None:
    first, second = _root(i, parents), _root(j, parents)
    if first != second:
        parents[max(first, second)] = min(first, second)
