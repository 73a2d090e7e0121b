"""The network of the volumes' sampler on a CPU without torch: features of samples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from velcodec.formats.arrays import Float32, Float64
from velcodec.parallel import in_parallel, threads
from velcodec.sampler.form import FAINT
from velcodec.sampler.volume.form import (
    DILATIONS,
    HIDDEN,
    ORIENTATIONS,
    RANGES,
    WINDOW,
    VolumeWeights,
    mirrored_taps,
    signs,
)

LEAST_PLANES = 4
"""Fewest planes worth a separate thread."""

_MARGIN = max(DILATIONS)
Range = tuple[int, int]


@dataclass(frozen=True)
class Layers:
    """The weights in all orientations, as the compiled loops take them."""

    lift: Float32
    lift_bias: Float32
    layers: Float32
    layer_bias: Float32
    out: Float32
    out_bias: Float32
    direction: Float32
    shift: Float32
    last: Float32

    @classmethod
    def of(cls, w: VolumeWeights) -> Layers:
        """The layers from one orientation's weights."""
        turns = range(ORIENTATIONS)
        cube = w.lift[:, : WINDOW**3].reshape(-1, WINDOW, WINDOW, WINDOW)
        rest = w.lift[:, WINDOW**3 :]
        lift = [
            np.concatenate([_mirrored(cube, g).reshape(len(cube), -1), rest], axis=1) for g in turns
        ]
        layers = np.stack([_oriented(layer) for layer in w.layers]).transpose(0, 1, 3, 2)
        gate = np.tile(w.gate, ORIENTATIONS)[None]
        direction = (signs()[:, None] * w.direction[None]).reshape(-1, 3).T
        corners = np.array([[c & 1, c >> 1 & 1, c >> 2] for c in range(8)], np.float32)
        made = cls(
            np.concatenate(lift),
            np.tile(w.lift_bias, ORIENTATIONS),
            layers,
            np.tile(w.layer_bias, (1, ORIENTATIONS)),
            np.concatenate([_oriented(w.out[..., None])[..., 0], gate]),
            np.concatenate([np.tile(w.out_bias, ORIENTATIONS), w.gate_bias]),
            direction,
            corners @ direction,
            np.tile(w.last, ORIENTATIONS),
        )
        return cls(*(np.ascontiguousarray(each, np.float32) for each in vars(made).values()))


def _mirrored(kernel: Float32, orientation: int) -> Float32:
    """Kernels [..., z, y, x] in one of the orientations."""
    axes = [kernel.ndim - 1 - axis for axis in range(3) if orientation >> axis & 1]
    return np.flip(kernel, tuple(axes))


def _oriented(base: Float32) -> Float32:
    """Weights between all orientations, (8 out, 8 in, taps), of a base (out, 8, in, taps)."""
    turns, rows = range(ORIENTATIONS), []
    for g in turns:
        turned = base[..., mirrored_taps(g)] if base.shape[-1] > 1 else base
        rows.append(np.concatenate([turned[:, g ^ h] for h in turns], axis=1))
    return np.concatenate(rows)


def features_of(samples: Float64, inner: list[Range], layers: Layers) -> Float32:
    """Biases and gates (n, m, l, 8 HIDDEN + 1) of the samples (nz, ny, nx) in the ranges `inner`
    along z, y and x.
    """
    from velcodec.sampler.volume.kernel import add_crossed, last_rows, lift_rows

    nz, ny, nx = samples.shape
    shape = len(layers.lift_bias), nz, ny, nx + 2 * _MARGIN
    here, there = np.empty(shape, np.float32), np.empty(shape, np.float32)
    left = sum(DILATIONS)
    planes, rows = (_widened(ends, left, size) for ends, size in zip(inner, (nz, ny), strict=False))
    wide, near, ratios = _inputs(samples)
    _in_planes(
        lift_rows, (wide, near, ratios, layers.lift, layers.lift_bias, _MARGIN, here), planes, *rows
    )
    for weight, bias, dilation in zip(layers.layers, layers.layer_bias, DILATIONS, strict=True):
        here[..., :_MARGIN] = here[..., _MARGIN : _MARGIN + 1]
        here[..., nx + _MARGIN :] = here[..., nx + _MARGIN - 1 : nx + _MARGIN]
        left -= dilation
        planes, rows = (
            _widened(ends, left, size) for ends, size in zip(inner, (nz, ny), strict=False)
        )
        _in_planes(add_crossed, (weight, bias, here, _MARGIN, dilation, there), planes, *rows)
        here, there = there, here
    features = np.empty([b - a for a, b in inner] + [ORIENTATIONS * HIDDEN + 1], np.float32)
    _in_planes(
        last_rows, (layers.out, layers.out_bias, here, _MARGIN, features), (0, len(features)),
        *(first for first, _ in inner),
    )  # fmt: skip
    return features


def _widened(ends: Range, by: int, size: int) -> Range:
    return max(ends[0] - by, 0), min(ends[1] + by, size)


def _in_planes(kernel: Any, arguments: tuple[Any, ...], planes: Range, *rest: int) -> None:
    def work(some: slice, _: slice) -> None:
        kernel(*arguments, planes[0] + some.start, planes[0] + some.stop, *rest)

    in_parallel(work, jobs_of(planes[1] - planes[0]))


def jobs_of(planes: int) -> list[tuple[slice, slice]]:
    """Split planes among threads."""
    height = max(LEAST_PLANES, -(-planes // threads()))
    return [(slice(z, min(z + height, planes)), slice(0)) for z in range(0, planes, height)]


def _inputs(samples: Float64) -> tuple[Float64, Float64, Float32]:
    """Samples with two more repeated on all sides, the divisor of their differences, and the last
    two inputs (2, nz, ny, nx), for samples from -1 to 1.
    """
    small, middle, large = (_range(samples, size) for size in RANGES)
    near = middle + 2.0 * FAINT
    ratios = np.stack([middle / (large + 2.0 * FAINT), small / near]).astype(np.float32)
    return np.pad(samples, WINDOW // 2, mode="edge"), near, ratios


def _range(samples: Float64, size: int) -> Float64:
    """Range of the cube of `size` samples a side around each sample."""
    half, ends = size // 2, []
    for pick in (np.maximum, np.minimum):
        extreme = samples
        for axis in range(3):
            pad = [(half, half) if each == axis else (0, 0) for each in range(3)]
            wide = np.moveaxis(np.pad(extreme, pad, mode="edge"), axis, 0)
            found = wide[: samples.shape[axis]].copy()
            for k in range(1, size):
                pick(found, wide[k : k + len(found)], out=found)
            extreme = np.moveaxis(found, 0, axis)
        ends.append(extreme)
    difference: Float64 = ends[0] - ends[1]
    return difference
