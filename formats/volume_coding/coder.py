"""A brick of integers as binary decisions that contexts of three dimensions foresee together.

A brick of layers is mostly quiet stretches, along which a column is like those around it; its other
samples are like one of their neighbours, or miss a prediction. Samples of a smooth brick are such
misses at once. Encoder and decoder run the same compiled loop. Nothing here knows about velocities.
"""

from __future__ import annotations

import numpy as np

from velcodec.formats.arrays import Int64
from velcodec.formats.compiled import njit
from velcodec.formats.entropy.symbols import (
    DECODING,
    Coder,
    code_bits,
    code_even,
    finish_decoder,
    finish_encoder,
    new_decoder,
    new_encoder,
)
from velcodec.formats.errors import CorruptError
from velcodec.formats.sample_coding import work_limit
from velcodec.formats.sample_coding.domain import RAW, Domain
from velcodec.formats.volume_coding import layers as layer_coding
from velcodec.formats.volume_coding import misses as miss_coding
from velcodec.formats.volume_coding.columns import NONE, Columns, close_column, new_columns, open_column
from velcodec.formats.volume_coding.interpolation import (
    GUESSES,
    INTERPOLATED_CONTEXTS,
    MOST_SPAN,
    PARITIES,
    Interpolation,
    code_corners,
    code_stage,
    halvings,
)
from velcodec.formats.volume_coding.layers import Layers, code_like, code_quiet
from velcodec.formats.volume_coding.misses import Misses, code_value
from velcodec.formats.volume_coding.mixer import new_mixer
from velcodec.formats.volume_coding.parts import smooth_parts

BRICK = (64, 64, 64)
"""The edges (z, y, x) of bricks that an encoder makes."""

MAX_SAMPLES = 1 << 21
"""Bricks of more samples are not coded."""

LAYERED, SMOOTH, INTERPOLATED = range(3)
KIND_BITS = 2
LABEL_BITS = 16
"""A stream begins with the kind of its brick."""

SAMPLES_PER_BYTE = 1 << 13
"""A stream has a byte for every so many samples at least."""


def _new_layers(samples: int) -> Layers:
    return Layers(
        np.zeros(4, dtype=np.int64),
        np.full((layer_coding.MEMORIES, 1 << layer_coding.MEMORY_BITS), NONE, dtype=np.int64),
        np.zeros(layer_coding.MEMORIES, dtype=np.int64),
        np.zeros(layer_coding.CANDIDATES, dtype=np.int64),
        new_mixer(
            layer_coding.QUIET_CONTEXTS, samples >> 4, layer_coding.QUIET_SELECTORS,
            layer_coding.QUIET_REFINERS,
        ),
        new_mixer(
            layer_coding.LIKE_CONTEXTS, samples, layer_coding.LIKE_SELECTORS,
            layer_coding.LIKE_REFINERS,
        ),
    )  # fmt: skip


def _new_misses(columns: int, nz: int) -> Misses:
    order = miss_coding.ORDER
    return Misses(
        np.zeros((order, order)), np.zeros(order), np.zeros((order, order)), np.zeros(order),
        np.zeros(order), np.zeros(order), np.zeros(1, dtype=np.int64),
        np.zeros((columns + 1, nz, miss_coding.PREDICTIONS), dtype=np.int64),
        np.zeros((columns + 1, nz), dtype=np.int64),
        np.zeros(miss_coding.PREDICTIONS, dtype=np.int64),
        np.zeros(miss_coding.PREDICTIONS, dtype=np.int64),
        new_mixer(
            miss_coding.MISS_CONTEXTS, columns * nz, miss_coding.MISS_SELECTORS,
            miss_coding.MISS_REFINERS,
        ),
    )  # fmt: skip


