"""Rendering stored models in the user's dtype, units and axis order.

The encoder measures what it has written with this same code. Neighbouring models of one tiling are
rendered together, a bounded number of cells at a time.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from velcodec.decode.backend import ready_tiles
from velcodec.decode.render import render_grid, render_points
from velcodec.decode.stored import StoredModel, join_tiles, x_first
from velcodec.decode.units import as_dtype, from_m_s, unit_scale
from velcodec.decoder import registry
from velcodec.decoder.siren_mixture.frozen import (
    FrozenMixture,
    frozen_mixture,
    is_mixture,
    load_frozen,
)
from velcodec.formats.arrays import Float64
from velcodec.formats.container.header import Header, Layout
from velcodec.formats.decoder_file import DecoderFile, read_decoder_file
from velcodec.formats.errors import MissingDecoderError
from velcodec.sampler.cell_average import Average, averaged, fine_shape
from velcodec.sampler.compiled import SampledField
from velcodec.sampler.form import sampler_of

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from velcodec.decoder import Decoder

CELLS_AT_ONCE = 1 << 22
"""Output cells rendered together, over all models."""

TORCH_DTYPES = ("float32", "float64", "uint8", "int8", "int16", "int32", "int64")
"""NumPy names of the sample types that torch computes with."""


def render_models(
    decoder: Decoder | FrozenMixture,
    models: Sequence[StoredModel],
    res: tuple[int, int] | None = None,
    average: Average = "none",
    places: Sequence[str] = (),
) -> Iterator[Tensor | Float64]:
    """Render every model from its latent, in order, [nz, nx] float64 m/s: tensors on the decoder's
    device, or arrays if the decoder needs no torch. With an `average`, `places` name the models in
    errors.
    """
    first = 0
    while first < len(models):
        head = models[first]
        shape = head.grid(res)
        factors = (1, 1) if average == "none" else fine_shape(head.grid(None), shape)
        fine = shape[0] * factors[0], shape[1] * factors[1]
        most = max(1, CELLS_AT_ONCE // (fine[0] * fine[1]))
        last = first + 1
        while last < min(first + most, len(models)) and models[last].tiling == head.tiling:
            last += 1
        tiles = join_tiles([model.tiles for model in models[first:last]])
        values = render_grid(decoder, ready_tiles(decoder, tiles), head.tiling, *fine)
        if average == "none":
            yield from values
        else:
            for fine_values, place in zip(values, places[first:last], strict=True):
                yield averaged(fine_values, factors, average, place)
        first = last


def render_samples(
    model: StoredModel, res: tuple[int, int] | None, average: Average, place: str
) -> NDArray[np.generic] | None:
    """The field of a model's stored samples in the user's dtype, units and axis order, or None
    without samples. On the native grid these are the samples themselves.

    Raises SamplerError for an unknown sampler, and OptionError as `averaged` does.
    """
    samples = model.samples
    if samples is None:
        return None
    if average != "none" or not model.is_native(res):
        values = sampled_field(model).averages(*model.grid(res), average, place)
        samples = as_dtype(values, samples.dtype)
    return samples.T if x_first(model.layout) else samples


def render_samples_on(
    model: StoredModel, res: tuple[int, int], average: Average, place: str, device: torch.device
) -> Tensor:
    """`render_samples` on a grid other than the native one, computed and kept on a GPU."""
    from velcodec.sampler.render import TorchField

    assert model.samples is not None
    assert model.sampler is not None
    field = TorchField(model.samples, model.sampler, device)
    values = field.averages(*res, average, place)
    if np.issubdtype(model.samples.dtype, np.integer):
        values = values.round()
    values = values.to(torch_dtype(model.samples.dtype))
    return values.T if x_first(model.layout) else values


def sampled_field(model: StoredModel) -> SampledField:
    """The field of a model's stored samples, in the user's units."""
    assert model.samples is not None
    assert model.sampler is not None
    return SampledField(model.samples, sampler_of(model.sampler))


def array_to_tensor(array: NDArray[np.generic], device: str | torch.device) -> Tensor:
    """Stored samples as a tensor with the dtype that `to_tensor` gives renderings."""
    import torch

    native = np.ascontiguousarray(array.astype(array.dtype.newbyteorder("=")))
    wide = native if native.dtype.name in TORCH_DTYPES else native.astype(np.int64)
    return torch.as_tensor(wide, device=device)


def torch_dtype(dtype: np.dtype[np.generic]) -> torch.dtype:
    """Torch's dtype for samples: the same, or int64 for integers that torch cannot compute with."""
    import torch

    chosen: torch.dtype = getattr(torch, dtype.name if dtype.name in TORCH_DTYPES else "int64")
    return chosen


