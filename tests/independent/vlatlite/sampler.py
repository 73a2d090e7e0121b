"""Samples on other grids than their own (docs/format-sampler.md)."""

import numpy as np

from .container import check

SHAPES = {
    "lift": (8, 27), "lift_bias": (8,), "convs": (6, 8, 4, 8, 3, 3), "conv_bias": (6, 8),
    "out": (8, 4, 8), "out_bias": (8,), "gate": (8,), "gate_bias": (1,), "direction": (8, 2),
    "last": (8,),
}  # fmt: skip
TURNS = range(4)


def turned(kernel, g):
    kernel = kernel[..., ::-1] if g % 2 else kernel
    return kernel[..., ::-1, :] if g >= 2 else kernel


def between(base):
    """Weights (32, 32, z, x) from all orientations to all, from (8, turn, 8, z, x)."""
    return np.block([[[[turned(base[:, g ^ k], g)]] for k in TURNS] for g in TURNS])


def around(image, reach):
    """The image (..., nz, nx) with a border of `reach` samples."""
    return np.pad(image, [(0, 0)] * (image.ndim - 2) + [(reach, reach)] * 2, mode="edge")


def shifts(image, side, dilation=1):
    """`side` x `side` images: sample (z, x) of each is a neighbour of (z, x) of the given one."""
    nz, nx = image.shape[-2:]
    wide = around(image, side // 2 * dilation)
    steps = [step * dilation for step in range(side)]
    return [[wide[..., j : j + nz, i : i + nx] for i in steps] for j in steps]


def inputs(t):
    r3, r5, r13 = (np.ptp(np.array(shifts(t, n)), axis=(0, 1)) for n in (3, 5, 13))
    near, far = r5 + 2**-11, r13 + 2**-11
    differences = [2 * (s - t) / near for row in shifts(t, 5) for s in row]
    return np.stack([*differences, r5 / far, r3 / near])


def spline(values):
    """Coefficients (n + 4, ...) along the first axis, two more on either side."""
    n = len(values)
    if n == 1:
        return np.repeat(values, 5, axis=0)
    if n == 2:
        return values[0] + np.arange(-2, 4)[:, None] * (values[1] - values[0])
    matrix = np.eye(n)
    for i in range(1, n - 1):
        matrix[i, i - 1 : i + 2] = 1 / 6, 4 / 6, 1 / 6
    c = np.linalg.solve(matrix, values)
    return np.concatenate([2 * c[0] - c[2:0:-1], c, 2 * c[-1] - c[-2:-4:-1]])


def spline_weights(f):
    def inner(g):
        return (4 - 6 * g**2 + 3 * g**3) / 6

    return (1 - f) ** 3 / 6, inner(f), inner(1 - f), f**3 / 6


class Sampler:
    """Sampler 1, from the tensors of its file."""

    def __init__(self, tensors):
        for name, shape in SHAPES.items():
            check(tensors[name].shape == shape and tensors[name].dtype == "<f4", name)
        w = {name: tensors[name].astype(np.float64) for name in SHAPES}
        square = w["lift"][:, :25].reshape(8, 5, 5)
        self.lift = np.concatenate(
            [np.column_stack([turned(square, g).reshape(8, 25), w["lift"][:, 25:]]) for g in TURNS]
        )
        self.convs = [between(layer) for layer in w["convs"]]
        self.out = between(w["out"][..., None, None])[..., 0, 0]
        self.gate, self.last = np.tile(w["gate"], 4), np.tile(w["last"], 4)
        signs = np.array([[-1 if g % 2 else 1, -1 if g >= 2 else 1] for g in TURNS])
        self.direction = (signs[:, None] * w["direction"]).reshape(32, 2)
        self.bias = {name: np.tile(w[name], 4) for name in ("lift_bias", "conv_bias", "out_bias")}
        self.gate_bias = w["gate_bias"][0]

    def features(self, t):
        """Biases (32, nz, nx) and gate logits (nz, nx)."""
        y = np.tensordot(self.lift, inputs(t), 1) + self.bias["lift_bias"][:, None, None]
        y = np.maximum(y, 0)
        layers = zip(self.convs, self.bias["conv_bias"], (1, 2, 4, 8, 3, 1), strict=True)
        for weights, bias, dilation in layers:
            near = shifts(y, 3, dilation)
            total = bias[:, None, None] + sum(
                np.tensordot(weights[..., j, i], near[j][i], 1) for j in range(3) for i in range(3)
            )
            y = y + np.maximum(total, 0)
        biases = np.tensordot(self.out, y, 1) + self.bias["out_bias"][:, None, None]
        return biases, np.tensordot(self.gate, y, 1) + self.gate_bias

    def render(self, samples, grid):
        """Values (N_z, N_x) in the samples' units."""
        s = samples.astype(np.float64)
        least, greatest = s.min(), s.max()
        if least == greatest:
            return np.full(grid, least)
        half = (greatest - least) / 2
        biases, gates = self.features((s - (least + half)) / half)
        places = [(np.arange(N) + 0.5) * n / N - 0.5 for n, N in zip(s.shape, grid, strict=True)]
        iz, ix = (np.floor(place).astype(int) for place in places)
        fz, fx = places[0][:, None] - iz[:, None], places[1] - ix
        corners = []
        for q, p in ((0, 0), (0, 1), (1, 0), (1, 1)):
            at = np.ix_(np.clip(iz + q, 0, len(s) - 1), np.clip(ix + p, 0, s.shape[1] - 1))
            moved = [d[:, None, None] for d in self.direction.T]
            hidden = biases[:, at[0], at[1]] + moved[0] * (fx - p) + moved[1] * (fz - q)
            weight = (fx if p else 1 - fx) * (fz if q else 1 - fz)
            logit = 4 * np.tensordot(self.last, np.maximum(hidden, 0), 1)
            corners.append((weight, logit, s[at], gates[at]))
        w, logit, value, gate = (np.array(each) for each in zip(*corners, strict=True))
        e = w * np.exp(np.maximum(logit - logit.max(axis=0), -12))
        gate = np.maximum(1.02 / (1 + np.exp(-2 * (w * gate).sum(axis=0))) - 0.02, 0)
        c = spline(spline(s).T).T
        cubic = sum(
            bz * bx * c[np.ix_(iz + 1 + k, ix + 1 + m)]
            for k, bz in enumerate(spline_weights(fz))
            for m, bx in enumerate(spline_weights(fx))
        )
        mix = (e * value).sum(axis=0) / e.sum(axis=0)
        return np.clip(mix + gate * (cubic - (w * value).sum(axis=0)), least, greatest)
