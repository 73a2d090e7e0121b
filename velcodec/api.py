"""The verbs that take arrays and give arrays: `compress`, `decompress`, and `encode` under them.

Checks what comes in, names what is wrong, and leaves the work to `velcodec.codec`. Files are the
caller's business, but for the archive bytes themselves.
"""

from __future__ import annotations

import io
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from dataclasses import fields as dataclass_fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from velcodec.archive import GROUND_FIELDS, Archive
from velcodec.formats.columns import Column, as_column, is_text
from velcodec.formats.errors import EmptyInputError, OptionError
from velcodec.formats.header import MAX_HEADER_BYTES, Header, Layout, Source
from velcodec.formats.npy import ModelArray, as_models, read_models
from velcodec.formats.page import MAX_KEY_BYTES
from velcodec.formats.tile_stream import TileCoding
from velcodec.formats.writer import VlatWriter
from velcodec.resolution import Resolution

if TYPE_CHECKING:
    from velcodec.codec.encode import Encoded
    from velcodec.codec.fitting import Fitter
    from velcodec.codec.groups import Batch, GroupEncoder
    from velcodec.decoder import Decoder
    from velcodec.progress import Progress

log = logging.getLogger(__name__)

MOST_METRES = 1e12

SLOWEST_M_S = 20.0
"""No rock is as slow: models that are slower throughout are in km/s."""

Models = NDArray[np.generic] | Sequence[NDArray[np.generic]] | ModelArray | str | os.PathLike[str]


@dataclass(frozen=True)
class Description:
    """What an array does not say of itself; stored with the models.

    `dx`, `dz` and `origin` (x, z) in metres; `units` m/s or km/s; `order` of the last two axes, zx
    or xz; one key for each model, or none for their numbers; free text on provenance and licence;
    `user` any JSON-like mapping; `source_sha256` of the file that the models came from; `fields`
    columns by name, each one value for all models or one for each.
    """

    dx: float = 10.0
    dz: float = 10.0
    origin: tuple[float, float] = (0.0, 0.0)
    units: str = "m/s"
    order: str = "zx"
    keys: Sequence[str] | None = None
    provenance: str = ""
    licence: str = ""
    user: Mapping[str, Any] = field(default_factory=dict)
    source_sha256: bytes | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Coding:
    """How models are coded: what is promised (see `velcodec.codec.promise.Promise`; sizes are the
    whole file's over the models, errors in m/s), fit, decoder and device; `embed_decoder` puts the
    decoder itself into the archive.
    """

    bytes_per_model: float | None = None
    fit: str = "lm"
    decoder: str | Path | Decoder | None = None
    device: str = "auto"
    max_error: float | None = None
    lossless: bool = False
    keep_latent: bool = False
    latent_only: bool = False
    psnr: float | None = None
    embed_decoder: bool = False


