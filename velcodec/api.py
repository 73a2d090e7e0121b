"""The verbs that take arrays and give arrays: `compress`, `decompress`, and `encode` under them.

Checks what comes in, names what is wrong, and leaves the work to `velcodec.encode`. Files are the
caller's business, but for the archive bytes themselves.
"""

from __future__ import annotations

import io
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from velcodec.archive.archive import GROUND_FIELDS, Archive
from velcodec.arrays import is_array, labelled, plain_array
from velcodec.encode.target import Target
from velcodec.formats.container.columns import Column, as_column, is_text
from velcodec.formats.container.header import MAX_HEADER_BYTES, Header, Layout, Source
from velcodec.formats.container.page import MAX_KEY_BYTES
from velcodec.formats.container.writer import VlatWriter
from velcodec.formats.errors import EmptyInputError, OptionError, UnitsError
from velcodec.formats.files.base import Ground, Hints
from velcodec.formats.files.npy import ModelArray, as_models, read_models
from velcodec.formats.latent_coding.stream import TileCoding
from velcodec.formats.no_data import NoData, find_absent, no_data_of
from velcodec.resolution import Resolution

if TYPE_CHECKING:
    from velcodec.decoder import Decoder
    from velcodec.encode.encode import Encoded
    from velcodec.encode.fitting import Fitter
    from velcodec.encode.groups import Batch, GroupEncoder
    from velcodec.progress import Progress

log = logging.getLogger(__name__)

MOST_METRES = 1e12

SLOWEST_M_S = 20.0
"""No rock is as slow: models that are slower throughout are in km/s, or no velocities."""

Models = NDArray[np.generic] | Sequence[NDArray[np.generic]] | ModelArray | str | os.PathLike[str]


@dataclass(frozen=True)
class Description:
    """What an array does not say of itself; stored with the models.

    `dx`, `dz` and `origin` (x, z) in metres; `units` m/s or km/s, None for m/s where no values tell
    otherwise; `order` of the last two axes, zx
    or xz; one key for each model, or none for their numbers; free text on provenance and licence;
    `user` any JSON-like mapping; `source_sha256` of the file that the models came from; `fields`
    columns by name, each one value for all models or one for each; `mask` the value, nan or a
    number, of samples that are absent.
    """

    dx: float = 10.0
    dz: float = 10.0
    origin: tuple[float, float] = (0.0, 0.0)
    units: str | None = None
    order: str = "zx"
    keys: Sequence[str] | None = None
    provenance: str = ""
    licence: str = ""
    user: Mapping[str, Any] = field(default_factory=dict)
    source_sha256: bytes | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)
    mask: NoData | None = None


@dataclass(frozen=True)
class Coding:
    """How models are coded: the target, fit, decoder and device; `embed_decoder` puts the decoder
    itself into the archive.
    """

    target: Target = field(default_factory=Target)
    fit: str = "lm"
    decoder: str | Path | Decoder | None = None
    device: str = "auto"
    embed_decoder: bool = False


def compress(
    models: Models,
    *,
    dx: float = 10.0,
    dz: float = 10.0,
    origin: tuple[float, float] = (0.0, 0.0),
    units: str | None = None,
    order: str = "zx",
    mask: NoData | None = None,
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
    axes are [z, x], or [x, z] with order "xz". Tensors are taken as arrays, and so are masked
    arrays that mask nothing; of an xarray DataArray what its dimensions, coordinates and units say
    counts where no argument says otherwise. `dx`, `dz` and `origin` (x, z) are in metres, values
    in `units` (m/s or km/s; where none are stated, m/s).

    Samples that are `mask` ("nan", or a number of the models' dtype) are absent: they come back as
    that at the native grid, and at others where they are nearest; what is promised holds for the
    rest.

    What is promised is one of: every model at `psnr` dB (over 3000 m/s) or better, the default with
    35; the whole archive in `bytes_per_model`, overhead included, in every 1,000 models; no sample
    off by more than `max_error` (m/s); every sample bit for bit (`lossless`). The fewest bytes are
    sought, by latents or by samples; `latent_only` leaves samples out, `keep_latent` keeps a latent
    beside samples (not with a size). Either is a field that any grid can be rendered of. Every
    model is read back and measured. `fit` is lm, adam or amortised.

    `fields` are columns of metadata, each one value for all models or one for each: texts, numbers
    or booleans. Some names have a meaning: see docs/archives.md. `embed_decoder` puts the decoder
    (about 1 MB) into the archive.

    Values that look like km/s where no units are stated are refused (UnitsError), or warned of
    (logger `velcodec`) where nothing is lost; negative ones are warned of. Raises InputShapeError,
    InputDtypeError, EmptyInputError, NonFiniteError, InputFileError, OptionError, BudgetError,
    QualityError, VerificationError, MissingDecoderError.
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
        mask=mask,
    )
    target = Target(psnr, max_error, lossless, bytes_per_model, keep_latent, latent_only)
    coding = Coding(target, fit, decoder, device, embed_decoder)
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
    from velcodec.archive.preview import PreviewArchive
    from velcodec.formats.latent_coding.prefix import Prefix

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
    padded: bool = False,
) -> Encoded:
    """Compress models to an `Encoded`: the archive's bytes and a summary of what they deliver.

    `on_progress(done, total, stage)` is called as the work goes on. Arguments and errors otherwise
    as for `compress`. Without `advise` nothing is said of values that look like a mistake: for
    callers that encode piece by piece; `padded` as for `make_batch`.
    """
    from velcodec.archive.create import create_archive
    from velcodec.encode.encode import Encoded

    about, how = description or Description(), coding or Coding()
    if isinstance(models, (str, os.PathLike)):
        models = read_models(Path(models), order=about.order, units=about.units, no_data=about.mask)
        about = replace(about, source_sha256=about.source_sha256 or models.sha256)
    batch = make_batch(
        models, about, about.keys, about.fields,
        advise=advise, padded=padded, exact=how.target.lossless,
    )  # fmt: skip
    stream = io.BytesIO()
    with create_archive(stream, about, how, on_progress=on_progress) as archive:
        archive.add_batch(batch)
    data, summary = stream.getvalue(), archive.summary
    assert summary is not None
    return Encoded(data, replace(summary, bytes=len(data)))


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
    from velcodec.encode.groups import GroupEncoder
    from velcodec.encode.pack import RANGE_STEP_M_S

    check_geometry(about)
    fitter = make_fitter(how, on_progress)
    template = Header(
        decoder_hash=fitter.decoder.identity or b"",
        decoder_name=fitter.decoder.name,
        layouts=(Layout(1, 1),),
        coding=TileCoding.for_tiles([], [], [], RANGE_STEP_M_S),
        source=Source(about.source_sha256),
        provenance=about.provenance,
        licence=about.licence,
        user=_plain(about.user),
    )
    _check_storable(template)
    return GroupEncoder(fitter, how.target, template, begin, writer)


