"""The 9/7 wavelet of Cohen, Daubechies and Feauveau in integers, and its bands.

Lifting steps with rounded fixed-point constants: what one machine synthesises, every machine does.
Steps are not normalised; `band_gain` says what a unit of a band's coefficients adds to the image.
Sources: Daubechies and Sweldens, "Factoring wavelet transforms into lifting steps" (1998);
Calderbank et al., "Wavelet transforms that map integers to integers" (1998).
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numba import njit
from numpy.typing import NDArray

Int64 = NDArray[np.int64]

LIFT_BITS = 16
PREDICT_1, UPDATE_1, PREDICT_2, UPDATE_2 = -103949, -3472, 57862, 29066
"""The lifting constants, times 2^LIFT_BITS."""

SHORTEST = 4
"""An axis of at most so many samples is not split further."""

TOP, BOTTOM, LEFT, RIGHT, KIND, LEVEL, PARENT, FIRST_SISTER, SECOND_SISTER = range(9)
"""A row of `bands`: its rows and columns in the transformed image; kind; level, 0 the finest; the
numbers of the band of that kind one level coarser and of those of this level before it, or -1."""

ACROSS, DOWN, BOTH = range(3)
"""Kinds of bands: high along x, along z, along both."""


def splits(shape: tuple[int, int]) -> list[tuple[int, int]]:
    """Sizes of the low band before each level and after the last, finest first."""
    sizes = [shape]
    while max(sizes[-1]) > SHORTEST:
        nz, nx = sizes[-1]
        sizes.append(
            ((nz + 1) // 2 if nz > SHORTEST else nz, (nx + 1) // 2 if nx > SHORTEST else nx)
        )
    return sizes


def bands(shape: tuple[int, int]) -> Int64:
    """The bands (n, 9) of an image beside the low one, coarsest first."""
    sizes = splits(shape)
    rows: list[list[int]] = []
    last = [-1, -1, -1]
    for level in range(len(sizes) - 2, -1, -1):
        (nz, nx), (low_z, low_x) = sizes[level], sizes[level + 1]
        sisters: list[int] = []
        for kind, (top, left) in enumerate([(0, low_x), (low_z, 0), (low_z, low_x)]):
            bottom = low_z if top == 0 else nz
            right = low_x if left == 0 else nx
            if top < bottom and left < right:
                before = [*sisters, -1, -1][:2]
                sisters.append(len(rows))
                rows.append([top, bottom, left, right, kind, level, last[kind], *before])
        for number in sisters:
            last[rows[number][KIND]] = number
    return np.array(rows, dtype=np.int64).reshape(-1, 9)


@njit(cache=True)
def _lift(line: Int64, first: int, constant: int) -> None:
    """Add to each second sample, from `first`, the rounded multiple of its neighbours' sum."""
    n = len(line)
    for i in range(first, n, 2):
        before = line[i - 1] if i > 0 else line[i + 1]
        after = line[i + 1] if i < n - 1 else line[i - 1]
        line[i] += (constant * (before + after) + (1 << (LIFT_BITS - 1))) >> LIFT_BITS


@njit(cache=True)
def _split(line: Int64, room: Int64) -> None:
    n = len(line)
    work = room[:n]
    work[:] = line
    _lift(work, 1, PREDICT_1)
    _lift(work, 0, UPDATE_1)
    _lift(work, 1, PREDICT_2)
    _lift(work, 0, UPDATE_2)
    low = (n + 1) // 2
    for i in range(low):
        line[i] = work[2 * i]
    for i in range(n - low):
        line[low + i] = work[2 * i + 1]


@njit(cache=True)
def _join(line: Int64, room: Int64) -> None:
    n = len(line)
    work = room[:n]
    low = (n + 1) // 2
    for i in range(low):
        work[2 * i] = line[i]
    for i in range(n - low):
        work[2 * i + 1] = line[low + i]
    # Subtracting what was added, rounded alike, gives the samples back exactly.
    _unlift(work, 0, UPDATE_2)
    _unlift(work, 1, PREDICT_2)
    _unlift(work, 0, UPDATE_1)
    _unlift(work, 1, PREDICT_1)
    line[:] = work


@njit(cache=True)
def _unlift(line: Int64, first: int, constant: int) -> None:
    n = len(line)
    for i in range(first, n, 2):
        before = line[i - 1] if i > 0 else line[i + 1]
        after = line[i + 1] if i < n - 1 else line[i - 1]
        line[i] -= (constant * (before + after) + (1 << (LIFT_BITS - 1))) >> LIFT_BITS


@njit(cache=True)
def _analyse(image: Int64, sizes: Int64) -> None:
    room = np.empty(max(image.shape[0], image.shape[1]), dtype=np.int64)
    for level in range(len(sizes) - 1):
        nz, nx = sizes[level]
        if sizes[level + 1, 1] < nx:
            for z in range(nz):
                _split(image[z, :nx], room)
        if sizes[level + 1, 0] < nz:
            for x in range(nx):
                _split(image[:nz, x], room)


@njit(cache=True)
def _synthesise(image: Int64, sizes: Int64) -> None:
    room = np.empty(max(image.shape[0], image.shape[1]), dtype=np.int64)
    for level in range(len(sizes) - 2, -1, -1):
        nz, nx = sizes[level]
        if sizes[level + 1, 0] < nz:
            for x in range(nx):
                _join(image[:nz, x], room)
        if sizes[level + 1, 1] < nx:
            for z in range(nz):
                _join(image[z, :nx], room)


def analyse(image: Int64) -> Int64:
    """The coefficients (nz, nx) of an image: the low band at the top left, then the `bands`."""
    out = np.ascontiguousarray(image).copy()
    _analyse(out, np.array(splits(image.shape), dtype=np.int64))
    return out


def synthesise(coefficients: Int64) -> Int64:
    """The image of these coefficients, both (nz, nx): the inverse of `analyse`."""
    out = np.ascontiguousarray(coefficients).copy()
    _synthesise(out, np.array(splits(coefficients.shape), dtype=np.int64))
    return out


GAIN_BITS = 12
"""Norm of what a coefficient adds to the image, times 2^GAIN_BITS, along one axis after so many
splits (the last entry for more), where the last of them made it part of the low or the high half."""
LOW_GAINS = (4668, 5495, 6383, 7360, 8468, 9737, 11194, 12869, 14794, 17008, 19552, 22477)
HIGH_GAINS = (3634, 4028, 4801, 5613, 6485, 7464, 8584, 9869, 11346, 13043, 14995, 17238)


def steps_of(shape: tuple[int, int], step: int) -> Int64:
    """Quantiser steps (nz, nx) of all coefficients, each worth `step` < 2^37 in the image."""
    sizes = splits(shape)
    gains = [np.full(n, 1 << GAIN_BITS, dtype=np.int64) for n in shape]
    for axis in range(2):
        done = 0
        for before, after in pairwise(sizes):
            if after[axis] < before[axis]:
                place = min(done, len(LOW_GAINS) - 1)
                gains[axis][: after[axis]] = LOW_GAINS[place]
                gains[axis][after[axis] : before[axis]] = HIGH_GAINS[place]
                done += 1
    product = gains[0][:, None] * gains[1][None, :]
    steps: Int64 = np.maximum((step << (2 * GAIN_BITS)) // product, 1)
    return steps
