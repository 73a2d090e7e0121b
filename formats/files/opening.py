"""Open models in any format."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from velcodec.formats.errors import OptionError
from velcodec.formats.facts import NO_FACTS, Facts
from velcodec.formats.files.base import Models, Part
from velcodec.formats.files.find import find
from velcodec.formats.files.form import Ground, Hints
from velcodec.formats.files.table import (
    FORMATS,
    FileFormat,
    format_by_suffix,
    format_of,
    named_format,
)
from velcodec.formats.files.zarr_store import is_zarr
from velcodec.formats.no_data import NoData


def open_models(
    where: str | Path | Sequence[str | Path], *, format: str | None = None,
    order: str | None = None, unstated_order: str = "zx", units: str | None = None,
    ground: Ground = Ground(),  # noqa: B008
    array: str | None = None, shape: Sequence[int] | None = None, dtype: str | None = None,
    z_positive: str | None = None, unstated_z_positive: str = "down",
    no_data: NoData | None = None, volume: bool = False,
    facts: Facts = NO_FACTS, unstated: Callable[[int], Mapping[str, Any]] | None = None,
) -> Models:  # fmt: skip
    """The models of a file, a folder, a pattern such as `models/vel*.npy`, or a list of these.

    `format` is detected from names and first bytes unless given. `order` (zx, xz: the array's last
    two axes), `units` and `ground` override what the files say; `unstated_order` is for files that
    give no order. `z_positive` (up, down) is the direction of depth's coordinates, or of the rows
    if there are none; `unstated_z_positive` is for files that do not state it. Models always come
    depth down. `array` names one of a file's arrays; `shape` and `dtype` describe raw files;
    `no_data` (nan or a number) is the value of absent samples. With `volume` arrays are volumes:
    (nz, ny, nx) or (n, nz, ny, nx), or as their axes' names or `order` (such as yxz) say. `facts`
    override what the files say of models as a whole. `unstated`, of a model's number, tells in
    arguments of `Hints` what else holds of the file that begins with this model. No sample is read
    here, except in text headers.

    Raises InputFileError, InputShapeError, InputDtypeError, EmptyInputError, OptionError,
    MissingExtraError.
    """
    forced = named_format(format) if format is not None else None
    sizes = None if shape is None else tuple(shape)
    if sizes is not None and (min(sizes, default=0) < 1 or not 2 <= len(sizes) <= 4):
        raise OptionError(f"shape: found {sizes}, expected sizes such as (70, 100)")
    hints = Hints(order, units, ground, array, sizes, dtype, unstated_order, volume=volume)
    hints = replace(hints, z_positive=z_positive, unstated_z_positive=unstated_z_positive)
    hints = replace(hints, no_data=no_data, facts=facts)
    raw = sizes is not None or dtype is not None

    def fits(path: Path) -> bool:
        # Nothing identifies raw samples, so their suffixes count only on request.
        told = FORMATS["zarr"] if is_zarr(path) else format_by_suffix(path)
        wanted = forced or (FORMATS["raw"] if raw else None)
        return told is wanted if wanted else told is not None and told is not FORMATS["raw"]

    parts: list[Part] = []
    listed = False
    for found in find(where, fits):
        form = forced or (FORMATS["raw"] if raw else format_of(found.path))
        _check_hints(form, found.path, hints)
        listed |= found.listed
        more = {} if unstated is None else unstated(sum(map(len, parts)))
        parts += (
            replace(part, file=found.file) for part in form.read(found.path, replace(hints, **more))
        )
    return Models(_with_distinct_names(parts), listed)


def _with_distinct_names(parts: list[Part]) -> tuple[Part, ...]:
    """Parts with distinct file names: if files in several folders have the same name, the folders
    become part of it.
    """
    paths = {part.path: part for part in parts}
    if len({part.file for part in paths.values()}) == len(paths):
        return tuple(parts)
    whole = {path: path.absolute() for path in paths}
    above = os.path.commonpath([path.parent for path in whole.values()])
    names = {path: Path(os.path.relpath(whole[path], above)).as_posix() for path in paths}
    return tuple(replace(part, file=names[part.path]) for part in parts)


def _check_hints(form: FileFormat, file: Path, hints: Hints) -> None:
    if hints.array is not None and not form.named_arrays:
        raise OptionError(f"{file}: array: a file of format {form.name} holds one without a name")
    if (hints.shape, hints.dtype) != (None, None) and form.name != "raw":
        raise OptionError(f"{file}: shape and dtype are for raw files, found {form.name}")