@njit(cache=True)
def _code_samples(
    wanted: Int64, ny: int, nx: int, span: int, smooth: bool, columns: Columns, layers: Layers,
    misses: Misses, coder: Coder,
) -> int:  # fmt: skip
    """Code all samples; an encoder those `wanted` (columns, nz). Returns 0, or -1 - (place) of a
    sample that leaves [0, span).
    """
    values = columns.values
    nz = values.shape[1]
    for y in range(ny):
        for x in range(nx):
            here = open_column(y, x, nx, columns)
            mine = wanted[0] if coder[DECODING] else wanted[here]
            z, broken = 0, False
            while z < nz:
                if not smooth and not broken:
                    stretch, broken = code_quiet(
                        mine, here, z, y, x, columns, layers, coder
                    )
                    z += stretch
                    if z >= nz:
                        break
                value = 0 if coder[DECODING] else mine[z]
                found = NONE
                if not smooth:
                    found = code_like(value, here, z, y, x, broken, columns, layers, coder)
                    broken = False
                if found == NONE:
                    found = code_value(value, here, z, y, x, span, columns, misses, coder)
                    if not 0 <= found < span:
                        return -1 - (here * nz + z)
                    if not smooth:
                        for k in range(len(layers.keys)):
                            layers.remembered[k, layers.keys[k]] = found
                values[here, z] = found
                z += 1
            close_column(here, columns)
    return 0


def _run(
    wanted: Int64, shape: tuple[int, int, int], span: int, smooth: bool, coder: Coder
) -> tuple[int, Columns]:
    nz, ny, nx = shape
    columns = new_columns(ny * nx, nz)
    done = _code_samples(
        wanted, ny, nx, span, smooth, columns, _new_layers(nz * ny * nx),
        _new_misses(ny * nx, nz), coder,
    )  # fmt: skip
    return done, columns


def _interpolate(
    wanted: Int64, labels: Int64, shape: tuple[int, int, int], span: int, reach: int, coder: Coder
) -> Int64:
    """Code a brick by interpolation, each sample within `reach`; the integers as decoded."""
    nz, ny, nx = shape
    zeros = [np.zeros(GUESSES, dtype=np.int64) for _ in range(4)]
    state = Interpolation(
        np.zeros(shape, dtype=np.int64), labels,
        np.full(int(labels.max()) + 1, span >> 1, dtype=np.int64),
        np.zeros(shape, dtype=np.int64), np.zeros((*shape, GUESSES), dtype=np.int64),
        np.zeros((len(PARITIES), GUESSES), dtype=np.int64), *zeros,
        new_mixer(
            INTERPOLATED_CONTEXTS, nz * ny * nx, miss_coding.MISS_SELECTORS,
            miss_coding.MISS_REFINERS,
        ),
    )  # fmt: skip
    axes = [halvings(length) for length in shape]
    levels = max(len(axis) for axis in axes)
    for axis in axes:
        axis += [axis[-1]] * (levels - len(axis))
    first = tuple(axis[0].known for axis in axes)
    code_corners(wanted, first, step_of(reach, levels - 1), span, state, coder)
    for level in range(levels - 1):
        finer = levels - 2 - level
        known = tuple(axis[level].known for axis in axes)
        new = tuple(axis[level].new for axis in axes)
        for stage in range(len(PARITIES)):
            step = step_of(reach, finer)
            code_stage(wanted, stage, finer, known, new, step, span, state, coder)
    return state.values


import os
TIGHT = [float(t) for t in os.environ.get("TIGHT", "1,.75,.5,.5").split(",")]


def step_of(reach: int, level: int) -> int:
    """The quantiser's step of samples within `reach`, of the finest grid or one so many times
    coarser.
    """
    return 2 * int(reach * TIGHT[min(level, len(TIGHT) - 1)]) + 1


