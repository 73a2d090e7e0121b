"""`siren-concat`: the paper's decoder, points and latent concatenated (sections 3.2.1-3.2.3)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from velcodec.decoder.base import Decoder, as_batched

ACTIVATIONS = ("sine", "relu")


def _step(argument: Tensor) -> Tensor:
    """The derivative of ReLU."""
    return (argument > 0).to(argument)


@dataclass(frozen=True)
class ConcatConfig:
    """Hyper-parameters of `SirenConcat`; the defaults are the paper's (1,183,745 parameters).

    `activation` is sine, or relu for the plain MLP that the paper names as the alternative
    (section 1), of the same cost; `omega_0` then has no meaning. Raises ValueError for another.
    """

    width: int = 512
    hidden_layers: int = 4
    omega_0: float = 30.0
    activation: str = "sine"

    def __post_init__(self) -> None:
        if self.activation not in ACTIVATIONS:
            raise ValueError(
                f"activation: found {self.activation!r}, expected one of {ACTIVATIONS}"
            )


class SirenConcat(Decoder):
    """258 -> 512 sine layer, four 512-wide sine layers, linear output.

    Initialisation (section 3.2.2, after Sitzmann et al. 2020): first layer U(-1/n, 1/n); hidden
    layers and output U(-sqrt(6/n)/omega_0, sqrt(6/n)/omega_0), n being the layer's inputs. With
    ReLU, U(-sqrt(6/n), sqrt(6/n)) throughout (He et al. 2015).
    """

    architecture = "siren-concat"

    def __init__(self, config: ConcatConfig | None = None) -> None:
        super().__init__()
        c = self.settings = config or ConcatConfig()
        inputs = 2 + self.latent_size
        self.first = nn.Linear(inputs, c.width)
        self.hidden = nn.ModuleList(nn.Linear(c.width, c.width) for _ in range(c.hidden_layers))
        self.output = nn.Linear(c.width, 1)
        sine = c.activation == "sine"
        first, bound = 1 / inputs, math.sqrt(6 / c.width) / c.omega_0
        if not sine:
            first, bound = math.sqrt(6 / inputs), math.sqrt(6 / c.width)
        self.omega = c.omega_0 if sine else 1.0
        self.activate: Callable[[Tensor], Tensor] = torch.sin if sine else torch.relu
        self.slope: Callable[[Tensor], Tensor] = torch.cos if sine else _step
        with torch.no_grad():
            self.first.weight.uniform_(-first, first)
            for layer in (*self.hidden, self.output):
                assert isinstance(layer, nn.Linear)
                layer.weight.uniform_(-bound, bound)

    @property
    def config(self) -> dict[str, Any]:
        settings = asdict(self.settings)
        if self.settings.activation == "sine":
            # Files from before there was a choice do not name it, and keep their identity.
            del settings["activation"]
        return {"architecture": self.architecture, **settings}

    def _pre_activations(self, points: Tensor, latent: Tensor) -> list[Tensor]:
        """Arguments of every layer's activation, each (B, P, width)."""
        omega = self.omega
        points = as_batched(points, latent.shape[0])
        of_latent = latent @ self.first.weight[:, 2:].T + self.first.bias
        pre = [omega * (points @ self.first.weight[:, :2].T + of_latent[:, None])]
        for layer in self.hidden:
            pre.append(omega * layer(self.activate(pre[-1])))
        return pre

    def forward(self, points: Tensor, latent: Tensor) -> Tensor:
        last = self.activate(self._pre_activations(points, latent)[-1])
        return self.output(last)[..., 0]

    @torch.no_grad()
    def jacobian(
        self, points: Tensor, latent: Tensor, leading: int | None = None, rough: bool = False
    ) -> tuple[Tensor, Tensor]:
        omega = self.omega
        pre = self._pre_activations(points, latent)
        values = self.output(self.activate(pre[-1]))[..., 0]
        d = self.output.weight[0] * self.slope(pre[-1])
        for layer, before in zip(reversed(list(self.hidden)), reversed(pre[:-1]), strict=True):
            assert isinstance(layer, nn.Linear)
            d = omega * (d @ layer.weight) * self.slope(before)
        return values, omega * (d @ self.first.weight[:, 2:][:, :leading])

    @torch.no_grad()
    def reparametrise_(self, basis: Tensor) -> None:
        of_latent = self.first.weight[:, 2:].double() @ basis.double()
        self.first.weight[:, 2:] = of_latent.to(self.first.weight)
        self._curvature = None
