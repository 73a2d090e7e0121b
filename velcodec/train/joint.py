"""What the recipes with a mixture decoder share: networks, examples, starting points."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import torch
from torch import Tensor, nn

from velcodec.decoder.base import Decoder
from velcodec.decoder.siren_mixture.network import SirenMixture
from velcodec.decoder.sizes import MixtureConfig
from velcodec.fit.encoder import Encoder
from velcodec.formats.errors import OptionError
from velcodec.train.own import OwnData, OwnModels, check_same_data
from velcodec.train.parallel import average_gradients, rank_and_size
from velcodec.train.pool import Chunk, draw_chunk
from velcodec.train.rate import LatentRate, reference_step
from velcodec.train.settings import from_plain, to_plain
from velcodec.train.trainer import Figures, Trainer

DEFAULT_FAMILIES: Mapping[str, float] = {
    "flatvel_a": 0.05,
    "flatvel_b": 0.04,
    "curvevel_a": 0.18,
    "curvevel_b": 0.06,
    "flatfault_a": 0.14,
    "flatfault_b": 0.05,
    "curvefault_a": 0.16,
    "curvefault_b": 0.06,
    "style_a": 0.11,
    "style_b": 0.04,
    "geology": 0.11,
}

SIZES = MixtureConfig(warp_features=48, strata=12)
"""Those of the shipped decoder; MixtureConfig's own defaults are what older files leave unsaid."""

BETAS = (0.9, 0.99)
CONTRAST_RANGE = (0.05, 2.0)
FRESH_CHUNK, HELD_OUT_CHUNK = 10**6, 10**6 + 1
"""Numbers of chunks that training never reaches."""

HELD_OUT_MODELS = 256
HELD_OUT_EVERY_STEPS = 500
LEAST_DISTORTION = 1e-9
MOST_GRADIENT = 1.0


@dataclass(frozen=True)
class JointRecipe:
    """Everything that decides a run, but for the machine it runs on.

    `rate_weight` is the price of a bit, in units of squared error / (1500 m/s)^2, at coarseness 1.
    `own` names the user's own models, if there are any.
    """

    steps: int = 22_000
    batch: int = 64
    points: int = 256
    learning_rate: float = 2e-3
    encoder_learning_rate: float = 1e-3
    rate_learning_rate: float = 5e-3
    rate_weight: float = 1.5e-5
    coarseness: tuple[float, float] = (0.25, 1.5)
    warm_up: int = 200
    chunk: int = 8192
    chunk_points: int = 1024
    seed: int = 1
    families: Mapping[str, float] = field(default_factory=lambda: dict(DEFAULT_FAMILIES))
    own: OwnData | None = None
    decoder: MixtureConfig = SIZES
    encoder_channels: int = 24

    def to_dict(self) -> dict[str, Any]:
        """The settings as JSON keeps them."""
        return to_plain(self)

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Self:
        """The recipe that `to_dict` gave."""
        given = from_plain(cls, stored)
        return cls(**given | {"decoder": MixtureConfig(**stored["decoder"])})


def psnr_of(distortion: Tensor) -> float:
    """Mean PSNR in dB, range 3000 m/s, of mean squared errors in units of (1500 m/s)^2."""
    each = -10 * torch.log10(distortion.detach().clamp(min=LEAST_DISTORTION) / 4)
    return each.mean().item()


