"""Samples of volumes on other grids than their own (docs/format-sampler.md, "Volumes")."""

from itertools import product

import numpy as np

from .container import check
from .sampler import spline, spline_weights

SHAPES = {
    "lift": (4, 127), "lift_bias": (4,), "layers": (4, 4, 8, 4, 7), "layer_bias": (4, 4),
    "out": (4, 8, 4), "out_bias": (4,), "gate": (4,), "gate_bias": (1,), "direction": (4, 3),
    "last": (4,),
}  # fmt: skip
TURNS = range(8)
AXIS = {1: 2, 2: 2, 3: 1, 4: 1, 5: 0, 6: 0}


def turned(cube, g):
    """Kernels (..., z, y, x): bit 0 mirrors x, bit 1 y, bit 2 z."""
    for bit in range(3):
        cube = np.flip(cube, -1 - bit) if g >> bit & 1 else cube
    return cube


def turned_taps(weights, g):
    order = [0]
    for bit in range(3):
        pair = [1 + 2 * bit, 2 + 2 * bit]
        order += pair[::-1] if g >> bit & 1 else pair
    return weights[..., order]


def moved(image, axis, by):
    """Sample i along an axis of the last three is sample i + by of `image`, edges repeated."""
    axis += image.ndim - 3
    at = np.clip(np.arange(image.shape[axis]) + by, 0, image.shape[axis] - 1)
    return image.take(at, axis)


def cube_shifts(t, side):
    reach = range(-(side // 2), side // 2 + 1)
    for k, j, i in product(reach, reach, reach):
        yield moved(moved(moved(t, 0, k), 1, j), 2, i)


def inputs(t):
    r3, r5, r9 = (np.ptp(np.array(list(cube_shifts(t, n))), axis=0) for n in (3, 5, 9))
    near, far = r5 + 2**-11, r9 + 2**-11
    differences = [2 * (s - t) / near for s in cube_shifts(t, 5)]
    return np.stack([*differences, r5 / far, r3 / near])


class VolumeSampler:
    """Sampler 1 of volumes, from the tensors of its file."""

    def __init__(self, tensors):
        for name, shape in SHAPES.items():
            check(tensors[name].shape == shape and tensors[name].dtype == "<f4", name)
        w = {name: tensors[name].astype(np.float64) for name in SHAPES}
        cube = w["lift"][:, :125].reshape(4, 5, 5, 5)
        self.lift = np.concatenate(
            [np.column_stack([turned(cube, g).reshape(4, 125), w["lift"][:, 125:]]) for g in TURNS]
        )
        self.layers = []
        for layer in w["layers"]:
            rows = [
                [turned_taps(layer[:, g ^ k], g).transpose(2, 0, 1) for k in TURNS] for g in TURNS
            ]
            self.layers.append(np.block(rows))
        self.out = np.block([[w["out"][:, g ^ k] for k in TURNS] for g in TURNS])
        self.gate, self.last = np.tile(w["gate"], 8), np.tile(w["last"], 8)
        signs = np.array([[-1 if g >> bit & 1 else 1 for bit in range(3)] for g in TURNS])
        self.direction = (signs[:, None] * w["direction"]).reshape(32, 3)
        self.bias = {name: np.tile(w[name], 8) for name in ("lift_bias", "layer_bias", "out_bias")}
        self.gate_bias = w["gate_bias"][0]

    def features(self, t):
        """Biases (32, nz, ny, nx) and gate logits (nz, ny, nx)."""
        y = np.tensordot(self.lift, inputs(t), 1) + self.bias["lift_bias"][:, None, None, None]
        y = np.maximum(y, 0)
        for weights, bias, d in zip(
            self.layers, self.bias["layer_bias"], (1, 2, 4, 1), strict=True
        ):
            total = bias[:, None, None, None] + np.tensordot(weights[0], y, 1)
            for tap, axis in AXIS.items():
                total += np.tensordot(weights[tap], moved(y, axis, d if tap % 2 == 0 else -d), 1)
            y = y + np.maximum(total, 0)
        biases = np.tensordot(self.out, y, 1) + self.bias["out_bias"][:, None, None, None]
        return biases, np.tensordot(self.gate, y, 1) + self.gate_bias

    def render(self, samples, grid, ends=None):
        """Values (N_z, N_y, N_x) in the samples' units; `ends` are those of the range."""
        s = samples.astype(np.float64)
        least, greatest = ends or (s.min(), s.max())
        if least == greatest:
            return np.full(grid, least)
        half = (greatest - least) / 2
        biases, gates = self.features((s - (least + half)) / half)
        places = [(np.arange(N) + 0.5) * n / N - 0.5 for n, N in zip(s.shape, grid, strict=True)]
        iz, iy, ix = (np.floor(place).astype(int) for place in places)
        fz, fy, fx = (
            (place - np.floor(place)).reshape([-1 if k == axis else 1 for k in range(3)])
            for axis, place in enumerate(places)
        )
        corners = []
        for r, q, p in product((0, 1), repeat=3):
            at = np.ix_(
                *(
                    np.clip(i + far, 0, n - 1)
                    for i, far, n in zip((iz, iy, ix), (r, q, p), s.shape, strict=True)
                )
            )
            dx, dy, dz = (d[:, None, None, None] for d in self.direction.T)
            hidden = biases[:, at[0], at[1], at[2]] + dx * (fx - p) + dy * (fy - q) + dz * (fz - r)
            weight = (fx if p else 1 - fx) * (fy if q else 1 - fy) * (fz if r else 1 - fz)
            logit = 4 * np.tensordot(self.last, np.maximum(hidden, 0), 1)
            corners.append((weight, logit, s[at], gates[at]))
        w, logit, value, gate = (np.array(each) for each in zip(*corners, strict=True))
        e = w * np.exp(np.maximum(logit - logit.max(axis=0), -12))
        gate = np.maximum(1.02 / (1 + np.exp(-2 * (w * gate).sum(axis=0))) - 0.02, 0)
        c = s
        for axis in range(3):
            flat = np.moveaxis(c, axis, 0)
            found = spline(flat.reshape(len(flat), -1))
            c = np.moveaxis(found.reshape(-1, *flat.shape[1:]), 0, axis)
        cubic = sum(
            bz * by * bx * c[np.ix_(iz + 1 + k, iy + 1 + j, ix + 1 + i)]
            for k, bz in enumerate(spline_weights(fz))
            for j, by in enumerate(spline_weights(fy))
            for i, bx in enumerate(spline_weights(fx))
        )
        mix = (e * value).sum(axis=0) / e.sum(axis=0)
        return np.clip(mix + gate * (cubic - (w * value).sum(axis=0)), least, greatest)
