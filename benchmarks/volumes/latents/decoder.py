"""A `siren-mixture` of (x, y, z), and the encoder that guesses its latents."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from velcodec.decoder.base import Decoder

GRID = 20
"""Samples along each axis of a brick that the encoder reads."""


class VolumeMixture(Decoder):
    """`siren-mixture` of points (x, y, z) of a brick in [-1, 1]^3, z down.

    As in two dimensions (docs/decoder.md), but the first `reliefs` warp features are functions of
    (x, y), and every stratum has a relief of its own, a sum of these.
    """

    architecture = "siren-mixture-3d"
    width, layers, gates, components = 64, 2, 64, 16
    faults, features, reliefs, strata = 3, 96, 64, 10
    omega_0 = 20.0

    def __init__(self) -> None:
        super().__init__()
        w, n, k, r, s = self.width, self.features, self.components, self.gates, self.strata

        def uniform(*shape: int, bound: float) -> nn.Parameter:
            return nn.Parameter((torch.rand(*shape) * 2 - 1) * bound)

        bound = math.sqrt(6 / w)
        turn = torch.arange(self.faults) * (math.pi / self.faults)
        side = [turn.cos() * 6.0, turn.sin() * 6.0, torch.full_like(turn, 3.0), turn * 0.0]
        self.plane = nn.Parameter(torch.stack(side, dim=1))
        self.warp_first = uniform(n, 3, bound=6.0)
        with torch.no_grad():
            self.warp_first[: self.reliefs, 2] = 0.0
        self.warp_bias = uniform(n, bound=math.pi)
        self.first = uniform(w, 3, bound=self.omega_0 / 2)
        self.first_bias = uniform(w, bound=math.pi)
        self.hidden = nn.ParameterList([uniform(w, w, bound=bound) for _ in range(self.layers)])
        self.hidden_bias = nn.ParameterList([uniform(w, bound=0.1) for _ in range(self.layers)])
        gate = math.sqrt(3 / w)
        self.gate_in = nn.ParameterList([uniform(r, w, bound=gate) for _ in range(self.layers)])
        self.gate_out = nn.ParameterList([uniform(w, r, bound=gate) for _ in range(self.layers)])
        self.logit = uniform(k, w, bound=3 * bound)
        self.logit_bias = nn.Parameter(torch.zeros(k))
        self.level = nn.Parameter(torch.linspace(-1, 1, k))
        self.ramp = uniform(w, bound=0.05)
        self.jump = nn.Parameter(torch.full((s,), 0.8 / s))
        self.depth = nn.Parameter(torch.linspace(-0.9, 0.9, s))
        self.log_rate = nn.Parameter(torch.full((s,), math.log(10.0)))
        self.parts = {
            "plane": 4 * self.faults, "throw": 3 * self.faults, "warp": 3 * n, "first": 3 * w,
            "first_bias": w, "hidden_bias": self.layers * w, "gate": self.layers * r,
            "logit": k * w, "logit_bias": k, "level": k, "ramp": w,
            "jump": s, "depth": s, "log_rate": s, "relief": s * self.reliefs,
        }  # fmt: skip
        gain = {"plane": 0.5, "throw": 0.05, "warp": 0.02, "first": 0.1, "relief": 0.03}
        gain |= {"first_bias": 0.5, "hidden_bias": 0.5, "gate": 0.5}
        rows = [torch.randn(n, self.latent_size) * gain.get(p, 0.2) for p, n in self.parts.items()]
        self.modulation = nn.Parameter(torch.cat(rows) / math.sqrt(self.latent_size))

    @property
    def config(self) -> dict[str, Any]:
        return {"architecture": self.architecture}

    def forward(self, points: Tensor, latent: Tensor) -> Tensor:
        return self.render(points.expand(len(latent), -1, -1), latent @ self.modulation.T)

    def render(self, points: Tensor, modulation: Tensor, dense: bool = True) -> Tensor:
        """Values (B, P) at points (B, P, 3) for modulations (B, M); `dense` makes each brick's
        matrices first, which few points do not pay for.
        """
        size, w = len(modulation), self.width
        split = modulation.split(list(self.parts.values()), dim=1)
        m = dict(zip(self.parts, split, strict=True))
        plane = self.plane + m["plane"].view(size, self.faults, 4)
        side = torch.tanh(points @ plane[..., :3].mT + plane[..., None, :, 3])
        points = points + side @ m["throw"].view(size, self.faults, 3)
        feature = torch.sin(points @ self.warp_first.T + self.warp_bias)
        points = points + feature @ m["warp"].view(size, self.features, 3)
        first = self.first + m["first"].view(size, w, 3)
        h = torch.sin(points @ first.mT + (self.first_bias + m["first_bias"])[:, None])
        for i, (gate, shift) in enumerate(
            zip(
                m["gate"].chunk(self.layers, 1), m["hidden_bias"].chunk(self.layers, 1), strict=True
            )
        ):
            into, out = self.gate_in[i], self.gate_out[i]
            bias = (self.hidden_bias[i] + shift)[:, None]
            if dense:
                weight = self.hidden[i] + (out * gate[:, None]) @ into
                h = torch.sin(torch.baddbmm(bias, h, weight.mT))
            else:
                h = torch.sin(h @ self.hidden[i].T + (h @ into.T * gate[:, None]) @ out.T + bias)
        logit = self.logit + m["logit"].view(size, self.components, w)
        share = torch.softmax(h @ logit.mT + (self.logit_bias + m["logit_bias"])[:, None], dim=-1)
        level, ramp = (self.level + m["level"])[..., None], (self.ramp + m["ramp"])[..., None]
        relief = m["relief"].view(size, self.reliefs, self.strata)
        below = points[..., 2:] - (self.depth + m["depth"])[:, None]
        below = below - feature[..., : self.reliefs] @ relief
        below = torch.tanh(below * (self.log_rate + m["log_rate"]).exp()[:, None])
        return (share @ level + h @ ramp + below @ (self.jump + m["jump"])[..., None])[..., 0]

    @torch.no_grad()
    def jacobian(
        self, points: Tensor, latent: Tensor, leading: int | None = None, rough: bool = False
    ) -> tuple[Tensor, Tensor]:
        def one(point: Tensor, modulation: Tensor) -> Tensor:
            return self.render(point[None, None], modulation[None], dense=False)[0, 0]

        slopes = torch.func.vmap(torch.func.grad_and_value(one, argnums=1), (0, None))
        of_latent = self.modulation[:, :leading].bfloat16()
        values, out = [], []
        for modulation in latent @ self.modulation.T:
            slope, value = slopes(points, modulation)
            values.append(value)
            out.append((slope.bfloat16() @ of_latent).float())
        return torch.stack(values), torch.stack(out)

    @torch.no_grad()
    def mean_curvature(self) -> Tensor:
        if self._curvature is None:
            random = torch.Generator().manual_seed(0)
            latent = torch.randn(8, self.latent_size, generator=random) * self.deviations
            points = 2 * torch.rand(256, 3, generator=random) - 1
            self._curvature = self.jacobian(points, latent)[1].square().mean((0, 1))
        return self._curvature

    @torch.no_grad()
    def reparametrise_(self, basis: Tensor) -> None:
        self.modulation.copy_((self.modulation.double() @ basis.double()).float())
        self._curvature = None


class VolumeEncoder(nn.Module):
    """Normalised bricks (B, GRID, GRID, GRID) to latents (B, 256)."""

    def __init__(self, channels: int = 16) -> None:
        super().__init__()
        c = channels
        side = (GRID + 7) // 8
        self.trunk = nn.Sequential(
            nn.Conv3d(1, c, 5, 2, 2), nn.GELU(),
            nn.Conv3d(c, 3 * c, 3, 2, 1), nn.GroupNorm(4, 3 * c), nn.GELU(),
            nn.Conv3d(3 * c, 8 * c, 3, 2, 1), nn.GroupNorm(4, 8 * c), nn.GELU(), nn.Flatten(),
            nn.Linear(8 * c * side**3, 512), nn.GELU(), nn.Linear(512, Decoder.latent_size),
        )  # fmt: skip

    def forward(self, bricks: Tensor) -> Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            guess: Tensor = self.trunk(bricks[:, None])
        return guess.float()
