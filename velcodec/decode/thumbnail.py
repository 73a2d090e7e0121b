"""Small pictures of models: levels from 0 to 254 of each model's own range, 255 where absent."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from velcodec.decode.output import on_cpu, render_models
from velcodec.decode.stored import StoredModel
from velcodec.decode.units import to_m_s
from velcodec.decode.volumes import StoredVolume, whole
from velcodec.formats.arrays import Float64, Int64
from velcodec.geometry import Geometry
from velcodec.masks import at_grid

if TYPE_CHECKING:
    from velcodec.decoder import Decoder
    from velcodec.decoder.siren_mixture.frozen import FrozenMixture

Scalar = TypeVar("Scalar", bound=np.generic)

LEVELS = 254
ABSENT = 255


@dataclass(frozen=True)
class Thumbnail:
    """Levels (nz, nx) of a model from `low` to `high` in m/s."""

    levels: NDArray[np.uint8]
    low: float
    high: float


def thumbnail(
    model: StoredModel,
    ground: Geometry,
    pixels: int,
    decoder: Callable[[], Decoder | FrozenMixture],
) -> Thumbnail:
    """A picture with equal axes, `pixels` along the longer one, depth down. `decoder` is called for
    a model stored as a latent; of samples the nearest are taken.
    """
    size = size_of(ground, pixels)
    if model.samples is None:
        values: Float64 = on_cpu(next(render_models(decoder(), [model], size)))
    else:
        values = _small(to_m_s(model.samples, model.layout.units), size)
    return _levels(values, None if model.absent is None else at_grid(model.absent, size))


def volume_thumbnail(volume: StoredVolume, ground: Geometry, pixels: int) -> Thumbnail:
    """The section of a volume through its middle y, as `thumbnail`; `ground` is the section's."""
    rows, planes, columns = whole(volume.layout)
    middle = planes.stop // 2
    section, absent = volume.parts((rows, slice(middle, middle + 1), columns), 0)
    size = size_of(ground, pixels)
    mask = None if absent is None else _small(absent[:, 0], size)
    return _levels(_small(to_m_s(section[:, 0], volume.layout.units), size), mask)


def _small(samples: NDArray[Scalar], size: tuple[int, int]) -> NDArray[Scalar]:
    rows, columns = (positions(0, n, some) for n, some in zip(samples.shape, size, strict=True))
    return nearest(samples, rows, columns)


def _levels(values: Float64, absent: NDArray[np.bool_] | None) -> Thumbnail:
    present = values if absent is None or absent.all() else values[~absent]
    low, high = float(present.min()), float(present.max())
    share = (values.clip(low, high) - low) / (high - low) if high > low else 0.0 * values
    levels = np.rint(LEVELS * share).astype(np.uint8)
    if absent is not None:
        levels[absent] = ABSENT
    return Thumbnail(levels, low, high)


def size_of(ground: Geometry, pixels: int) -> tuple[int, int]:
    """Pixels (nz, nx) of a picture of a model with equal axes, `pixels` along the longer one."""
    depth, width = ground.nz * ground.dz_m, ground.nx * ground.dx_m
    longest = max(depth, width)
    nz, nx = (max(1, round(pixels * each / longest)) for each in (depth, width))
    return nz, nx


def positions(start: float, stop: float, count: int) -> Float64:
    """The centres of `count` pixels from `start` to `stop`."""
    return start + (np.arange(count, dtype=np.float64) + 0.5) * ((stop - start) / count)


def nearest(samples: NDArray[Scalar], z: Float64, x: Float64) -> NDArray[Scalar]:
    """The samples nearest to rows and columns at positions in cells; ties to the lower index."""
    return samples[nearest_index(z, samples.shape[0])][:, nearest_index(x, samples.shape[1])]


def nearest_index(cells: Float64, size: int) -> Int64:
    """The samples, of `size`, nearest to positions in cells; ties to the lower one."""
    return np.clip(np.ceil(cells).astype(np.int64) - 1, 0, size - 1)
