"""Models between two models of an archive: the paper's interpolation in the latent space."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from velcodec.field.field import Field
from velcodec.formats.errors import MixedShapesError, OptionError

if TYPE_CHECKING:
    from velcodec.archive.archive import Archive
    from velcodec.archive.numbers import Number


def interpolate(
    archive: Archive,
    first: Number,
    second: Number,
    steps: int = 9,
    *,
    bounds: tuple[float, float] | None = None,
    device: str | torch.device = "cpu",
) -> Field:
    """A field of `steps` models from `first` to `second`, both included, at equal distances in the
    latent space.

    The latents are the stored ones; of two models that are stored in different tiles, both are
    fitted anew. Raises OptionError for fewer than two steps, MixedShapesError for models of
    different grids or decoders, and what `Archive.latent` raises.
    """
    if steps < 2:
        raise OptionError(f"steps: expected 2 at least, found {steps}")
    ends = [
        Field.from_archive(archive, which, bounds=bounds, device=device)
        for which in (first, second)
    ]
    if ends[0].geometry != ends[1].geometry:
        raise MixedShapesError(
            f"models {first} and {second}: found grids {ends[0].geometry} and {ends[1].geometry}, "
            "expected the same"
        )
    if ends[0].tiling != ends[1].tiling:
        ends = [_fitted_anew(field) for field in ends]
    return ends[0].between(ends[1], torch.linspace(0, 1, steps).tolist())


def _fitted_anew(field: Field) -> Field:
    """A field of the same model, in tiles of the default size."""
    g = field.geometry
    again = Field(
        field.shape, dx=g.dx_m, dz=g.dz_m, origin=(g.origin_x_m, g.origin_z_m),
        bounds=field.bounds, decoder=field.decoder, device=field.ends.device,
    )  # fmt: skip
    with torch.no_grad():
        return again.fit_(field())