def encode_within(codes: Int64, domain: Domain, reach: int) -> bytes:
    """The stream of a smooth brick (nz, ny, nx) whose decoded integers are within `reach` of
    `codes`.
    """
    nz, ny, nx = codes.shape
    if not 1 <= codes.size <= MAX_SAMPLES or domain.kind == RAW or domain.span > MOST_SPAN:
        raise ValueError(f"brick: found {nz} x {ny} x {nx} samples, too many, or a raw domain")
    labels = smooth_parts(codes, 2 * reach + 1)
    streams = [_within(codes, np.zeros_like(codes), domain.span, reach)]
    if labels.any():
        streams.append(_within(codes, labels, domain.span, reach))
    return work_limit.pad(min(streams, key=len), codes.size // SAMPLES_PER_BYTE)


def _within(codes: Int64, labels: Int64, span: int, reach: int) -> bytes:
    shape = codes.shape[0], codes.shape[1], codes.shape[2]
    most = int(labels.max())
    coder = new_encoder((layer_coding.CANDIDATES + 2 * 72) * codes.size + 16)
    code_bits(INTERPOLATED, 0, KIND_BITS, coder)
    code_even(min(reach, span - 1), span, coder)
    code_bits(most, 0, LABEL_BITS, coder)
    if most > 0:
        wanted = np.ascontiguousarray(labels.reshape(shape[0], -1).T)
        _run(wanted, shape, most + 1, False, coder)
    _interpolate(np.ascontiguousarray(codes), labels, shape, span, reach, coder)
    return finish_encoder(coder)


def encode_brick(codes: Int64, domain: Domain, smooth: bool) -> bytes:
    """The stream of a brick (nz, ny, nx) of integers in [0, domain.span), with layers of equal
    samples or `smooth`. Raises ValueError for a raw domain, and for too great a brick.
    """
    nz, ny, nx = codes.shape
    if not 1 <= codes.size <= MAX_SAMPLES or domain.kind == RAW:
        raise ValueError(f"brick: found {nz} x {ny} x {nx} samples, too many, or a raw domain")
    wanted = np.ascontiguousarray(codes.reshape(nz, ny * nx).T)
    coder = new_encoder((layer_coding.CANDIDATES + 72) * codes.size + 16)
    code_bits(int(smooth), 0, KIND_BITS, coder)
    _run(wanted, (nz, ny, nx), domain.span, smooth, coder)
    return work_limit.pad(finish_encoder(coder), codes.size // SAMPLES_PER_BYTE)


def decode_brick(stream: bytes, shape: tuple[int, int, int], domain: Domain) -> Int64:
    """The integers (nz, ny, nx) of a stream. Raises CorruptError."""
    nz, ny, nx = shape
    samples = nz * ny * nx
    if min(shape) < 1 or samples > MAX_SAMPLES or domain.kind == RAW:
        raise CorruptError(
            f"brick: found {nz} x {ny} x {nx} samples, expected 1 to {MAX_SAMPLES} of no raw domain"
        )
    data = work_limit.unpad(stream, samples, samples // SAMPLES_PER_BYTE, "brick")
    coder = new_decoder(data)
    kind = code_bits(0, 0, KIND_BITS, coder)
    if kind == INTERPOLATED and domain.span <= MOST_SPAN:
        reach = code_even(0, domain.span, coder)
        most = code_bits(0, 0, LABEL_BITS, coder)
        nothing = np.zeros((1, 1, 1), dtype=np.int64)
        labels = np.zeros(shape, dtype=np.int64)
        if most > 0:
            done, columns = _run(nothing[0], shape, most + 1, False, coder)
            if done < 0:
                raise CorruptError(f"brick: label {-1 - done}: expected 0 to {most}")
            labels = np.ascontiguousarray(columns.values[: ny * nx].T).reshape(shape)
        found = _interpolate(nothing, labels, shape, domain.span, reach, coder)
        finish_decoder(coder)
        return found
    if kind not in (LAYERED, SMOOTH):
        raise CorruptError(f"brick: kind: found {kind}, expected 0 to 2")
    smooth = kind == SMOOTH
    nothing = np.zeros((1, 1), dtype=np.int64)
    done, columns = _run(nothing, shape, domain.span, smooth, coder)
    if done < 0:
        raise CorruptError(
            f"brick: sample {-1 - done}: found a value outside 0 to {domain.span - 1}"
        )
    finish_decoder(coder)
    return np.ascontiguousarray(columns.values[: ny * nx].T).reshape(shape)