def compress(
    models: Models,
    *,
    dx: float = 10.0,
    dz: float = 10.0,
    origin: tuple[float, float] = (0.0, 0.0),
    units: str = "m/s",
    order: str = "zx",
    psnr: float | None = None,
    bytes_per_model: float | None = None,
    max_error: float | None = None,
    lossless: bool = False,
    keep_latent: bool = False,
    latent_only: bool = False,
    fit: str = "lm",
    decoder: str | Path | Decoder | None = None,
    device: str = "auto",
    keys: Sequence[str] | None = None,
    provenance: str = "",
    licence: str = "",
    user: Mapping[str, Any] | None = None,
    fields: Mapping[str, Any] | None = None,
    embed_decoder: bool = False,
    on_progress: Progress | None = None,
) -> bytes:
    """Compress models to the bytes of a `.vlat` archive.

    `models`: an array (nz, nx), (n, nz, nx) or (n, 1, nz, nx) of float32, float64 or integers, the
    path of an `.npy` file that holds one, or a list of (nz, nx) arrays of any shapes. The last two
    axes are [z, x], or [x, z] with order "xz". `dx`, `dz` and `origin` (x, z) are in metres, values
    in `units` (m/s or km/s).

    What is promised is one of: every model at `psnr` dB (over 3000 m/s) or better, the default with
    35; the whole archive in `bytes_per_model`, overhead included, in every 1,000 models; no sample
    off by more than `max_error` (m/s); every sample bit for bit (`lossless`). The fewest bytes are
    sought, by latents and by samples beside them; `latent_only` leaves samples out. Under
    `max_error` and `lossless` only samples are stored, unless `keep_latent`; other grids than the
    native one need a latent. Every model is read back and measured. `fit` is lm, adam or amortised.

    `fields` are columns of metadata, each one value for all models or one for each: texts, numbers
    or booleans. Some names have a meaning: see docs/archives.md. `embed_decoder` puts the decoder
    (about 1 MB) into the archive.

    Warns (logger `velcodec`) of values that look like km/s and of negative ones. Raises
    InputShapeError, InputDtypeError, EmptyInputError, NonFiniteError, InputFileError, OptionError,
    BudgetError, QualityError, VerificationError, MissingDecoderError.
    """
    description = Description(
        dx=dx,
        dz=dz,
        origin=origin,
        units=units,
        order=order,
        keys=keys,
        provenance=provenance,
        licence=licence,
        user=dict(user or {}),
        fields=dict(fields or {}),
    )
    coding = Coding(
        bytes_per_model=bytes_per_model,
        fit=fit,
        decoder=decoder,
        device=device,
        max_error=max_error,
        lossless=lossless,
        keep_latent=keep_latent,
        latent_only=latent_only,
        psnr=psnr,
        embed_decoder=embed_decoder,
    )
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
    """Every model of an archive (bytes or path) as one array, as it went in.

    Shape (the singleton axis too), dtype, units and axis order are the original's; with `res`, N or
    (nz, nx), only the two spatial sizes change. `average` is none for point values, cell for means
    over the cells of the grid, or slowness for means of slowness (see `Archive.decode`). Raises
    MixedShapesError where the models do not stack (take them from `velcodec.open`),
    ResolutionError, MissingDecoderError, NotVlatError, TruncatedError, CorruptError, VersionError.
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
    """Every model as a prefix of its latent tells it: `decompress`, but coarser.

    Of every tile's stream the first `bytes` count, or the first `coefficients`; coefficients beyond
    are zero. The ends of the value range, which stand last in a stream, are known always. Samples
    stored beside a latent do not count. Raises as `decompress`, and OptionError for a model without
    a latent and for bytes that do not reach the first coefficient.
    """
    from velcodec.codec.preview import PreviewArchive
    from velcodec.formats.prefix import Prefix

    prefix = Prefix(bytes, coefficients)
    with PreviewArchive(archive, prefix, decoder=decoder, device=device) as opened:
        return _decode_all(opened, res, allow_large)


def _decode_all(
    opened: Archive, res: Resolution | None, allow_large: bool, average: str = "none"
) -> NDArray[np.generic]:
    """All models as one array with the axes that they came with."""
    numbers = range(len(opened))
    models = opened.decode(numbers, res, average=average, allow_large=allow_large)
    axes = opened.layout(0).axes
    shape = {2: models.shape[1:], 4: (len(models), 1, *models.shape[1:])}
    return models.reshape(shape.get(len(axes), models.shape))


def encode(
    models: Models,
    description: Description | None = None,
    coding: Coding | None = None,
    on_progress: Progress | None = None,
    *,
    advise: bool = True,
) -> Encoded:
    """Compress models to an `Encoded`: the archive's bytes and a summary of what they deliver.

    `on_progress(done, total, stage)` is called as the work goes on. Arguments and errors otherwise
    as for `compress`. Without `advise` nothing is said of values that look like a mistake: for
    callers that encode piece by piece.
    """
    from velcodec.codec.encode import Encoded
    from velcodec.writing import create

    about, how = description or Description(), coding or Coding()
    if isinstance(models, (str, os.PathLike)):
        models = read_models(Path(models), order=about.order, units=about.units)
        about = replace(about, source_sha256=about.source_sha256 or models.sha256)
    batch = make_batch(models, about, about.keys, about.fields, advise=advise)
    stream = io.BytesIO()
    with create(stream, description=about, on_progress=on_progress, **settings_of(how)) as archive:
        archive.add_batch(batch)
    data, summary = stream.getvalue(), archive.summary
    assert summary is not None
    return Encoded(data, replace(summary, bytes=len(data)))


def settings_of(how: Coding) -> dict[str, Any]:
    """A coding as keyword arguments."""
    return {each.name: getattr(how, each.name) for each in dataclass_fields(how)}


def group_encoder(
    about: Description,
    how: Coding,
    begin: Callable[[Header], VlatWriter],
    writer: VlatWriter | None = None,
    on_progress: Progress | None = None,
) -> GroupEncoder:
    """What encodes batches to the archive of `writer`, or of the one that `begin` makes.

    Raises OptionError, MissingDecoderError.
    """
    from velcodec.codec.groups import GroupEncoder
    from velcodec.codec.promise import Promise
    from velcodec.codec.write import RANGE_STEP_M_S

    check_geometry(about)
    promise = Promise(
        how.psnr,
        how.max_error,
        how.lossless,
        how.bytes_per_model,
        how.keep_latent,
        how.latent_only,
    )
    fitter = make_fitter(how, on_progress)
    template = Header(
        decoder_hash=fitter.decoder.identity or b"",
        decoder_name=fitter.decoder.name,
        layouts=(Layout(1, 1),),
        coding=TileCoding.for_tiles([], [], [], RANGE_STEP_M_S),
        source=Source(about.source_sha256),
        provenance=about.provenance,
        licence=about.licence,
        user=dict(about.user),
    )
    _check_storable(template)
    return GroupEncoder(fitter, promise, template, begin, writer)


def make_batch(
    models: NDArray[np.generic] | Sequence[NDArray[np.generic]] | ModelArray,
    about: Description,
    keys: Sequence[str] | None,
    fields: Mapping[str, Any],
    *,
    advise: bool = True,
) -> Batch:
    """Checked models with their layouts, keys and columns; `advise` of values that look wrong."""
    from velcodec.codec.groups import Batch

    check_geometry(about)
    views, layouts, layout_of = _gather(models, about)
    if advise:
        name = models.name if isinstance(models, ModelArray) else "models"
        _warn_of_values(views, layouts[0].units, name)
    columns = {name: _column(value, len(views), name) for name, value in fields.items()}
    return Batch(views, layouts, layout_of, _keys(keys, len(views)), columns)


def _column(value: Any, count: int, name: str) -> Column:
    """A field's column: one value for all models, or one for each."""
    if isinstance(value, str) or np.ndim(value) == 0:
        value = np.full(count, value, dtype=object if isinstance(value, str) else None)
    column = as_column(value, count, name)
    if name in GROUND_FIELDS:
        _check_ground(column, name)
    return column