class JointTrainer(Trainer):
    """Decoder, encoder and rate, and the optimiser of all three."""

    recipe: JointRecipe

    def __init__(
        self, recipe: JointRecipe, device: str = "cpu", own: OwnModels | None = None
    ) -> None:
        check_same_data(own, recipe.own, f"recipe {self.recipe_name}")
        torch.manual_seed(recipe.seed)
        self.recipe, self.device, self.own = recipe, torch.device(device), own
        if self.device.type == "cuda":
            torch.set_float32_matmul_precision("high")
        self.decoder = SirenMixture(recipe.decoder).to(device)
        self.encoder = Encoder(recipe.encoder_channels).to(device)
        self.rate = LatentRate().to(device)
        self.optimiser = torch.optim.Adam(
            [
                {"params": list(self.decoder.parameters()), "base": recipe.learning_rate},
                {"params": list(self.encoder.parameters()), "base": recipe.encoder_learning_rate},
                {"params": list(self.rate.parameters()), "base": recipe.rate_learning_rate},
            ],
            betas=BETAS,
            fused=True,
        )
        self._decode: Callable[[Tensor, Tensor], Tensor] = self.decoder
        self._encode: Callable[[Tensor], Tensor] = self.encoder
        self._held_out: Chunk | None = None

    def parts(self) -> dict[str, nn.Module]:
        return {"decoder": self.decoder, "encoder": self.encoder, "rate": self.rate}

    def start_from(self, decoder: Decoder, encoder: Encoder | None) -> None:
        """Take over the weights of a finished decoder, and of its encoder if there is one.

        Raises `OptionError` for a decoder or encoder of another shape than the recipe's.
        """
        if decoder.config != self.decoder.config:
            raise OptionError(
                f"decoder {decoder.name}: found {decoder.config}, expected {self.decoder.config}"
            )
        self.decoder.load_state_dict(decoder.state_dict())
        if encoder is not None:
            if encoder.config != self.encoder.config:
                raise OptionError(
                    f"encoder: found {encoder.config}, expected {self.encoder.config}"
                )
            self.encoder.load_state_dict(encoder.state_dict())
        self.rate.start_from(decoder.prior_precision, reference_step(self.recipe.rate_weight))

    def compile(self) -> None:
        self._decode = torch.compile(self.decoder, dynamic=False)
        self._encode = torch.compile(self.encoder, dynamic=False)

    def guess(self, grids: Tensor) -> Tensor:
        """The encoder in bfloat16: its guess need not be exact."""
        with torch.autocast(self.device.type, dtype=torch.bfloat16):
            return self._encode(grids).float()

    def draw(self, number: int, seed: int) -> Chunk:
        """Chunk `number` of the examples: generated models, the user's own, or both."""
        return self._draw(number, self.recipe.chunk, self.recipe.chunk_points, seed)

    def fresh(self, size: int) -> Chunk:
        """About `size` models of the same kinds that no step has drawn; one point each."""
        return self._draw(FRESH_CHUNK, size, 1, self.recipe.seed)

    def _draw(self, number: int, size: int, points: int, seed: int) -> Chunk:
        r = self.recipe
        if self.own is None or r.own is None:
            return draw_chunk(number, size, points, r.families, seed)
        generated = round(size * r.own.generated)
        parts = []
        if generated:
            parts.append(draw_chunk(number, generated, points, r.families, seed))
        if generated < size:
            rest = size - generated
            parts.append(self.own.chunk(rest, points, seed, number, held_out=False))
        return Chunk.joined(parts)

    def held_out(self) -> Chunk:
        """Models that no step sees: generated ones, or the part of the user's own kept for it."""
        if self._held_out is None:
            r, size = self.recipe, HELD_OUT_MODELS
            if self.own is None:
                self._held_out = draw_chunk(HELD_OUT_CHUNK, size, r.points, r.families, r.seed)
            else:
                self._held_out = self.own.chunk(
                    size, r.points, r.seed, HELD_OUT_CHUNK, held_out=True
                )
        return self._held_out

    def update(self) -> None:
        """Step the optimiser with the gradients of all processes, clipped."""
        groups = self.optimiser.param_groups
        average_gradients(p for group in groups for p in group["params"])
        for module in (self.decoder, self.encoder):
            torch.nn.utils.clip_grad_norm_(module.parameters(), MOST_GRADIENT)
        self.optimiser.step()
        self.step_number += 1

    @torch.no_grad()
    def held_out_figures(self) -> Figures:
        """PSNR (dB) of the encoder's guesses on held-out models, every so many steps."""
        if self.step_number % HELD_OUT_EVERY_STEPS or rank_and_size()[0]:
            return {}
        chunk = self.held_out()
        found = []
        for some in torch.arange(len(chunk)).split(self.recipe.batch):
            models = chunk.take(some).to(self.device)
            rendered = self.decoder(models.points, self.encoder(models.grids))
            error = (rendered - models.values) * models.contrast[:, None]
            found.append((models.weights * error.square()).mean(1))
        return {"held_out_psnr": psnr_of(torch.cat(found))}
