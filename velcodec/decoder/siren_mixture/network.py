"""`siren-mixture`: a narrow sine trunk steered by the latent, read out as a mixture of constants.

The latent's linear maps run once per model and yield the trunk's effective weights; the trunk runs
once per point and stays small (docs/decoder.md has the equations). A warp of the domain comes
first: fault steps and a smooth displacement, so that folded and faulted layers are flat to the
trunk.
"""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn

from velcodec.decoder.base import Decoder, as_batched
from velcodec.decoder.siren_mixture import cuda, fit_cpu, fit_derivatives
from velcodec.decoder.sizes import MIXTURE, MixtureConfig

if TYPE_CHECKING:
    from velcodec.decoder.siren_mixture.cpu import FloatMixture

FIRST_JUMPS = 0.8
"""Sum of all jumps before training, in normalised velocity."""

FIRST_RATE = 15.0
"""Steepness of an interface before training, per unit of depth: blurred over five cells."""


class Weights(NamedTuple):
    """The trunk's effective weights for B models, all derived from the latent."""

    fault_plane: Tensor  # (B, F, 3): normal x, normal z, offset
    fault_throw: Tensor  # (B, F, 2): displacement in x, z
    warp: Tensor  # (B, 2, N)
    first: Tensor  # (B, W, 2)
    first_bias: Tensor  # (B, W)
    hidden: list[Tensor]  # each (B, W, W)
    hidden_bias: list[Tensor]  # each (B, W)
    logit: Tensor  # (B, K, W)
    logit_bias: Tensor  # (B, K)
    level: Tensor  # (B, K)
    ramp: Tensor  # (B, W)
    jump: Tensor  # (B, S)
    depth: Tensor  # (B, S): warped depth of each interface
    rate: Tensor  # (B, S): steepness of each interface, per unit of depth


def _uniform(*shape: int, bound: float) -> nn.Parameter:
    return nn.Parameter((torch.rand(*shape) * 2 - 1) * bound)


