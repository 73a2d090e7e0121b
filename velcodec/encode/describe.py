"""Models as they are handed over: described, checked, and gathered for the encoder."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from velcodec.arrays import is_array, labelled, plain_array
from velcodec.formats.arrays import Int64
from velcodec.formats.container.columns import Column, as_column, is_text, take_fields
from velcodec.formats.container.header import Layout
from velcodec.formats.container.page import MAX_KEY_BYTES
from velcodec.formats.errors import EmptyInputError, OptionError, UnitsError
from velcodec.formats.files.base import Ground, Hints
from velcodec.formats.files.npy import ModelArray, as_models
from velcodec.formats.no_data import NoData, find_absent, no_data_of
from velcodec.geometry import GROUND_FIELDS

log = logging.getLogger(__name__)

MOST_METRES = 1e12

SLOWEST_M_S = 20.0
"""No rock is as slow: models that are slower throughout are in km/s, or no velocities."""


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
class Batch:
    """Some models: [z, x] views, all in the units of their layouts, with `layout_of` each of them
    in `layouts`, whose no-data value stands in place of absent samples; keys or None; columns of
    the user's.
    """

    models: Sequence[NDArray[np.generic]]
    layouts: tuple[Layout, ...]
    layout_of: Int64
    keys: Sequence[str] | None = None
    fields: Mapping[str, Column] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.models)

    def part(self, some: slice) -> Batch:
        """Neighbouring models of this batch, with the layouts that they have."""
        used, layout_of = np.unique(self.layout_of[some], return_inverse=True)
        return Batch(
            self.models[some],
            tuple(self.layouts[int(number)] for number in used),
            layout_of.astype(np.int64),
            None if self.keys is None else self.keys[some],
            take_fields(self.fields, some),
        )


def make_batch(
    models: NDArray[np.generic] | Sequence[NDArray[np.generic]] | ModelArray,
    description: Description,
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
    check_geometry(description)
    gathered = _gather(models, description, padded, None if exact else first)
    views, layouts, layout_of = gathered.views, gathered.layouts, gathered.layout_of
    name = models.name if isinstance(models, ModelArray) else "models"
    known: Sequence[NDArray[np.generic]] = views
    if description.mask is not None:
        known = [
            _present(view, layouts[k].no_data) for view, k in zip(views, layout_of, strict=True)
        ]
        _check_mask_outside(known, [layouts[k].no_data for k in layout_of], name)
    if advise:
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


def _gather(
    models: NDArray[np.generic] | Sequence[NDArray[np.generic]] | ModelArray,
    description: Description,
    padded: bool,
    first: int | None,
) -> _Gathered:
    """The models with what is known of them. Their units are checked, numbers from `first` on, or
    not where it is None.
    """
    in_list = not isinstance(models, ModelArray) and not is_array(models)
    if isinstance(models, ModelArray):
        parts = [_Taken(models, description)]
    elif not in_list:
        parts = [_taken(models, description, "array", padded)]
    else:
        parts = [_taken(m, description, f"models[{i}]", padded) for i, m in enumerate(models)]
        if not parts:
            raise EmptyInputError("models: expected at least one, found an empty list")
    views: list[NDArray[np.generic]] = []
    layouts: dict[Layout, int] = {}
    layout_of: list[int] = []
    for taken in parts:
        part, own = taken.array, taken.description
        no_data = no_data_of(description.mask, part.dtype, part.name)
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
    description: Description
    keys: Sequence[str] | None = None


def _taken(models: Any, description: Description, name: str, padded: bool) -> _Taken:
    """One array, checked."""
    # What is as it is by default was not stated.
    usual = Description()

    def stated(name: str) -> Any:
        value = getattr(description, name)
        return None if value == getattr(usual, name) else value

    x, z = stated("origin") or (None, None)
    ground = Ground(stated("dx"), stated("dz"), x, z)
    hints = Hints(stated("order"), stated("units"), ground, no_data=description.mask)
    found = labelled(models, hints, name)
    if found is None:
        taken = as_models(
            plain_array(models, name, description.mask),
            order=description.order, units=description.units,
            name=name, padded=padded, no_data=description.mask,
        )  # fmt: skip
        return _Taken(taken, description)
    form, own = found.form, found.form.ground
    array = replace(
        as_models(
            found.models, units=form.units or description.units, name=name, no_data=description.mask
        ),
        axes=form.axes,
        z_up=form.z_up,
    )
    description = replace(
        description,
        dx=own.dx_m or description.dx,
        dz=own.dz_m or description.dz,
        origin=(
            description.origin[0] if own.origin_x_m is None else own.origin_x_m,
            description.origin[1] if own.origin_z_m is None else own.origin_z_m,
        ),
    )
    return _Taken(array, description, form.keys)


def _present(model: NDArray[np.generic], no_data: NoData | None) -> NDArray[np.generic]:
    """The samples that are there; of a model with absent ones the least and the greatest."""
    if no_data is None:
        return model
    there = model[~find_absent(model, no_data)]
    return np.array([there.min(), there.max()])


def _check_mask_outside(
    present: Sequence[NDArray[np.generic]], no_data: Sequence[NoData | None], name: str
) -> None:
    """Raise OptionError for a no-data value between samples that are there: what is decoded, or
    rendered at another grid, lies anywhere between them, and would be taken for absent.
    """
    for value in dict.fromkeys(no_data):
        if value is None or isinstance(value, str):
            continue
        some = [model for model, own in zip(present, no_data, strict=True) if own == value]
        least = min(model.min().item() for model in some)
        greatest = max(model.max().item() for model in some)
        if least < value < greatest:
            raise OptionError(
                f"{name}: mask: found {value}, which lies among the velocities, {least:g} to "
                f"{greatest:g}, and could not be told from them; expected a value outside"
            )


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


def check_geometry(description: Description) -> None:
    """OptionError unless spacing is positive and every length is finite and sane."""
    for name, metres in (("dx", description.dx), ("dz", description.dz)):
        if not 0 < metres < MOST_METRES:
            raise OptionError(f"{name}: expected a positive number of metres, found {metres}")
    if len(description.origin) != 2 or not all(
        abs(metres) < MOST_METRES for metres in description.origin
    ):
        raise OptionError(f"origin: expected (x, z) in metres, found {description.origin}")


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
