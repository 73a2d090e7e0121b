"""Arrays in, arrays out: `compress`, `decompress`, `preview`, and `encode` beneath them.

Checks the input and leaves the work to `velcodec.encode`. Apart from archives and `.npy` inputs it
handles no files.
"""

from __future__ import annotations

import io
import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from velcodec.archive.archive import Archive
from velcodec.archive.create import create_archive
from velcodec.archive.preview import PreviewArchive
from velcodec.effort import DEFAULT_EFFORT
from velcodec.encode.describe import make_batch, warn_of_unused_mask
from velcodec.encode.description import Description
from velcodec.encode.setup import Coding
from velcodec.encode.target import Target
from velcodec.formats.extras import need_torch
from velcodec.formats.files.npy import ModelArray, read_models
from velcodec.formats.latent_coding.prefix import Prefix
from velcodec.formats.no_data import NoData
from velcodec.progress import Progress
from velcodec.resolution import Resolution

if TYPE_CHECKING:
    from velcodec.decoder import Decoder
    from velcodec.encode.encode import Encoded

log = logging.getLogger(__name__)

Models = NDArray[np.generic] | Sequence[NDArray[np.generic]] | ModelArray | str | os.PathLike[str]


def compress(
    models: Models,
    *,
    dx: float | None = None,
    dz: float | None = None,
    origin: tuple[float, float] | None = None,
    units: str | None = None,
    order: str | None = None,
    mask: NoData | None = None,
    volume: bool = False,
    dy: float | None = None,
    origin_y: float | None = None,
    psnr: float | None = None,
    bytes_per_model: float | None = None,
    max_error: float | None = None,
    lossless: bool = False,
    keep_latent: bool = False,
    latent_only: bool = False,
    effort: int = DEFAULT_EFFORT,
    decoder: str | Path | Decoder | None = None,
    device: str = "auto",
    keys: Sequence[str] | None = None,
    provenance: str = "",
    licence: str = "",
    facts: Mapping[str, Any] | None = None,
    user: Mapping[str, Any] | None = None,
    fields: Mapping[str, Any] | None = None,
    embed_decoder: bool = False,
    on_progress: Progress | None = None,
) -> bytes:
    """Compress models to the bytes of a `.vlat` archive.

    `models` is an array (nz, nx), (n, nz, nx) or (n, 1, nz, nx) of float32, float64 or integers,
    the path of an `.npy` file with such an array, or a list of (nz, nx) arrays of any shapes. The
    last two axes are [z, x], or [x, z] with order "xz". Tensors count as arrays, and so do masked
    arrays that mask nothing. The dimensions, coordinates and units of an xarray DataArray apply
    where no argument overrides them. `dx`, `dz` and `origin` (x, z) are in metres (10, 10 and (0,
    0) if not stated), values in `units` (m/s or km/s; m/s if not stated).

    With `volume` models have three axes, (nz, ny, nx) or (n, nz, ny, nx), or in another `order`
    such as yxz; `dy` and `origin_y` (metres) are those along y. Volumes are stored as samples, in
    bricks that are read on their own (`Archive.box`).

    Samples equal to `mask` ("nan", or a number of the models' dtype) are absent. They come back
    with that value at the native grid, and at other grids wherever the nearest sample is absent.
    Promises hold for the other samples.

    Promise one of: every model at `psnr` dB (over 3000 m/s) or better, 35 by default; the whole
    archive, overhead included, within `bytes_per_model`, and every 1,000 models too; no sample off
    by more than `max_error` (m/s); every sample bit for bit (`lossless`). The encoder looks for the
    fewest bytes, with latents or samples. `latent_only` stores no samples; `keep_latent` stores a
    latent beside samples (not with a size). Both define a field that renders at any grid. Every
    model is read back and measured. `effort` is 1, the fastest, to
    9, the fewest bytes.

    `facts` holds for all models: texts called title, creator, citation, doi, crs, vertical or datum
    (docs/metadata.md); `licence` and `provenance` are two more. `fields` are columns of metadata:
    text, numbers or booleans, one value for all models or one for each. docs/archives.md lists the
    names with a meaning. `embed_decoder` puts the decoder (about 1 MB) into the archive.

    Without stated units, values that look like km/s raise UnitsError, or log a warning (logger
    `velcodec`) if the archive is lossless; negative values always log one. Raises InputShapeError,
    InputDtypeError, EmptyInputError, NonFiniteError, InputFileError, OptionError, BudgetError,
    QualityError, VerificationError, MissingDecoderError.
    """
    need_torch("velcodec.compress")
    description = Description(
        dx=dx,
        dz=dz,
        origin=origin,
        units=units,
        order=order,
        keys=keys,
        provenance=provenance,
        licence=licence,
        facts=dict(facts or {}),
        user=dict(user or {}),
        fields=dict(fields or {}),
        mask=mask,
        volume=volume,
        dy=dy,
        origin_y=origin_y,
    )
    target = Target(psnr, max_error, lossless, bytes_per_model, keep_latent, latent_only)
    coding = Coding(target, effort, decoder, device, embed_decoder)
    return encode(models, description, coding, on_progress).data