class SirenMixture(Decoder):
    """Sine trunk with latent-modulated layers, domain warp and mixture-of-constants head."""

    architecture = MIXTURE

    def __init__(self, config: MixtureConfig | None = None) -> None:
        super().__init__()
        c = self.settings = config or MixtureConfig()
        w, k, r, n = c.width, c.components, c.gates, c.warp_features
        self.first = _uniform(w, 2, bound=c.omega_0 / 2)
        self.first_bias = _uniform(w, bound=math.pi)
        bound = math.sqrt(6 / w)
        self.hidden = nn.ParameterList(
            [_uniform(w, w, bound=bound) for _ in range(c.hidden_layers)]
        )
        self.hidden_bias = nn.ParameterList(
            [_uniform(w, bound=0.1) for _ in range(c.hidden_layers)]
        )
        gate = math.sqrt(3 / w)
        self.gate_in = nn.ParameterList(
            [_uniform(r, w, bound=gate) for _ in range(c.hidden_layers)]
        )
        gate = math.sqrt(3 / r)
        self.gate_out = nn.ParameterList(
            [_uniform(w, r, bound=gate) for _ in range(c.hidden_layers)]
        )
        # The second half are reliefs: folds of layers vary along x, up to 4 cycles over the tile.
        first, relief = torch.tensor([[5.0, 5.0], [13.0, 1.0]])
        self.warp_first = _uniform(n, 2, bound=1.0)
        with torch.no_grad():
            self.warp_first[: n // 2] *= first
            self.warp_first[n // 2 :] *= relief
        self.warp_bias = _uniform(n, bound=math.pi)
        plane = torch.tensor([[8.0, 3.0, 0.0], [8.0, -3.0, 0.0]]).repeat((c.faults + 1) // 2, 1)
        self.fault_plane = nn.Parameter(plane[: c.faults].clone())
        self.logit = _uniform(k, w, bound=3 * bound)
        self.logit_bias = nn.Parameter(torch.zeros(k))
        self.level = nn.Parameter(torch.linspace(-1, 1, k))
        self.ramp = _uniform(w, bound=0.05)
        if c.strata:
            self.jump = nn.Parameter(torch.full((c.strata,), FIRST_JUMPS / c.strata))
            self.depth = nn.Parameter(torch.linspace(-0.9, 0.9, c.strata))
            self.log_rate = nn.Parameter(torch.full((c.strata,), math.log(FIRST_RATE)))
        self.part_sizes = c.part_sizes
        self.modulation = nn.Parameter(self._initial_modulation())
        self._compiled: tuple[object, FloatMixture] | None = None

    @property
    def config(self) -> dict[str, Any]:
        return {"architecture": self.architecture, **asdict(self.settings)}

    def _initial_modulation(self) -> Tensor:
        gain = {"fault_plane": 0.5, "fault_throw": 0.02, "warp": 0.02, "first": 0.1}
        gain |= {"first_bias": 0.5, "hidden_bias": 0.5, "gate": 0.5}
        rows = [
            torch.randn(size, self.latent_size) * gain.get(part, 0.2)
            for part, size in self.part_sizes.items()
        ]
        return torch.cat(rows) / math.sqrt(self.latent_size)

    def weights(self, latent: Tensor) -> Weights:
        """Effective weights of each model, from latents (B, latent_size)."""
        c = self.settings
        batch = latent.shape[0]
        split = (latent @ self.modulation.T).split(list(self.part_sizes.values()), dim=1)
        m = dict(zip(self.part_sizes, split, strict=True))
        gates = m["gate"].chunk(c.hidden_layers, dim=1)
        shifts = m["hidden_bias"].chunk(c.hidden_layers, dim=1)
        hidden = [
            w + (out * g[:, None, :]) @ into
            for w, out, into, g in zip(self.hidden, self.gate_out, self.gate_in, gates, strict=True)
        ]
        return Weights(
            self.fault_plane + m["fault_plane"].view(batch, c.faults, 3),
            m["fault_throw"].view(batch, c.faults, 2),
            m["warp"].view(batch, 2, c.warp_features),
            self.first + m["first"].view(batch, c.width, 2),
            self.first_bias + m["first_bias"],
            hidden,
            [b + s for b, s in zip(self.hidden_bias, shifts, strict=True)],
            self.logit + m["logit"].view(batch, c.components, c.width),
            self.logit_bias + m["logit_bias"],
            self.level + m["level"],
            self.ramp + m["ramp"],
            *self._strata(m),
        )

    def _strata(self, m: dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Jump, depth and rate of the interfaces, each (B, S), from their modulations."""
        if not self.settings.strata:
            return m["jump"], m["depth"], m["log_rate"]
        rate = torch.exp(self.log_rate + m["log_rate"])
        return self.jump + m["jump"], self.depth + m["depth"], rate

    def forward(self, points: Tensor, latent: Tensor) -> Tensor:
        return self.render(as_batched(points, latent.shape[0]), self.weights(latent))

    def render(self, points: Tensor, w: Weights) -> Tensor:
        """Values (B, P) at points (B, P, 2) for effective weights of B models."""
        if self.settings.faults:
            side = torch.tanh(points @ w.fault_plane[..., :2].mT + w.fault_plane[..., None, :, 2])
            points = points + side @ w.fault_throw
        if self.settings.warp_features:
            feature = torch.sin(points @ self.warp_first.T + self.warp_bias)
            points = points + feature @ w.warp.mT
        h = torch.sin(points @ w.first.mT + w.first_bias[:, None])
        for weight, bias in zip(w.hidden, w.hidden_bias, strict=True):
            h = torch.sin(torch.baddbmm(bias[:, None], h, weight.mT))
        share = torch.softmax(torch.baddbmm(w.logit_bias[:, None], h, w.logit.mT), dim=-1)
        value = (share @ w.level[..., None] + h @ w.ramp[..., None])[..., 0]
        if self.settings.strata:
            below = torch.tanh((points[..., 1:] - w.depth[:, None]) * w.rate[:, None])
            value = value + (below @ w.jump[..., None])[..., 0]
        return value

    def compiled(self) -> FloatMixture | None:
        """The frozen network in compiled loops; None off the CPU, in float64 and in training."""
        from velcodec.decoder.siren_mixture.frozen import freeze

        own = list(self.parameters())
        like = self.modulation
        if like.device.type != "cpu" or like.dtype != torch.float32:
            return None
        if any(each.requires_grad for each in own):
            return None
        state = [(each.data_ptr(), each._version) for each in own]
        if self._compiled is None or self._compiled[0] != state:
            self._compiled = state, freeze(self).floating
        return self._compiled[1]

    @torch.no_grad()
    def values(self, points: Tensor, latent: Tensor) -> Tensor:
        if cuda.serves(self, latent):
            return cuda.launch(self, latent, points)
        if not fit_cpu.serves(latent):
            return self(points, latent)
        at, w = fit_cpu.in_channels(points), self.weights(latent)
        return fit_cpu.forward(self, at, w, keep=False).value

    @torch.no_grad()
    def error_and_gradient(
        self, points: Tensor, latent: Tensor, target: Tensor
    ) -> tuple[Tensor, Tensor]:
        w, count = self.weights(latent), target.shape[1]
        if fit_cpu.serves(latent):
            f = fit_cpu.forward(self, fit_cpu.in_channels(points), w, keep=True)
            residual = f.value - target
            r = fit_cpu.reverse(self, f, w, residual / count)
            slope = fit_cpu.summed(self, f, r, w)
        else:
            g = fit_derivatives.forward(self, as_batched(points, len(latent)), w)
            residual = g.values - target
            a = fit_derivatives.reverse(self, g, w, residual[..., None] / count)
            slope = fit_derivatives.summed(self, g, a)
        return residual.square().mean(1), slope @ self.modulation

    @torch.no_grad()
    def jacobian(
        self, points: Tensor, latent: Tensor, leading: int | None = None, rough: bool = False
    ) -> tuple[Tensor, Tensor]:
        w, of_latent = self.weights(latent), self.modulation[:, :leading]
        if fit_cpu.serves(latent):
            f = fit_cpu.forward(self, fit_cpu.in_channels(points), w, keep=True)
            r = fit_cpu.reverse(self, f, w, torch.ones_like(f.value))
            dtype = torch.bfloat16 if rough and fit_cpu.quick_bfloat16() else torch.float32
            slope = fit_cpu.by_point(self, f, r, w, dtype)
            return f.value, (of_latent.T.to(dtype) @ slope).float().mT
        g = fit_derivatives.forward(self, as_batched(points, len(latent)), w)
        slope = fit_derivatives.by_point(self, g, fit_derivatives.reverse(self, g, w))
        return g.values, slope @ of_latent

    @torch.no_grad()
    def reparametrise_(self, basis: Tensor) -> None:
        self.modulation.copy_((self.modulation.double() @ basis.double()).to(self.modulation))
        self._curvature = None