def _check_ground(column: Column, name: str) -> None:
    """OptionError unless a field that places models holds metres; not a number where unknown."""
    if column.dtype == object:
        raise OptionError(f"field {name!r}: found {column[0]!r}, expected metres")
    known = column[~np.isnan(column)]
    spacing = not name.startswith("origin")
    wrong = known[~(np.abs(known) < MOST_METRES) | (spacing & (known <= 0))]
    if len(wrong):
        what = "a positive number of metres" if spacing else "metres"
        raise OptionError(f"field {name!r}: found {wrong[0]}, expected {what}")


def make_fitter(how: Coding, on_progress: Progress | None = None) -> Fitter:
    """The decoder, its encoder and the method that `how` asks for, ready to fit with.

    Raises OptionError, MissingDecoderError.
    """
    from velcodec.codec import fitting
    from velcodec.codec.output import place_decoder
    from velcodec.decoder import Decoder, load_decoder
    from velcodec.device import pick_device
    from velcodec.progress import no_progress

    place = str(pick_device(how.device))
    if isinstance(how.decoder, Decoder):
        decoder = place_decoder(how.decoder, place)
    else:
        decoder = load_decoder(how.decoder, place)
    return fitting.make_fitter(decoder, how.fit, on_progress or no_progress)


def _gather(
    models: NDArray[np.generic] | Sequence[NDArray[np.generic]] | ModelArray, about: Description
) -> tuple[list[NDArray[np.generic]], tuple[Layout, ...], NDArray[np.int64]]:
    """The models as [z, x] views, their layouts, and which layout each has."""
    if isinstance(models, ModelArray):
        parts = [models]
    elif isinstance(models, np.ndarray):
        parts = [as_models(models, order=about.order, units=about.units)]
    else:
        parts = [as_models(np.asarray(m), order=about.order, units=about.units) for m in models]
        if not parts:
            raise EmptyInputError("models: expected at least one, found an empty list")
    in_list = not isinstance(models, (ModelArray, np.ndarray))
    views: list[NDArray[np.generic]] = []
    layouts: dict[Layout, int] = {}
    layout_of: list[int] = []
    for part in parts:
        axes = "n" + part.axes if in_list and len(part.axes) == 2 else part.axes
        nz, nx = part.models.shape[1:]
        layout = Layout(
            nz=nz,
            nx=nx,
            axes=axes,
            dtype=part.dtype.str,
            units=part.units,
            dx_m=float(about.dx),
            dz_m=float(about.dz),
            origin_x_m=float(about.origin[0]),
            origin_z_m=float(about.origin[1]),
        )
        number = layouts.setdefault(layout, len(layouts))
        views.extend(part.models)
        layout_of.extend([number] * len(part.models))
    return views, tuple(layouts), np.array(layout_of, dtype=np.int64)


