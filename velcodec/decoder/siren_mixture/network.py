"""`siren-mixture` as users load it: its parameters, and the choice of a backend.

Values and derivatives come from the backend for the latents' device and dtype, otherwise from
torch's operations.
"""

from __future__ import annotations

import torch
from torch import Tensor

from velcodec.decoder.base import Decoder, as_batched
from velcodec.decoder.siren_mixture import cuda, fit_cpu, fit_derivatives
from velcodec.decoder.siren_mixture.cpu import FloatMixture, cpu_renderer
from velcodec.decoder.siren_mixture.cpu_gradient import GradientMixture
from velcodec.decoder.siren_mixture.frozen import FrozenMixture
from velcodec.decoder.siren_mixture.parameters import MixtureParameters
from velcodec.decoder.sizes import MixtureConfig


class SirenMixture(MixtureParameters):
    """Sine trunk with latent-modulated layers, domain warp and mixture-of-constants head."""

    def __init__(self, config: MixtureConfig | None = None) -> None:
        super().__init__(config)
        self._compiled: tuple[object, FloatMixture, GradientMixture] | None = None
        self._all_parameters: list[Tensor] = []

    def compiled(self) -> FloatMixture | None:
        """The frozen network in compiled loops, or None off the CPU, in float64 and in training."""
        found = self._in_loops()
        return None if found is None else found[0]

    def _in_loops(self) -> tuple[FloatMixture, GradientMixture] | None:
        """What renders and what differentiates in compiled loops, as `compiled` says."""
        like = self.modulation
        if not self._all_parameters or self._all_parameters[0] is not like:
            # Modules are walked once: that takes as long as a small error.
            self._all_parameters = [like, *self.parameters()]
        parameters = self._all_parameters
        if like.device.type != "cpu" or like.dtype != torch.float32:
            return None
        if any(each.requires_grad for each in parameters):
            return None
        state = [(each.data_ptr(), each._version) for each in parameters]
        if self._compiled is None or self._compiled[0] != state:
            mixture = cpu_renderer(freeze(self))
            modulation = like.detach().numpy().copy()
            self._compiled = state, mixture, GradientMixture(mixture, modulation)
        return self._compiled[1:]

    @torch.no_grad()
    def values(self, points: Tensor, latent: Tensor) -> Tensor:
        if cuda.serves(self, latent):
            return cuda.launch(self, latent, points)
        if not fit_cpu.serves(latent):
            return self(points, latent)
        at, w = fit_cpu.in_channels(points), self.weights(latent)
        return fit_cpu.forward(self, at, w, keep=False).value

    @torch.no_grad()
    def squared_error(self, points: Tensor, latent: Tensor, target: Tensor) -> Tensor:
        loops = self._in_loops() if fit_cpu.serves(latent) else None
        if loops is None:
            return super().squared_error(points, latent, target)
        error = loops[1].errors(latent.numpy(), points.mT.numpy(), target.numpy())
        return torch.from_numpy(error).to(latent)

    @torch.no_grad()
    def error_and_gradient(
        self, points: Tensor, latent: Tensor, target: Tensor
    ) -> tuple[Tensor, Tensor]:
        loops = self._in_loops() if fit_cpu.serves(latent) else None
        if loops is not None:
            arrays = latent.numpy(), points.mT.numpy(), target.numpy()
            error, gradient = loops[1].errors_and_gradients(*arrays)
            return torch.from_numpy(error).to(latent), torch.from_numpy(gradient)
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


def freeze(decoder: Decoder) -> FrozenMixture:
    """A frozen copy of a torch `siren-mixture`. Raises TypeError for another architecture."""
    if not isinstance(decoder, SirenMixture):
        raise TypeError(f"freezing: found {type(decoder).__name__}, expected SirenMixture")
    weights = {
        name: value.detach().cpu().float().numpy().copy()
        for name, value in decoder.state_dict().items()
    }
    return FrozenMixture(
        decoder.settings,
        weights,
        decoder.steps.cpu().float().numpy().copy(),
        decoder.tables,
        decoder.identity,
        decoder.name,
    )
