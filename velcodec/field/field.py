"""`Field`: velocity models as functions of latents, for gradients and optimisers of torch.

A field owns a frozen copy of the decoder. Its parameters are the latents of tiles, half-whitened,
and the ends of their value ranges; calling it renders the models. Values are in m/s, arrays [z, x],
points (x, z) in metres. Never changes a decoder that others use.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from velcodec.archive.archive import Archive
from velcodec.decode.tiling import Tiling, plan
from velcodec.decoder import NATIVE_SAMPLES, Decoder, load_decoder
from velcodec.device import pick_device
from velcodec.encode.describe import Description, check_geometry
from velcodec.field.blending import blended_grid, blended_points
from velcodec.field.smooth import within, within_inverse
from velcodec.formats.errors import (
    InputShapeError,
    MixedShapesError,
    NonFiniteError,
    OptionError,
)
from velcodec.geometry import Geometry, check_points
from velcodec.resolution import Resolution, check_resolution

if TYPE_CHECKING:
    from collections.abc import Sequence

    from velcodec.archive.archive import Number
    from velcodec.encode.latents import ModelLatent
    from velcodec.formats.container.quality import StoredQuality

RANGE_UNIT = 100.0
"""m/s of a unit of the parameter of a value range: about as far as a unit of a latent moves."""

BOUND_WIDTH = 2e-3
"""Width of the bend at the bounds, as a share of their distance."""

CLAMP_WIDTH = 4e-3
"""Width of the bend at the ends of a tile's normalised values, -1 and 1."""

DEFAULT_ENDS = (1500.0, 4500.0)