def _warn_of_values(models: Sequence[NDArray[np.generic]], units: str, name: str) -> None:
    """Log what is allowed and yet likely a mistake."""
    least = min(float(model.min()) for model in models)
    greatest = max(float(model.max()) for model in models)
    if least < 0:
        log.warning("%s: found negative velocities, down to %g %s", name, least, units)
    elif greatest < SLOWEST_M_S and units == "m/s":
        log.warning(
            "%s: all velocities are below %g m/s; if they are in km/s, say so with --units km/s "
            "(units='km/s')",
            name,
            SLOWEST_M_S,
        )


def check_geometry(about: Description) -> None:
    """OptionError unless spacing is positive and every length is finite and sane."""
    for name, metres in (("dx", about.dx), ("dz", about.dz)):
        if not 0 < metres < MOST_METRES:
            raise OptionError(f"{name}: expected a positive number of metres, found {metres}")
    if len(about.origin) != 2 or not all(abs(metres) < MOST_METRES for metres in about.origin):
        raise OptionError(f"origin: expected (x, z) in metres, found {about.origin}")


def _check_storable(header: Header) -> None:
    """OptionError where free text or user fields are not what a header can hold."""
    try:
        size = len(header.to_bytes())
    except (TypeError, ValueError, OverflowError) as error:
        raise OptionError(f"metadata: expected text and JSON-like fields: {error}") from error
    if size > MAX_HEADER_BYTES:
        raise OptionError(f"metadata: found {size} bytes, expected at most {MAX_HEADER_BYTES}")


def _keys(keys: Sequence[str] | None, models: int) -> tuple[str, ...] | None:
    if keys is None:
        return None
    found = tuple(str(key) for key in keys)
    if len(found) != models:
        raise OptionError(f"keys: expected one for each of {models} models, found {len(found)}")
    for key in found:
        if not is_text(key):
            raise OptionError(f"key {key!r}: expected text that UTF-8 can hold")
    longest = max(found, key=lambda key: len(key.encode()))
    if len(longest.encode()) > MAX_KEY_BYTES:
        raise OptionError(f"keys: {longest[:40]!r}... is longer than {MAX_KEY_BYTES} bytes")
    if len(set(found)) != models:
        twice = next(key for i, key in enumerate(found) if key in found[:i])
        raise OptionError(f"keys: {twice!r} is given twice, expected different keys")
    return found