def make_batch(
    models: NDArray[np.generic] | Sequence[NDArray[np.generic]] | ModelArray,
    about: Description,
    keys: Sequence[str] | None,
    fields: Mapping[str, Any],
    *,
    advise: bool = True,
    padded: bool = False,
    exact: bool = False,
    first: int = 0,
) -> Batch:
    """Checked models with their layouts, keys and columns; `advise` of values that look wrong.

    `padded` arrays are pieces of others: no sample of theirs is taken for a mark of no data. Where
    units are not stated, models of values that tell otherwise are refused unless they are to be
    stored `exact`ly; errors number them from `first` on.
    """
    from velcodec.encode.groups import Batch

    check_geometry(about)
    gathered = _gather(models, about, padded, None if exact else first)
    views, layouts, layout_of = gathered.views, gathered.layouts, gathered.layout_of
    if advise:
        name = models.name if isinstance(models, ModelArray) else "models"
        known = [
            _present(view, layouts[k].no_data) for view, k in zip(views, layout_of, strict=True)
        ]
        _warn_of_values(known, layouts[0].units, name, gathered.units_stated)
    columns = {name: _column(value, len(views), name) for name, value in fields.items()}
    return Batch(views, layouts, layout_of, _keys(keys or gathered.keys, len(views)), columns)


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
    from velcodec.decode.output import place_decoder
    from velcodec.decoder import Decoder, load_decoder
    from velcodec.device import pick_device
    from velcodec.encode import fitting
    from velcodec.progress import no_progress

    place = str(pick_device(how.device))
    if isinstance(how.decoder, Decoder):
        decoder = place_decoder(how.decoder, place)
    else:
        decoder = load_decoder(how.decoder, place)
    return fitting.make_fitter(decoder, how.fit, on_progress or no_progress)


def _gather(
    models: NDArray[np.generic] | Sequence[NDArray[np.generic]] | ModelArray,
    about: Description,
    padded: bool,
    first: int | None,
) -> _Gathered:
    """The models with what is known of them. Their units are checked, numbers from `first` on, or
    not where it is None.
    """
    in_list = not isinstance(models, ModelArray) and not is_array(models)
    if isinstance(models, ModelArray):
        parts = [_Taken(models, about)]
    elif not in_list:
        parts = [_taken(models, about, "array", padded)]
    else:
        parts = [_taken(m, about, f"models[{i}]", padded) for i, m in enumerate(models)]
        if not parts:
            raise EmptyInputError("models: expected at least one, found an empty list")
    views: list[NDArray[np.generic]] = []
    layouts: dict[Layout, int] = {}
    layout_of: list[int] = []
    for taken in parts:
        part, own = taken.array, taken.about
        no_data = no_data_of(about.mask, part.dtype, part.name)
        if first is not None:
            _check_units(part, first + len(views), no_data)
        axes = "n" + part.axes if in_list and len(part.axes) == 2 else part.axes
        nz, nx = part.models.shape[1:]
        layout = Layout(
            nz=nz,
            nx=nx,
            axes=axes,
            dtype=part.dtype.str,
            units=part.units,
            dx_m=float(own.dx),
            dz_m=float(own.dz),
            origin_x_m=float(own.origin[0]),
            origin_z_m=float(own.origin[1]),
            z_up=part.z_up,
            no_data=no_data,
        )
        number = layouts.setdefault(layout, len(layouts))
        views.extend(part.models)
        layout_of.extend([number] * len(part.models))
    units = {layout.units for layout in layouts}
    if len(units) > 1:
        raise OptionError(f"units: found {sorted(units)}, expected the same in all models")
    return _Gathered(
        views,
        tuple(layouts),
        np.array(layout_of, dtype=np.int64),
        None if in_list else parts[0].keys,
        all(taken.array.units_stated for taken in parts),
    )


