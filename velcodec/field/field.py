"""`Field`: velocity models as functions of latents, for gradients and optimisers of torch.

A field owns a frozen copy of the decoder. Its parameters are the latents of tiles, half-whitened,
and the ends of their value ranges; calling it renders the models. Values are in m/s, arrays [z, x],
points (x, z) in metres. Never changes a decoder that others use.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from velcodec.archive.archive import Archive
from velcodec.field.parametrisation import Parametrisation
from velcodec.formats.container.quality import ERROR_STEPS
from velcodec.formats.errors import (
    InputShapeError,
    MixedShapesError,
    NonFiniteError,
    OptionError,
)
from velcodec.resolution import Resolution, check_resolution

if TYPE_CHECKING:
    from collections.abc import Sequence

    from velcodec.archive.numbers import Number
    from velcodec.encode.latents import ModelLatent
    from velcodec.formats.container.quality import StoredQuality


class Field(Parametrisation):
    """One velocity model, or a batch of `models` models, as a differentiable function of latents.

        field = velcodec.Field((70, 70), dx=10, dz=10, bounds=(1500, 4500))
        v = field()                                # (70, 70), m/s
        torch.optim.LBFGS(field.parameters())

    `shape` is the native grid (nz, nx), `dx`, `dz` and `origin` (x, z) its spacing and place in
    metres. Values stay within `bounds` (m/s), if given. Models larger than a tile are cut into
    overlapping tiles of about `tiles` samples, 70 by default ("auto"), and blended. `decoder` is a
    name, hash, path or Decoder; the field takes a copy. A new field is at the prior's mean.

    Parameters, of `models` (1 without a batch) and tiles t of a model: `half_whitened` (models, t,
    D), latents over the square root of the prior's deviations, and `ends` (models, t, 2), the least
    and greatest value of each tile, in units of 100 m/s. `to`, `double` and so on move the decoder
    too; `state_dict` holds the parameters alone.

    Raises OptionError for bounds not in rising order, sizes below one, a spacing that is not
    positive or an unknown device; ResolutionError, MissingDecoderError.
    """

    def fit_(self, model: Tensor | NDArray[np.generic]) -> Field:
        """Fit latents and value ranges to models in m/s, (nz, nx) or (models, nz, nx); without
        gradients.

        Values beyond the bounds count as the bounds. Raises InputShapeError, NonFiniteError.
        """
        from velcodec.field.fitting import fitted

        values = torch.as_tensor(np.asarray(model) if not isinstance(model, Tensor) else model)
        expected = (self.models, *self.shape) if self.batched else self.shape
        if values.shape != expected:
            raise InputShapeError(
                f"model: found shape {tuple(values.shape)}, expected {tuple(expected)}"
            )
        if not bool(torch.isfinite(values).all()):
            raise NonFiniteError("model: found NaN or infinity, expected finite velocities")
        target = values.detach().reshape(self.models, *self.shape).double()
        if self.bounds is not None:
            target = target.clamp(*self.bounds)
        return self.set_(*fitted(self.decoder, target, self.tiling))

    @torch.no_grad()
    def sample(
        self,
        count: int,
        *,
        spread: float | None = None,
        generator: torch.Generator | None = None,
    ) -> Field:
        """A field of `count` models: latents drawn from the prior, or, with `spread`, this model's
        plus `spread` times a draw; without gradients to this field.

        Value ranges are this field's. Tiles are drawn independently, so models of several tiles are
        coherent only near a given one. Raises OptionError for a batch.
        """
        if self.batched:
            raise OptionError("sample: expected a field of one model, found a batch")
        tiles = self.tiling.tiles
        drawn = self.decoder.sample(count * tiles, generator=generator).view(count, tiles, -1)
        latents = drawn if spread is None else self.latents + spread * drawn
        low, high = (end.expand(count, tiles) for end in self.value_range)
        return self._like(count).set_(latents, low, high)

    def between(self, other: Field, shares: Sequence[float]) -> Field:
        """A field of models between this one and another: for each share s, (1 - s) of this latent
        and value range plus s of the other's; without gradients to either.

        Raises OptionError for batches, MixedShapesError for other decoders, grids or tilings.
        """
        if self.batched or other.batched:
            raise OptionError("between: expected two fields of one model each, found a batch")
        mine, theirs = (
            (f.decoder.identity, f.geometry.nz, f.geometry.nx, f.tiling) for f in (self, other)
        )
        if mine != theirs:
            raise MixedShapesError(
                "between: expected fields of the same decoder, grid and tiling, found "
                f"{self._kind} and {other._kind}"
            )
        share = torch.as_tensor(list(shares)).to(self.ends)
        with torch.no_grad():
            latents = torch.lerp(self.latents, other.latents.to(self.ends), share[:, None, None])
            (low, high), (low2, high2) = self.value_range, other.value_range
            low = torch.lerp(low, low2.to(low), share[:, None])
            high = torch.lerp(high, high2.to(high), share[:, None])
            return self._like(len(share)).set_(latents, low, high)

    def deviation(
        self,
        rms: float | Sequence[float],
        mae: float | Sequence[float],
        res: Resolution | None = None,
    ) -> Tensor:
        """Standard deviation in m/s of each sample of the rendering about the model that the field
        was fitted to, (nz, nx) or (models, nz, nx), on the native grid or at `res`; no gradients.

        `rms` and `mae` are the root mean square and the mean absolute error of the rendering in
        m/s, one for all models or one for each, as archives state them (`rms_of_psnr` of
        `velcodec.metrics` gives the first of a PSNR). Two deviations cover about 95 % of the
        samples (docs/field.md). A tensor. Raises InputShapeError, and OptionError for an error
        that is negative or not finite, or a mean error above the rms.
        """
        from velcodec.field.uncertainty import deviations

        grid = check_resolution(res, self.models, False) or self.shape
        square, mean = self._errors("rms", rms), self._errors("mae", mae)
        if bool((mean > square * 2 ** (1 / ERROR_STEPS)).any()):  # archives round errors up
            raise OptionError(f"mae: expected at most the rms, found {mae} of rms {rms}")
        found = deviations(
            self.decoder, self.latents.detach(), self.tiling, square, mean, (self.shape, grid)
        )
        return found if self.batched else found[0]

    def _errors(self, name: str, given: float | Sequence[float]) -> Tensor:
        """An error for each model, float64; checked."""
        errors = torch.as_tensor(given, dtype=torch.float64).reshape(-1)
        if len(errors) not in (1, self.models):
            raise InputShapeError(
                f"{name}: found {len(errors)} values, expected 1 or {self.models}"
            )
        if not bool((torch.isfinite(errors) & (errors >= 0)).all()):
            raise OptionError(f"{name}: expected finite errors of 0 m/s or more, found {given}")
        return errors.expand(self.models)

    @classmethod
    def from_archive(
        cls,
        archive: Archive | str | Path,
        which: Number | Sequence[Number] = 0,
        *,
        bounds: tuple[float, float] | None = None,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> Field:
        """A field of a model of an archive, or a batch of several, with the latents as stored.

        A model stored as samples alone has no latent: one is fitted (see `Archive.latent`). Raises
        MixedShapesError for models of different grids, tilings or decoders, and what
        `Archive.latent` raises.
        """
        if not isinstance(archive, Archive):
            with Archive(archive) as opened:
                return cls.from_archive(opened, which, bounds=bounds, device=device, dtype=dtype)
        one = isinstance(which, str) or not np.iterable(which)
        wanted: list[Any] = [which] if one else list(which)  # type: ignore[arg-type]
        numbers = [archive.index(each) for each in wanted]
        if not numbers:
            raise OptionError("models: found none asked for, expected one at least")
        latents: list[ModelLatent] = [archive.latent(number) for number in numbers]
        decoders = {archive.header_of(number).decoder_hash for number in numbers}
        grounds = [archive.geometry(number) for number in numbers]
        if len(set(grounds)) > 1 or len({each.tiling for each in latents}) > 1 or len(decoders) > 1:
            raise MixedShapesError(
                f"models {numbers}: expected the same grid, tiling and decoder to make a batch"
            )
        g = grounds[0]
        field = cls(
            (g.nz, g.nx), models=None if one else len(numbers), dx=g.dx_m, dz=g.dz_m,
            origin=(g.origin_x_m, g.origin_z_m), bounds=bounds, tiles=latents[0].tiling,
            decoder=archive.decoder(numbers[0]), device=device, dtype=dtype,
        )  # fmt: skip
        low, high, values = (
            torch.from_numpy(np.stack([getattr(each, name) for each in latents]))
            for name in ("low", "high", "values")
        )
        return field.set_(values, low, high)

    def to_archive(
        self,
        path: str | Path,
        *,
        psnr: float = 45.0,
        keys: Sequence[str] | None = None,
        provenance: str = "",
        licence: str = "",
        force: bool = False,
    ) -> list[StoredQuality]:
        """Write the models to an archive as quantised latents; nothing is fitted.

        Every latent is rounded at the coarsest step of the decoder at which what is read back is
        within `psnr` dB (over 3000 m/s) of what this field renders. Returns what was measured of
        each model. Raises QualityError if no step is fine enough, OptionError for a value range in
        falling order, and what `velcodec.create` raises of `path`.
        """
        from velcodec.field.storing import Contents, write_archive

        with torch.no_grad():
            latents, low, high, rendered, energy = (
                each.double().cpu().numpy()
                for each in (self.latents, *self.value_range, self(), self.energy())
            )
        contents = Contents(
            self.decoder, self.geometry, self.tiling, self.batched, latents, low, high,
            rendered.reshape(-1, *self.shape), energy.reshape(-1),
        )  # fmt: skip
        return write_archive(
            contents, Path(path), psnr=psnr, keys=keys, provenance=provenance, licence=licence,
            force=force,
        )  # fmt: skip