class Field(nn.Module):
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

    half_whitened: nn.Parameter
    ends: nn.Parameter
    deviations: Tensor
    decoder: Decoder

    def __init__(
        self,
        shape: tuple[int, int],
        *,
        models: int | None = None,
        dx: float = 10.0,
        dz: float = 10.0,
        origin: tuple[float, float] = (0.0, 0.0),
        bounds: tuple[float, float] | None = DEFAULT_ENDS,
        tiles: int | Literal["auto"] | Tiling = "auto",
        decoder: str | Path | Decoder | None = None,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__()
        nz, nx = check_resolution(shape, models or 1, True) or shape
        if models is not None and models < 1:
            raise OptionError(f"models: expected at least 1, found {models}")
        if bounds is not None and not bounds[0] < bounds[1]:
            raise OptionError(f"bounds: expected (low, high) in m/s, found {bounds}")
        check_geometry(Description(dx=dx, dz=dz, origin=origin))
        loaded = decoder if isinstance(decoder, Decoder) else load_decoder(decoder)
        # Not a submodule: its weights are neither parameters nor part of the state.
        object.__setattr__(self, "decoder", copy.deepcopy(loaded).freeze_())
        self.geometry = Geometry(nz, nx, float(dx), float(dz), float(origin[0]), float(origin[1]))
        self.tiling = _tiling(nz, nx, tiles)
        self.bounds = bounds
        self.batched = models is not None
        count, size = models or 1, self.decoder.latent_size
        self.register_buffer("deviations", self.decoder.deviations.clone(), persistent=False)
        self.half_whitened = nn.Parameter(torch.zeros(count, self.tiling.tiles, size))
        self.ends = nn.Parameter(torch.zeros(count, self.tiling.tiles, 2))
        self.to(device=pick_device(device), dtype=dtype)
        self.reset_()

    def _apply(self, fn: Any, recurse: bool = True) -> Field:
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        self.decoder._apply(fn, recurse)  # type: ignore[no-untyped-call]
        return self

    @property
    def shape(self) -> tuple[int, int]:
        """(nz, nx) of the native grid."""
        return self.geometry.nz, self.geometry.nx

    @property
    def models(self) -> int:
        """Number of models; 1 without a batch."""
        return len(self.half_whitened)

    # The latents

    @property
    def latents(self) -> Tensor:
        """Latents (models, tiles, D) as the decoder takes them; differentiable."""
        return self.half_whitened * self.deviations.sqrt()

    @property
    def value_range(self) -> tuple[Tensor, Tensor]:
        """Least and greatest value of each tile in m/s, (models, tiles) each; differentiable."""
        low, high = self._bounded(self.ends * RANGE_UNIT).unbind(-1)
        return low, high

    @torch.no_grad()
    def set_(self, latents: Tensor, low: Tensor, high: Tensor) -> Field:
        """Take latents (models, tiles, D) and the ends (models, tiles) of value ranges in m/s."""
        if latents.shape != self.half_whitened.shape:
            raise InputShapeError(
                f"latents: found shape {tuple(latents.shape)}, expected "
                f"{tuple(self.half_whitened.shape)}: models, tiles, coefficients"
            )
        self.half_whitened.copy_(latents.to(self.deviations) / self.deviations.sqrt())
        ends = torch.stack([low, high], -1).to(self.ends)
        if self.bounds is not None:
            least, greatest = self.bounds
            ends = within_inverse(ends, least, greatest, BOUND_WIDTH * (greatest - least))
        self.ends.copy_(ends / RANGE_UNIT)
        return self

    def reset_(self) -> Field:
        """Back to the prior's mean, with the bounds (or 1500 and 4500 m/s) as value range."""
        least, greatest = self.bounds or DEFAULT_ENDS
        low = torch.full_like(self.ends[..., 0], least)
        return self.set_(torch.zeros_like(self.half_whitened), low, low + (greatest - least))

    def energy(self) -> Tensor:
        """Mean square of the whitened latents of each model, (models,), or () without a batch.

        It is 1 on average for latents drawn from the prior; the prior's log density falls by
        D / 2 for each unit and tile. Differentiable.
        """
        energy = (self.half_whitened.square() / self.deviations).mean((1, 2))
        return energy if self.batched else energy[0]

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
                f"{_kind(self)} and {_kind(other)}"
            )
        share = torch.as_tensor(list(shares)).to(self.ends)
        with torch.no_grad():
            latents = torch.lerp(self.latents, other.latents.to(self.ends), share[:, None, None])
            (low, high), (low2, high2) = self.value_range, other.value_range
            low = torch.lerp(low, low2.to(low), share[:, None])
            high = torch.lerp(high, high2.to(high), share[:, None])
            return self._like(len(share)).set_(latents, low, high)

    # Rendering

    def forward(self, res: Resolution | None = None) -> Tensor:
        """The models in m/s, (nz, nx) or (models, nz, nx), at the native grid or at `res`, N or
        (nz, nx) samples over the same extent. Differentiable in the parameters.
        """
        nz, nx = check_resolution(res, self.models, False) or self.shape
        latents, ends = self.latents, self.value_range
        values = blended_grid(
            lambda tile, points: self._tile_values(latents, ends, tile, points),
            self.tiling, nz, nx, self.ends,
        )  # fmt: skip
        return values if self.batched else values[0]

    def at(self, points: Tensor | ArrayLike) -> Tensor:
        """Values in m/s at points (x, z) in metres, (P, 2): (P,) or (models, P).

        Differentiable in the parameters and, once, in a tensor of points. Raises
        PointsOutsideError, InputShapeError, InputDtypeError, NonFiniteError.
        """
        ground = self.geometry
        if not isinstance(points, Tensor):
            points = torch.from_numpy(check_points(points))
        ground.to_cells(points.detach().cpu().numpy())  # raises for points outside
        metres = points.to(self.ends)
        spacing, origin = (
            torch.tensor(pair).to(metres)
            for pair in ((ground.dx_m, ground.dz_m), (ground.origin_x_m, ground.origin_z_m))
        )
        cells = (metres - origin) / spacing + 0.5
        latents, ends = self.latents, self.value_range
        values = blended_points(
            lambda tile, where: self._tile_values(latents, ends, tile, where), self.tiling, cells
        )
        return values if self.batched else values[0]

    def deviation(self, rms: float | Sequence[float], res: Resolution | None = None) -> Tensor:
        """Standard deviation in m/s of each sample of the rendering about the model that the field
        was fitted to, (nz, nx) or (models, nz, nx), on the native grid or at `res`; no gradients.

        `rms` is the root mean square error of the rendering in m/s, one for all models or one for
        each: an archive's PSNR by `velcodec.metrics.rms_of_psnr`. Two deviations cover about 95 %
        of the samples (docs/field.md). A tensor. Raises InputShapeError, and OptionError for an
        error that is negative or not finite.
        """
        from velcodec.field.uncertainty import deviations

        grid = check_resolution(res, self.models, False) or self.shape
        errors = torch.as_tensor(rms, dtype=torch.float64).reshape(-1)
        if len(errors) not in (1, self.models):
            raise InputShapeError(f"rms: found {len(errors)} values, expected 1 or {self.models}")
        if not bool((torch.isfinite(errors) & (errors >= 0)).all()):
            raise OptionError(f"rms: expected finite errors of 0 m/s or more, found {rms}")
        errors = errors.to(self.ends.device).expand(self.models)
        found = deviations(self.decoder, self.latents.detach(), self.tiling, errors, grid)
        return found if self.batched else found[0]

    def _tile_values(
        self, latents: Tensor, ends: tuple[Tensor, Tensor], tile: Tensor, points: Tensor
    ) -> Tensor:
        """Values (models, t, P) in m/s of tiles numbered (t,) at points (P, 2) or (t, P, 2)."""
        chosen = latents[:, tile].flatten(0, 1)
        if points.ndim == 3:
            points = points.repeat(self.models, 1, 1)
        normalised = self.decoder(points, chosen).view(self.models, len(tile), -1)
        share = (within(normalised, -1.0, 1.0, CLAMP_WIDTH) + 1) / 2
        low, high = (end[:, tile, None] for end in ends)
        return low + share * (high - low)

    def _bounded(self, values: Tensor) -> Tensor:
        if self.bounds is None:
            return values
        least, greatest = self.bounds
        return within(values, least, greatest, BOUND_WIDTH * (greatest - least))

    def _like(self, models: int | None) -> Field:
        """A field of `models` models of the same kind."""
        g = self.geometry
        return Field(
            self.shape, models=models, dx=g.dx_m, dz=g.dz_m, origin=(g.origin_x_m, g.origin_z_m),
            bounds=self.bounds, tiles=self.tiling, decoder=self.decoder,
            device=self.ends.device, dtype=self.ends.dtype,
        )  # fmt: skip

    # Archives

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

    def extra_repr(self) -> str:
        """What `repr` shows."""
        batch = f"{self.models} models of " if self.batched else ""
        return f"{batch}{_kind(self)}, bounds {self.bounds}"


def _kind(field: Field) -> str:
    nz, nx = field.shape
    return f"{nz} x {nx} in {field.tiling.tiles} tiles, decoder {field.decoder.name!r}"


def _tiling(nz: int, nx: int, tiles: int | str | Tiling) -> Tiling:
    if isinstance(tiles, Tiling):
        if (tiles.z.samples, tiles.x.samples) != (nz, nx):
            raise OptionError(
                f"tiles: found a tiling of {tiles.z.samples} x {tiles.x.samples} samples, expected "
                f"{nz} x {nx}"
            )
        return tiles
    if tiles == "auto":
        return plan(nz, nx, NATIVE_SAMPLES)
    if isinstance(tiles, bool) or not isinstance(tiles, int) or tiles < 2:
        raise OptionError(f"tiles: expected auto or samples of a tile, 2 at least, found {tiles!r}")
    return plan(nz, nx, tiles)