@dataclass(frozen=True)
class _Gathered:
    """Models as [z, x] views, their layouts, which layout each has, their own keys, and whether the
    units of all were stated.
    """

    views: list[NDArray[np.generic]]
    layouts: tuple[Layout, ...]
    layout_of: NDArray[np.int64]
    keys: Sequence[str] | None
    units_stated: bool


@dataclass(frozen=True)
class _Taken:
    """An array of models with what it, or the caller, says of them."""

    array: ModelArray
    about: Description
    keys: Sequence[str] | None = None


def _taken(models: Any, about: Description, name: str, padded: bool) -> _Taken:
    """One array, checked."""
    # What is as it is by default was not stated.
    usual = Description()

    def stated(name: str) -> Any:
        value = getattr(about, name)
        return None if value == getattr(usual, name) else value

    x, z = stated("origin") or (None, None)
    ground = Ground(stated("dx"), stated("dz"), x, z)
    hints = Hints(stated("order"), stated("units"), ground, no_data=about.mask)
    found = labelled(models, hints, name)
    if found is None:
        taken = as_models(
            plain_array(models, name, about.mask),
            order=about.order, units=about.units, name=name, padded=padded, no_data=about.mask,
        )  # fmt: skip
        return _Taken(taken, about)
    form, own = found.form, found.form.ground
    array = replace(
        as_models(found.models, units=form.units or about.units, name=name, no_data=about.mask),
        axes=form.axes,
        z_up=form.z_up,
    )
    about = replace(
        about,
        dx=own.dx_m or about.dx,
        dz=own.dz_m or about.dz,
        origin=(
            about.origin[0] if own.origin_x_m is None else own.origin_x_m,
            about.origin[1] if own.origin_z_m is None else own.origin_z_m,
        ),
    )
    return _Taken(array, about, form.keys)


def _present(model: NDArray[np.generic], no_data: NoData | None) -> NDArray[np.generic]:
    """The samples that are there; of a model with absent ones the least and the greatest."""
    if no_data is None:
        return model
    there = model[~find_absent(model, no_data)]
    return np.array([there.min(), there.max()])


def _check_units(part: ModelArray, first: int, no_data: NoData | None) -> None:
    """Raise UnitsError for a model whose values are no velocities in m/s, where nobody said that
    they are: what is promised in m/s, and over 3000 m/s, would leave nothing of it.
    """
    if part.units_stated:
        return
    for number, model in enumerate(part.models, start=first):
        there = _present(model, no_data)
        least, greatest = float(there.min()), float(there.max())
        if least < greatest and max(-least, greatest) < SLOWEST_M_S:
            raise UnitsError(
                f"{part.name}: model {number}: found values from {least:g} to {greatest:g} and no "
                "units, expected velocities in m/s: say --units km/s (units='km/s') where they are "
                "in km/s, --units m/s (units='m/s') where they are not"
            )


def _warn_of_values(
    models: Sequence[NDArray[np.generic]], units: str, name: str, stated: bool
) -> None:
    """Log what is allowed and yet likely a mistake."""
    least = min(float(model.min()) for model in models)
    if least < 0:
        log.warning("%s: found negative velocities, down to %g %s", name, least, units)
    elif not stated:
        slow = sum(0 < float(model.max()) < SLOWEST_M_S for model in models)
        if slow:
            log.warning(
                "%s: all velocities of %d of %d models are below %g m/s; if they are in km/s, say "
                "so with --units km/s (units='km/s')",
                name,
                slow,
                len(models),
                SLOWEST_M_S,
            )


def check_geometry(about: Description) -> None:
    """OptionError unless spacing is positive and every length is finite and sane."""
    for name, metres in (("dx", about.dx), ("dz", about.dz)):
        if not 0 < metres < MOST_METRES:
            raise OptionError(f"{name}: expected a positive number of metres, found {metres}")
    if len(about.origin) != 2 or not all(abs(metres) < MOST_METRES for metres in about.origin):
        raise OptionError(f"origin: expected (x, z) in metres, found {about.origin}")


def _plain(value: Any) -> Any:
    """User's values with NumPy's numbers and arrays as Python's, which are what a header holds."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, list | tuple) else value


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
