"""From stored tiles back to models as the user gave them: dtype, units and axis order.

This is the reader's own code; the encoder calls it too when it measures what it has written.
Neighbouring models of one tiling are rendered together, a bounded number of cells at a time.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from velcodec.codec.coded import ready_tiles
from velcodec.codec.interpolate import interpolated
from velcodec.codec.render import render_gradient, render_grid, render_points
from velcodec.codec.values import from_m_s, unit_scale
from velcodec.coordinates import Float64
from velcodec.decoder import Decoder, load_decoder, read_decoder, registry
from velcodec.formats.errors import MissingDecoderError, NoLatentError
from velcodec.formats.header import Header, Layout
from velcodec.stored import StoredModel, join_tiles

CELLS_AT_ONCE = 1 << 22
"""Output cells rendered together, whatever the number of models."""

TORCH_DTYPES = {
    np.dtype(name): getattr(torch, name)
    for name in ("float32", "float64", "uint8", "int8", "int16", "int32", "int64")
}


def x_first(layout: Layout) -> bool:
    """Whether the user's arrays of this layout are [x, z]."""
    return layout.axes.endswith("xz")


def render_models(
    decoder: Decoder, models: Sequence[StoredModel], res: tuple[int, int] | None = None
) -> Iterator[Tensor]:
    """Every model in order, [nz, nx] float64 m/s on the decoder's device."""
    first = 0
    while first < len(models):
        head = models[first]
        shape = head.grid(res)
        most = max(1, CELLS_AT_ONCE // (shape[0] * shape[1]))
        last = first + 1
        while last < min(first + most, len(models)) and models[last].tiling == head.tiling:
            last += 1
        tiles = join_tiles([model.tiles for model in models[first:last]])
        yield from render_grid(decoder, ready_tiles(decoder, tiles), head.tiling, *shape)
        first = last


def exact_samples(
    model: StoredModel, res: tuple[int, int] | None, place: str, interpolate: bool = False
) -> NDArray[np.generic] | None:
    """The stored samples where they answer, in the user's dtype, units and axis order; None where
    the model is to be rendered. Raises NoLatentError where it cannot.

    With `interpolate` samples answer at any resolution where there is no latent.
    """
    found = model.samples
    if found is not None and res not in (None, found.shape):
        found = interpolated(found, res) if interpolate and not model.has_latent else None
    if found is None:
        check_latent(model, place)
        return None
    return found.T if x_first(model.layout) else found


def check_latent(model: StoredModel, place: str) -> None:
    """Raise NoLatentError for a model that only its native grid can be had of."""
    if not model.has_latent:
        raise NoLatentError(
            f"{place}: stored exactly and without a latent, so its own "
            f"{model.tiling.z.samples} x {model.tiling.x.samples} samples are all there is: "
            "compress with --keep-latent (keep_latent=True) to render it elsewhere, or decompress "
            "with --interpolate (interpolate=True) for what lies between its samples"
        )


def array_to_tensor(array: NDArray[np.generic], device: str | torch.device) -> Tensor:
    """Stored samples as `to_tensor` gives renderings."""
    native = np.ascontiguousarray(array.astype(array.dtype.newbyteorder("=")))
    dtype = TORCH_DTYPES.get(native.dtype, torch.int64)
    wide = native if native.dtype in TORCH_DTYPES else native.astype(np.int64)
    return torch.as_tensor(wide, dtype=dtype, device=device)


def to_array(values: Tensor, layout: Layout) -> NDArray[np.generic]:
    """A rendering in m/s as the user's array: dtype, units, axis order."""
    array = from_m_s(values.cpu().numpy(), np.dtype(layout.dtype), layout.units)
    return array.T if x_first(layout) else array


def to_tensor(values: Tensor, layout: Layout) -> Tensor:
    """A rendering in m/s as a tensor where it is, in the user's units and axis order.

    The dtype is the user's, or int64 for an integer type that torch does not compute with.
    """
    dtype = np.dtype(layout.dtype).newbyteorder("=")
    scale = unit_scale(layout.units)
    out = values if scale == 1.0 else values / scale
    if np.issubdtype(dtype, np.integer):
        out = out.round()
    out = out.to(TORCH_DTYPES.get(dtype, torch.int64))
    return out.T if x_first(layout) else out


def sample(decoder: Decoder, model: StoredModel, cells: Float64) -> Float64:
    """Values (P,) in m/s at cell coordinates (x, z), shape (P, 2)."""
    return render_points(decoder, ready_tiles(decoder, model.tiles), model.tiling, cells)


def gradient(decoder: Decoder, model: StoredModel, cells: Float64) -> Float64:
    """Derivatives (P, 2) by x and z, m/s per cell, at cell coordinates (x, z), shape (P, 2)."""
    return render_gradient(decoder, ready_tiles(decoder, model.tiles), model.tiling, cells)


def decoder_for(
    header: Header,
    wanted: str | Path | Decoder | None,
    embedded: Callable[[], Sequence[bytes]],
    device: str,
) -> Decoder:
    """The decoder that a header names, on `device`.

    `wanted`, a loaded decoder or the name, hash or path of one, is looked at first, then those that
    are `embedded` in the archive, the user's folder and the shipped ones. Raises
    MissingDecoderError where none has the archive's hash, DecoderFileError for an embedded one that
    is none.
    """
    if isinstance(wanted, Decoder):
        if wanted.identity != header.decoder_hash:
            raise MissingDecoderError(
                f"the decoder given has hash {(wanted.identity or b'').hex()}, the archive needs "
                f"{header.decoder_name!r} with hash {header.decoder_hash.hex()}"
            )
        return place_decoder(wanted, device)
    if wanted is None:
        for data in embedded():
            found = read_decoder(data)
            if found.identity == header.decoder_hash:
                return place_decoder(found, device)
    entry = registry.find_for_archive(header.decoder_hash, header.decoder_name, wanted)
    return load_decoder(entry.path, device)


def place_decoder(decoder: Decoder, device: str) -> Decoder:
    """The decoder on `device`: itself when it is there, otherwise a copy."""
    if str(decoder.device) == device:
        return decoder
    return copy.deepcopy(decoder).to(device)
