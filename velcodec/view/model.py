"""One model of an archive in any window of its extent, as m/s, and what it is compared with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from velcodec.archive.archive import Archive
from velcodec.archive.listing import rows_of
from velcodec.decode.backend import ready_tiles
from velcodec.decode.stored import x_first
from velcodec.decode.thumbnail import nearest, positions
from velcodec.decode.units import difference_m_s, to_m_s, unit_scale
from velcodec.decode.window import render_window
from velcodec.decoder.siren_mixture.frozen import FrozenMixture
from velcodec.formats.arrays import Float64
from velcodec.formats.errors import InputShapeError, MixedShapesError, OptionError
from velcodec.masks import filled
from velcodec.metrics import quality
from velcodec.report.upsampling import interpolate
from velcodec.sampler.compiled import SampledField
from velcodec.sampler.form import sampler_of

if TYPE_CHECKING:
    from velcodec.encode.latents import ModelLatent
    from velcodec.files.originals import Originals

MOST_PIXELS = 1 << 22
"""Pixels of one window."""

BLOCKS_KEPT = 16
"""Blocks of samples whose features are kept while a model is looked at, 9 MB each."""

COORDINATES = 6
"""Coordinates of a latent that can be moved: those of the largest variance."""


@dataclass(frozen=True)
class Window:
    """A part of a model, in its cells, and the pixels (nz, nx) to draw it with."""

    z0: float
    z1: float
    x0: float
    x1: float
    nz: int
    nx: int

    def checked(self, samples: tuple[int, int]) -> Window:
        """The window, or OptionError where it is not within a model of `samples` (nz, nx)."""
        inside = 0 <= self.z0 < self.z1 <= samples[0] and 0 <= self.x0 < self.x1 <= samples[1]
        if not inside:
            raise OptionError(f"window: found {self}, expected a part of {samples} cells")
        if min(self.nz, self.nx) < 1 or self.nz * self.nx > MOST_PIXELS:
            raise OptionError(
                f"window: found {self.nz} x {self.nx} pixels, expected 1 to {MOST_PIXELS:,}"
            )
        return self

    @property
    def z(self) -> Float64:
        """Positions of the rows in cells."""
        return positions(self.z0, self.z1, self.nz)

    @property
    def x(self) -> Float64:
        """Positions of the columns in cells."""
        return positions(self.x0, self.x1, self.nx)


@dataclass(frozen=True)
class Change:
    """A latent that is moved: by `share` towards that of model `to`, then by so many standard
    deviations along its first coordinates.
    """

    to: int | None = None
    share: float = 0.0
    moves: tuple[float, ...] = ()


class ViewedModel:
    """A model that is looked at: decoded once, then rendered in one window after another."""

    def __init__(self, archive: Archive, number: int, originals: Originals | None = None) -> None:
        self.archive, self.number, self._originals = archive, number, originals
        self.stored = archive.stored([number])[0]
        self.scale = unit_scale(self.stored.layout.units)
        self.shape = self.stored.layout.nz, self.stored.layout.nx
        self._layers: Mapping[str, Callable[[Float64, Float64], Float64]] = {
            "field": self._field,
            "samples": lambda z, x: nearest(self.samples, z, x),
            "bicubic": lambda z, x: interpolate(self._filled, z, x, "bicubic"),
            "original": lambda z, x: nearest(self.original, z, x),
            "error": lambda z, x: nearest(self._error, z, x),
        }

    def render(self, layer: str, window: Window) -> NDArray[np.float32]:
        """A window (nz, nx) in m/s, NaN where samples are absent.

        Layers are the field; the samples of the native grid, and the field that bicubic
        interpolation makes of them; the original samples, and the error of the decoded ones. Raises
        OptionError, also where the archive was opened without its originals.
        """
        draw = self._layers.get(layer)
        if draw is None:
            raise OptionError(f"layer: found {layer!r}, expected {', '.join(self._layers)}")
        window = window.checked(self.shape)
        return self._masked(draw(window.z, window.x), window)

    def render_changed(self, change: Change, window: Window) -> NDArray[np.float32]:
        """A window of the model that another latent makes. Raises as `Archive.latent`, and
        OptionError.
        """
        window = window.checked(self.shape)
        latent = self._changed(change)
        decoder = self.archive.evaluator(self.number)
        tiles = _ready(decoder, latent)
        values = render_window(decoder, tiles, latent.tiling, window.z, window.x)
        return self._masked(values, window)

    @cached_property
    def _decoded(self) -> NDArray[np.generic]:
        """The decoded samples [z, x] in the user's dtype and units; absent ones mean nothing."""
        if self.stored.samples is not None:
            return self.stored.samples
        array = self.archive.decode(self.number)
        return array.T if x_first(self.stored.layout) else array

    @cached_property
    def samples(self) -> Float64:
        """The decoded samples (nz, nx) of the native grid, NaN where absent."""
        values = to_m_s(self._decoded, self.stored.layout.units)
        return self._without_absent(values)

    @cached_property
    def _filled(self) -> Float64:
        """The decoded samples, with values where they are absent."""
        if self.stored.absent is None:
            return self.samples
        return np.asarray(filled(self.samples, self.stored.absent), dtype=np.float64)

    @cached_property
    def original(self) -> Float64:
        """The original samples (nz, nx), NaN where absent."""
        values, units = self._read_original
        return self._without_absent(to_m_s(values, units))

    @cached_property
    def _error(self) -> Float64:
        """Decoded less original samples (nz, nx), as `velcodec verify` takes them."""
        values, units = self._read_original
        error = errors_m_s(self._decoded, self.stored.layout.units, values, units)
        return self._without_absent(error)

    @cached_property
    def _read_original(self) -> tuple[NDArray[np.generic], str]:
        if self._originals is None:
            raise OptionError("the original: is not known, expected --against when it was opened")
        values, units = next(iter(self._originals.read(range(self.number, self.number + 1))))
        if values.shape != self.shape:
            raise InputShapeError(
                f"original {self.number}: found {values.shape} samples, expected {self.shape}"
            )
        return values, units or self.stored.layout.units

    def _without_absent(self, values: Float64) -> Float64:
        absent = self.stored.absent
        return values if absent is None else np.where(absent, np.nan, values)

    @cached_property
    def _sampled(self) -> SampledField:
        assert self.stored.samples is not None
        assert self.stored.sampler is not None
        return SampledField(self.stored.samples, sampler_of(self.stored.sampler), BLOCKS_KEPT)

    @cached_property
    def _tiles(self) -> Any:
        return ready_tiles(self.archive.evaluator(self.number), self.stored.tiles)

    def _field(self, z: Float64, x: Float64) -> Float64:
        if self.stored.samples is None:
            decoder = self.archive.evaluator(self.number)
            return render_window(decoder, self._tiles, self.stored.tiling, z, x)
        if is_coarse(z) and is_coarse(x):  # between samples there is nothing to see
            return nearest(self._filled, z, x)
        out = np.empty((len(z), len(x)))
        self._sampled.fill(z, x, out)
        return out * self.scale

    def _masked(self, values: Float64, window: Window) -> NDArray[np.float32]:
        out = values.astype(np.float32)
        if self.stored.absent is not None:
            out[nearest(self.stored.absent, window.z, window.x)] = np.nan
        return out

    @cached_property
    def _latent(self) -> ModelLatent:
        return self.archive.latent(self.number)

    def _changed(self, change: Change) -> ModelLatent:
        latent = self._latent
        if change.to is not None and change.share:
            other = self.archive.latent(change.to)
            hashes = {self.archive.header_of(n).decoder_hash for n in (self.number, change.to)}
            if len(hashes) > 1:
                raise MixedShapesError("latents: of different decoders, expected the same")
            latent = latent.mixed(other, change.share)
        if not any(change.moves):
            return latent
        values = latent.values.copy()
        for k, move in enumerate(change.moves[:COORDINATES]):
            values[:, k] += np.float32(move * self._spread[k])
        return replace(latent, values=values, stored=False)

    @cached_property
    def _spread(self) -> Float64:
        spread: Float64 = self.archive.decoder(self.number).deviations.double().cpu().numpy()
        return spread

    def facts(self) -> dict[str, Any]:
        """What a page shows beside the model."""
        row = next(rows_of(self.archive, [self.number]))
        layout, known = self.stored.layout, self.samples[np.isfinite(self.samples)]
        header = self.archive.header_of(self.number)
        ground = self.archive.geometry(self.number)
        return {
            **row.to_dict(),
            "extent": ground.extent,
            "spacing": (ground.dx_m, ground.dz_m),
            "z_name": ground.z_name,
            "units": layout.units,
            "dtype": layout.dtype,
            "low": float(known.min()),
            "high": float(known.max()),
            "decoder": header.decoder_name,
            "tiles": self.stored.tiling.tiles if self.stored.has_latent else 0,
            "provenance": header.provenance,
            "licence": header.licence,
            "compared": self.compared(),
        }

    def compared(self) -> dict[str, float] | None:
        """Figures of the decoded samples against the original ones; None without these."""
        if self._originals is None:
            return None
        figures = quality(self.original, self.samples, self.stored.absent, self._error)
        return figures.to_dict()


def errors_m_s(
    decoded: NDArray[np.generic], units: str, original: NDArray[np.generic], of_original: str
) -> Float64:
    """Decoded less original samples of the same shape in m/s, as `velcodec verify` takes them; each
    in units of its own.
    """
    if of_original != units:
        return to_m_s(decoded, units) - to_m_s(original, of_original)
    if original.dtype.newbyteorder("=") == decoded.dtype.newbyteorder("="):
        original = original.astype(decoded.dtype)
    return difference_m_s(decoded, original, units)


def is_coarse(cells: Float64) -> bool:
    """Whether positions lie a sample or more apart."""
    return len(cells) < 2 or float(cells[1] - cells[0]) >= 1.0


def _ready(decoder: Any, latent: ModelLatent) -> Any:
    if isinstance(decoder, FrozenMixture):
        from velcodec.decode.cpu_tiles import FrozenTiles

        return FrozenTiles(latent.values, latent.low, latent.high)
    import torch

    from velcodec.decode.torch_tiles import render_tiles

    return render_tiles(torch.from_numpy(latent.values), latent.low, latent.high, decoder)