def on_cpu(values: Tensor | Float64) -> Float64:
    """A rendering as an array."""
    return values if isinstance(values, np.ndarray) else values.cpu().numpy()


def to_array(values: Tensor | Float64, layout: Layout) -> NDArray[np.generic]:
    """A rendering in m/s as the user's array: dtype, units, axis order."""
    array = from_m_s(on_cpu(values), np.dtype(layout.dtype), layout.units)
    return array.T if x_first(layout) else array


def to_tensor(values: Tensor, layout: Layout) -> Tensor:
    """A rendering in m/s as a tensor on its device, in the user's units and axis order.

    The dtype is the user's, or int64 for integers that torch does not compute with.
    """
    dtype = np.dtype(layout.dtype)
    scale = unit_scale(layout.units)
    out = values if scale == 1.0 else values / scale
    if np.issubdtype(dtype, np.integer):
        out = out.round()
    out = out.to(torch_dtype(dtype))
    return out.T if x_first(layout) else out


def sample(
    decoder: Callable[[], Decoder | FrozenMixture], model: StoredModel, cells: Float64
) -> Float64:
    """Values (P,) in the model's units at cell coordinates (x, z), shape (P, 2)."""
    if model.samples is not None:
        return sampled_field(model).points(cells)
    loaded = decoder()
    values = render_points(loaded, ready_tiles(loaded, model.tiles), model.tiling, cells)
    return values / unit_scale(model.layout.units)


def gradient(decoder: Callable[[], Decoder], model: StoredModel, cells: Float64) -> Float64:
    """Derivatives (P, 2) by x and z in the model's units per cell, at the points of `sample`."""
    if model.samples is not None:
        from velcodec.sampler.render import TorchField

        assert model.sampler is not None
        return TorchField(model.samples, model.sampler, "cpu").gradient(cells)
    from velcodec.decode.torch_tiles import ready_tiles, render_gradient

    loaded = decoder()
    slopes = render_gradient(loaded, ready_tiles(loaded, model.tiles), model.tiling, cells)
    return slopes / unit_scale(model.layout.units)


def decoder_for(
    header: Header,
    wanted: str | Path | Decoder | None,
    embedded: Callable[[], Sequence[bytes]],
    device: str,
) -> Decoder:
    """The decoder that a header names, on `device`.

    `wanted` is a loaded decoder, or the name, hash or path of one. It is tried first, then the
    user's folder and the shipped decoders, then those `embedded` in the archive: equal hashes mean
    equal decoders, and a local file need not be fetched. Raises MissingDecoderError if none has the
    archive's hash, DecoderFileError for an embedded decoder that cannot be read.
    """
    from velcodec.decoder import Decoder, load_decoder, read_decoder

    if isinstance(wanted, Decoder):
        if wanted.identity != header.decoder_hash:
            raise MissingDecoderError(
                f"the decoder given has hash {(wanted.identity or b'').hex()}, the archive needs "
                f"{header.decoder_name!r} with hash {header.decoder_hash.hex()}"
            )
        return place_decoder(wanted, device)
    source = _find(header, wanted, embedded)
    if isinstance(source, Path):
        return load_decoder(source, device)
    return place_decoder(read_decoder(source), device)


def frozen_for(
    header: Header, wanted: str | Path | None, embedded: Callable[[], Sequence[bytes]]
) -> FrozenMixture | None:
    """`decoder_for` without torch; None for a decoder that only torch can evaluate."""
    source = _find(header, wanted, embedded)
    if isinstance(source, Path):
        return load_frozen(source)
    file = read_decoder_file(source)
    return frozen_mixture(file) if is_mixture(file.config) else None


def decoder_file_for(
    header: Header, wanted: str | Path | None, embedded: Callable[[], Sequence[bytes]]
) -> DecoderFile:
    """The file of the decoder that `decoder_for` finds, for those who read it themselves."""
    source = _find(header, wanted, embedded)
    return registry.read_file(source) if isinstance(source, Path) else read_decoder_file(source)


def _find(
    header: Header, wanted: str | Path | None, embedded: Callable[[], Sequence[bytes]]
) -> Path | bytes:
    """The decoder that a header names: its file, or the bytes of an embedded one."""
    try:
        return registry.find_for_archive(header.decoder_hash, header.decoder_name, wanted).path
    except MissingDecoderError:
        for data in embedded() if wanted is None else ():
            if read_decoder_file(data).identity() == header.decoder_hash:
                return data
        raise


def place_decoder(decoder: Decoder, device: str) -> Decoder:
    """The decoder itself if it is on `device`, otherwise a copy there."""
    if str(decoder.device) == device:
        return decoder
    return copy.deepcopy(decoder).to(device)
