"""Latents and value ranges of tiles as parameters: their units, bounds, energy and rendering.

Values are in m/s, arrays [z, x], points (x, z) in metres. `Field` adds where models come from and
go to.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any, Literal, Self

import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from velcodec.decode.tiling import Tiling, plan
from velcodec.decoder import NATIVE_SAMPLES, Decoder, load_decoder
from velcodec.device import pick_device
from velcodec.encode.description import Description, check_geometry
from velcodec.field.blending import blended_grid, blended_points
from velcodec.field.smooth import within, within_inverse
from velcodec.formats.errors import InputShapeError, OptionError
from velcodec.geometry import Geometry, check_points
from velcodec.resolution import Resolution, check_resolution

RANGE_UNIT = 100.0
"""m/s of a unit of the parameter of a value range: about as far as a unit of a latent moves."""

BOUND_WIDTH = 2e-3
"""Width of the bend at the bounds, as a share of their distance."""

CLAMP_WIDTH = 4e-3
"""Width of the bend at the ends of a tile's normalised values, -1 and 1."""

DEFAULT_ENDS = (1500.0, 4500.0)


class Parametrisation(nn.Module):
    """One velocity model, or a batch of `models` models, rendered from latents.

    Arguments and errors are those of `Field`. Parameters, of `models` (1 without a batch) and tiles
    t of a model: `half_whitened` (models, t, D), latents over the square root of the prior's
    deviations, and `ends` (models, t, 2), the least and greatest value of each tile, in units of
    100 m/s. `to`, `double` and so on move the decoder too; `state_dict` holds the parameters alone.
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

    def _apply(self, fn: Any, recurse: bool = True) -> Self:
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
    def set_(self, latents: Tensor, low: Tensor, high: Tensor) -> Self:
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

    def reset_(self) -> Self:
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

    def _like(self, models: int | None) -> Self:
        """A field of `models` models of the same kind."""
        g = self.geometry
        return type(self)(
            self.shape, models=models, dx=g.dx_m, dz=g.dz_m, origin=(g.origin_x_m, g.origin_z_m),
            bounds=self.bounds, tiles=self.tiling, decoder=self.decoder,
            device=self.ends.device, dtype=self.ends.dtype,
        )  # fmt: skip

    @property
    def _kind(self) -> str:
        """Grid, tiles and decoder, for messages."""
        nz, nx = self.shape
        return f"{nz} x {nx} in {self.tiling.tiles} tiles, decoder {self.decoder.name!r}"

    def extra_repr(self) -> str:
        """What `repr` shows."""
        batch = f"{self.models} models of " if self.batched else ""
        return f"{batch}{self._kind}, bounds {self.bounds}"


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
