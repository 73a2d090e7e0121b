"""`siren-concat`: the paper's decoder, points and latent concatenated (sections 3.2.1-3.2.3)."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from .base import Decoder, as_batched


@dataclass(frozen=True)
class ConcatConfig:
    """Hyper-parameters of `SirenConcat`; the defaults are the paper's (1,183,745 parameters)."""

    width: int = 512
    hidden_layers: int = 4
    omega_0: float = 30.0


class SirenConcat(Decoder):
    """258 -> 512 sine layer, four 512-wide sine layers, linear output.

    Initialisation (section 3.2.2, after Sitzmann et al. 2020): first layer U(-1/n, 1/n); hidden
    layers and output U(-sqrt(6/n)/omega_0, sqrt(6/n)/omega_0), n being the layer's inputs.
    """

    architecture = "siren-concat"

    def __init__(self, config: ConcatConfig | None = None) -> None:
        super().__init__()
        c = self.settings = config or ConcatConfig()
        inputs = 2 + self.latent_size
        self.first = nn.Linear(inputs, c.width)
        self.hidden = nn.ModuleList(nn.Linear(c.width, c.width) for _ in range(c.hidden_layers))
        self.output = nn.Linear(c.width, 1)
        bound = math.sqrt(6 / c.width) / c.omega_0
        with torch.no_grad():
            self.first.weight.uniform_(-1 / inputs, 1 / inputs)
            for layer in (*self.hidden, self.output):
                assert isinstance(layer, nn.Linear)
                layer.weight.uniform_(-bound, bound)

    @property
    def config(self) -> dict[str, Any]:
        return {"architecture": self.architecture, **asdict(self.settings)}

    def _pre_activations(self, points: Tensor, latent: Tensor) -> list[Tensor]:
        """Sine arguments of every layer, each (B, P, width)."""
        omega = self.settings.omega_0
        points = as_batched(points, latent.shape[0])
        of_latent = latent @ self.first.weight[:, 2:].T + self.first.bias
        pre = [omega * (points @ self.first.weight[:, :2].T + of_latent[:, None])]
        for layer in self.hidden:
            pre.append(omega * layer(torch.sin(pre[-1])))
        return pre

    def forward(self, points: Tensor, latent: Tensor) -> Tensor:
        last = torch.sin(self._pre_activations(points, latent)[-1])
        return self.output(last)[..., 0]

    @torch.no_grad()
    def jacobian(self, points: Tensor, latent: Tensor) -> tuple[Tensor, Tensor]:
        omega = self.settings.omega_0
        pre = self._pre_activations(points, latent)
        values = self.output(torch.sin(pre[-1]))[..., 0]
        d = self.output.weight[0] * torch.cos(pre[-1])
        for layer, before in zip(reversed(list(self.hidden)), reversed(pre[:-1]), strict=True):
            assert isinstance(layer, nn.Linear)
            d = omega * (d @ layer.weight) * torch.cos(before)
        return values, omega * (d @ self.first.weight[:, 2:])

    @torch.no_grad()
    def reparametrise_(self, basis: Tensor) -> None:
        of_latent = self.first.weight[:, 2:].double() @ basis.double()
        self.first.weight[:, 2:] = of_latent.to(self.first.weight)
