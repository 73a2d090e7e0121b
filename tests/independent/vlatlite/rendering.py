"""Latents to velocities: tiles, and both decoders (docs/format.md)."""

import json

import numpy as np

from .container import check

PARTS = (
    "fault_plane", "fault_throw", "warp", "first", "first_bias", "hidden_bias", "gate", "logit",
    "logit_bias", "level", "ramp", "jump", "depth", "log_rate",
)  # fmt: skip


class Axis:
    """n samples under t tiles of T samples."""

    def __init__(self, n, t, T):
        check((t == 1 and n == T) or (t >= 2 and 1 <= T < n and t * T >= n >= t), "tiling")
        k = np.arange(t)
        self.n, self.T = n, T
        self.o = (2 * k * (n - T) + t - 1) // (2 * (t - 1)) if t > 1 else np.zeros(1, int)
        cuts = (self.o[1:] + self.o[:-1] + T) / 2
        ramp = float(np.min(self.o[:-1] + T - self.o[1:], initial=n))
        ramp = max(float(np.min(np.diff(cuts), initial=ramp)), 1e-6)
        self.starts, self.ramp = cuts - ramp / 2, ramp

    def cells(self, count):
        return (np.arange(count) + 0.5) * self.n / count

    def local(self, cells):
        return 2 * (cells - self.o[:, None]) / self.T - 1

    def weights(self, cells):
        a = np.clip((cells - self.starts[:, None]) / self.ramp, 0, 1)
        rise = a * a * (3 - 2 * a)
        ones, zeros = np.ones((1, len(cells))), np.zeros((1, len(cells)))
        return np.concatenate([ones, rise]) - np.concatenate([rise, zeros])


def shape_of(name, c):
    w, k, f, s = c["width"], c["components"], c["faults"], c.get("strata", 0)
    return {
        "fault_plane": (f, 3), "fault_throw": (f, 2), "warp": (2, c["warp_features"]),
        "first": (w, 2), "first_bias": (w,), "hidden_bias": (c["hidden_layers"], w),
        "gate": (c["hidden_layers"], c["gates"]), "logit": (k, w), "logit_bias": (k,),
        "level": (k,), "ramp": (w,), "jump": (s,), "depth": (s,), "log_rate": (s,),
    }[name]  # fmt: skip


def split(m, c):
    parts, at = {}, 0
    for name in PARTS:
        shape = shape_of(name, c)
        size = int(np.prod(shape))
        parts[name], at = m[at : at + size].reshape(shape), at + size
    return parts


class Decoder:
    """A decoder file: tensors, and `value` at points (P, 2) of a tile."""

    def __init__(self, tensors, metadata):
        self.tensors, self.metadata = tensors, metadata
        self.config = json.loads(metadata["config"])
        self.name = self.config["architecture"]
        check(self.name in ("siren-concat", "siren-mixture"), f"unknown decoder {self.name}")

    def value(self, points, coefficients, index):
        t, c = self.tensors, self.config
        latent = (t["latent.steps"][index] * coefficients.astype(np.float32)).astype(np.float64)
        if self.name == "siren-concat":
            relu = c.get("activation") == "relu"
            h = np.concatenate([points, np.broadcast_to(latent, (len(points), len(latent)))], 1)
            for layer in ("first", *(f"hidden.{i}" for i in range(c["hidden_layers"]))):
                h = h @ t[f"{layer}.weight"].T.astype(float) + t[f"{layer}.bias"]
                h = np.maximum(h, 0) if relu else np.sin(c["omega_0"] * h)
            return (h @ t["output.weight"].T.astype(float) + t["output.bias"])[:, 0]
        m = split(t["modulation"].astype(np.float64) @ latent, c)
        e = {name: t[name] + m[name] if name in t else m[name] for name in PARTS}
        p = points
        if c["faults"]:
            side = np.tanh(p @ e["fault_plane"][:, :2].T + e["fault_plane"][:, 2])
            p = p + side @ e["fault_throw"]
        p = p + np.sin(p @ t["warp_first"].T.astype(float) + t["warp_bias"]) @ e["warp"].T
        h = np.sin(p @ e["first"].T + e["first_bias"])
        for i in range(c["hidden_layers"]):
            driven = (t[f"gate_out.{i}"] * m["gate"][i]) @ t[f"gate_in.{i}"].astype(float)
            h = np.sin(
                h @ (t[f"hidden.{i}"] + driven).T + t[f"hidden_bias.{i}"] + m["hidden_bias"][i]
            )
        share = h @ e["logit"].T + e["logit_bias"]
        share = np.exp(share - share.max(axis=1, keepdims=True))
        f = share @ e["level"] / share.sum(axis=1) + h @ e["ramp"]
        if c.get("strata"):
            f = f + np.tanh(np.exp(e["log_rate"]) * (p[:, 1:] - e["depth"])) @ e["jump"]
        return f

    def render(self, tiles, tiling, shape, grid):
        """(N_z, N_x) float64 m/s, over a model of `shape`."""
        z, x = (Axis(n, t, T) for n, t, T in zip(shape, tiling[:2], tiling[2:], strict=True))
        cz, cx = (axis.cells(n) for axis, n in zip((z, x), grid, strict=True))
        out = np.zeros(grid)
        places = [(kz, kx) for kz in range(tiling[0]) for kx in range(tiling[1])]
        for (kz, kx), (coefficients, index, low, high) in zip(places, tiles, strict=True):
            weight = z.weights(cz)[kz][:, None] * x.weights(cx)[kx]
            value = np.full(grid, low)
            if low < high:
                gx, gz = np.meshgrid(x.local(cx)[kx], z.local(cz)[kz])
                points = np.stack([gx.ravel(), gz.ravel()], axis=1)
                f = np.clip(np.nan_to_num(self.value(points, coefficients, index)), -1, 1)
                value = np.clip(low + (f.reshape(grid) + 1) / 2 * (high - low), low, high)
            out += weight * value
        return np.clip(out, min(t[2] for t in tiles), max(t[3] for t in tiles))
