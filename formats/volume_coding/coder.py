"""A brick of integers as binary decisions that contexts of three dimensions foresee together.

A brick of layers is mostly quiet stretches, along which a column is like those around it; its other
samples are like one of their neighbours, or miss a prediction. Samples of a smooth brick are such
misses at once. A brick within a bound is interpolated from coarse to fine, each smooth part by
itself. Encoder and decoder run the same compiled loops. Nothing here knows about velocities.
"""

from __future__ import annotations

from typing import cast

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
from velcodec.formats.volume_coding.columns import (
    NONE,
    Columns,
    close_column,
    new_columns,
    open_column,
)
from velcodec.formats.volume_coding.interpolation import (
    MOST_SPAN,
    STAGES,
    Positions,
    code_corners,
    code_stage,
    halvings,
    new_interpolation,
)
from velcodec.formats.volume_coding.layers import (
    CANDIDATES,
    DEVIATION,
    TOP,
    Layers,
    code_like,
    code_quiet,
    new_layers,
)
from velcodec.formats.volume_coding.misses import (
    MOST_SYMBOLS,
    Misses,
    code_value,
    new_misses,
)
from velcodec.formats.volume_coding.parts import smooth_parts

Shape = tuple[int, int, int]

BRICK = (64, 64, 64)
"""The edges (z, y, x) of bricks that an encoder makes."""

MAX_SAMPLES = 1 << 20
"""Bricks of more samples are not coded."""

LAYERED, SMOOTH, INTERPOLATED = range(3)
KIND_BITS = 2
"""A stream begins with the kind of its brick."""

LABEL_BITS = 16

SAMPLES_PER_BYTE = 1 << 13
"""A stream has a byte for every so many samples at least."""

SYMBOLS_PER_SAMPLE = CANDIDATES + MOST_SYMBOLS
OTHER_SYMBOLS = 16


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
            layers.state[TOP] = layers.state[DEVIATION] = 0
            z, broken = 0, False
            while z < nz:
                if not smooth and not broken:
                    stretch, broken = code_quiet(mine, here, z, x, columns, layers, coder)
                    z += stretch
                    if z >= nz:
                        break
                value = 0 if coder[DECODING] else mine[z]
                found = NONE
                if not smooth:
                    found = code_like(value, here, z, broken, columns, layers, coder)
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


def _code_columns(
    codes: Int64 | None, shape: Shape, span: int, smooth: bool, coder: Coder
) -> Int64:
    """Code a brick column by column, `codes` if an encoder does; its integers. Raises
    CorruptError.
    """
    nz, ny, nx = shape
    wanted = np.zeros((1, 1), dtype=np.int64)
    if codes is not None:
        wanted = np.ascontiguousarray(codes.reshape(nz, ny * nx).T)
    columns = new_columns(ny * nx, nz)
    layers, misses = new_layers(nz * ny * nx), new_misses(ny * nx, nz)
    done = _code_samples(wanted, ny, nx, span, smooth, columns, layers, misses, coder)
    if done < 0:
        raise CorruptError(f"brick: sample {-1 - done}: found a value outside 0 to {span - 1}")
    return np.ascontiguousarray(columns.values[: ny * nx].T).reshape(shape)


def _interpolate(codes: Int64 | None, labels: Int64, span: int, reach: int, coder: Coder) -> Int64:
    """Code a brick by interpolation, each sample within `reach`; the integers as decoded."""
    wanted = np.zeros((1, 1, 1), dtype=np.int64) if codes is None else np.ascontiguousarray(codes)
    state = new_interpolation(labels, span)
    axes = [halvings(length) for length in labels.shape]
    levels = max(len(axis) for axis in axes)
    for axis in axes:
        axis += [axis[-1]] * (levels - len(axis))
    corners = cast(Positions, tuple(axis[0].known for axis in axes))
    code_corners(wanted, corners, step_of(reach, levels - 1), span, state, coder)
    for i in range(levels - 1):
        level = levels - 2 - i
        known = cast(Positions, tuple(axis[i].known for axis in axes))
        new = cast(Positions, tuple(axis[i].new for axis in axes))
        for stage in range(len(STAGES)):
            step = step_of(reach, level)
            code_stage(wanted, stage, level, known, new, step, span, state, coder)
    return state.values


def step_of(reach: int, level: int) -> int:
    """The quantiser's step of samples within `reach`, of the finest grid (level 0) or one so many
    times coarser. Coarser grids are finer, for what is interpolated from them.
    """
    return 2 * (reach if level == 0 else 3 * reach // 4 if level == 1 else reach // 2) + 1


def encode_brick(codes: Int64, domain: Domain, smooth: bool) -> bytes:
    """The stream of a brick (nz, ny, nx) of integers in [0, domain.span), which are coded exactly:
    as layers of equal samples, or as `smooth`. Raises ValueError for a raw domain, and for too
    great a brick.
    """
    _check(codes, domain)
    coder = new_encoder(SYMBOLS_PER_SAMPLE * codes.size + OTHER_SYMBOLS)
    code_bits(SMOOTH if smooth else LAYERED, 0, KIND_BITS, coder)
    _code_columns(codes, _shape(codes), domain.span, smooth, coder)
    return work_limit.pad(finish_encoder(coder), codes.size // SAMPLES_PER_BYTE)


def encode_within(codes: Int64, domain: Domain, reach: int) -> bytes:
    """The stream of a brick (nz, ny, nx) whose decoded integers are within `reach` of `codes`, for
    bricks of smooth parts. Raises ValueError as `encode_brick`, and for a span over MOST_SPAN.
    """
    _check(codes, domain)
    if domain.span > MOST_SPAN or not 0 <= reach < domain.span:
        raise ValueError(f"brick: found span {domain.span} and reach {reach}, too great")
    labels = smooth_parts(codes, step_of(reach, 0))
    most = int(labels.max())
    coder = new_encoder((SYMBOLS_PER_SAMPLE + MOST_SYMBOLS) * codes.size + OTHER_SYMBOLS)
    code_bits(INTERPOLATED, 0, KIND_BITS, coder)
    code_even(reach, domain.span, coder)
    code_bits(most, 0, LABEL_BITS, coder)
    if most > 0:
        _code_columns(labels, _shape(codes), most + 1, False, coder)
    _interpolate(codes, labels, domain.span, reach, coder)
    return work_limit.pad(finish_encoder(coder), codes.size // SAMPLES_PER_BYTE)


def decode_brick(stream: bytes, shape: Shape, domain: Domain) -> Int64:
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
    if kind in (LAYERED, SMOOTH):
        found = _code_columns(None, shape, domain.span, kind == SMOOTH, coder)
    elif kind == INTERPOLATED and domain.span <= MOST_SPAN:
        reach = code_even(0, domain.span, coder)
        most = code_bits(0, 0, LABEL_BITS, coder)
        labels = np.zeros(shape, dtype=np.int64)
        if most > 0:
            labels = _code_columns(None, shape, most + 1, False, coder)
        found = _interpolate(None, labels, domain.span, reach, coder)
    else:
        raise CorruptError(f"brick: kind: found {kind} in a span of {domain.span}, expected 0 to 2")
    finish_decoder(coder)
    return found


def _check(codes: Int64, domain: Domain) -> None:
    if not 1 <= codes.size <= MAX_SAMPLES or domain.kind == RAW:
        raise ValueError(f"brick: found {codes.size} samples, too many, or a raw domain")


def _shape(codes: Int64) -> Shape:
    return codes.shape[0], codes.shape[1], codes.shape[2]