def decompress(
    archive: bytes | str | Path | BinaryIO,
    res: Resolution | None = None,
    *,
    decoder: str | Path | Decoder | None = None,
    device: str = "cpu",
    average: str = "none",
    allow_large: bool = False,
) -> NDArray[np.generic]:
    """Decode every model of an archive (bytes, path or file) to one array.

    Shape (the singleton axis too), dtype, units and axis order are the original's; `res`, N or
    (nz, nx), changes only the two spatial sizes. `average` is none for point values, cell for means
    over the cells of the grid, or slowness for means of slowness (see `Archive.decode`). Raises
    MixedShapesError if the models do not stack (use `velcodec.open` then), ResolutionError,
    MissingDecoderError, NotVlatError, TruncatedError, CorruptError, VersionError.
    """
    with Archive(archive, decoder=decoder, device=device) as opened:
        return _decode_all(opened, res, allow_large, average)


def preview(
    archive: bytes | str | Path | BinaryIO,
    res: Resolution | None = None,
    *,
    bytes: int | None = None,
    coefficients: int | None = None,
    decoder: str | Path | Decoder | None = None,
    device: str = "cpu",
    allow_large: bool = False,
) -> NDArray[np.generic]:
    """Decode every model from a prefix of its latent: as `decompress`, but coarser.

    Uses the first `bytes` of every tile's stream, or its first `coefficients`; the others are zero.
    The ends of the value range, stored last, are always known. Samples stored beside a latent are
    ignored. Raises as `decompress`, and OptionError for a model without a latent or too few bytes
    for the first coefficient.
    """
    prefix = Prefix(bytes, coefficients)
    with PreviewArchive(archive, prefix, decoder=decoder, device=device) as opened:
        return _decode_all(opened, res, allow_large)


def _decode_all(
    opened: Archive, res: Resolution | None, allow_large: bool, average: str = "none"
) -> NDArray[np.generic]:
    """All models as one array, with the axes of the input."""
    numbers = range(len(opened))
    models = opened.decode(numbers, res, average=average, allow_large=allow_large)
    axes = opened.layout(0).axes
    if "y" in axes:
        return models if "n" in axes or len(models) > 1 else models[0]
    shape = {2: models.shape[1:], 4: (len(models), 1, *models.shape[1:])}
    return models.reshape(shape.get(len(axes), models.shape))


def encode(
    models: Models,
    description: Description | None = None,
    coding: Coding | None = None,
    on_progress: Progress | None = None,
    *,
    advise: bool = True,
    padded: bool = False,
) -> Encoded:
    """Compress models to an `Encoded`: the archive's bytes and a summary.

    Calls `on_progress(done, total, stage)` during the work. Other arguments and errors are those
    of `compress`. `advise=False` suppresses warnings about suspicious values, for callers that
    encode piece by piece; `padded` as for `make_batch`.
    """
    from velcodec.encode.encode import Encoded

    description, coding = description or Description(), coding or Coding()
    if isinstance(models, (str, os.PathLike)):
        models = read_models(
            Path(models), order=description.axis_order, units=description.units,
            no_data=description.mask, volume=description.volume,
        )  # fmt: skip
        description = replace(description, source_sha256=description.source_sha256 or models.sha256)
    batch = make_batch(
        models, description, description.keys, description.fields,
        advise=advise, padded=padded, exact=coding.target.lossless,
    )  # fmt: skip
    stream = io.BytesIO()
    with create_archive(stream, description, coding, on_progress=on_progress) as archive:
        archive.add_batch(batch)
    data, summary = stream.getvalue(), archive.summary
    assert summary is not None
    if advise:
        name = models.name if isinstance(models, ModelArray) else "models"
        warn_of_unused_mask(description.mask, summary.masked, name)
    return Encoded(data, replace(summary, bytes=len(data)))
