"""Describing, checking and gathering models for the encoder."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from velcodec.arrays import is_array, labelled, plain_array
from velcodec.encode.description import MOST_METRES, Description, check_geometry
from velcodec.formats.arrays import Int64
from velcodec.formats.container.columns import Column, as_column, is_text, take_fields
from velcodec.formats.container.header import Layout
from velcodec.formats.container.page import MAX_KEY_BYTES
from velcodec.formats.errors import EmptyInputError, OptionError, UnitsError
from velcodec.formats.facts import NO_FACTS, Facts
from velcodec.formats.files.base import FileVolume
from velcodec.formats.files.form import Hints
from velcodec.formats.files.npy import ModelArray, as_models
from velcodec.formats.no_data import NoData, find_absent, no_data_of
from velcodec.geometry import GROUND_FIELDS

log = logging.getLogger(__name__)

SLOWEST_M_S = 20.0
"""No rock is this slow: models slower throughout are in km/s, or not velocities."""


@dataclass(frozen=True)
class Batch:
    """Some models as [z, x] or [z, y, x] views in the units of their layouts, or volumes in
    files in their place. Model i has layout
    `layouts[layout_of[i]]`, whose no-data value marks absent samples. `keys` are None if the models
    have none; `fields` are the user's columns; `facts` what the arrays themselves say.
    """

    models: Sequence[NDArray[np.generic]]
    layouts: tuple[Layout, ...]
    layout_of: Int64
    keys: Sequence[str] | None = None
    fields: Mapping[str, Column] = field(default_factory=dict)
    facts: Facts = NO_FACTS

    def __len__(self) -> int:
        return len(self.models)

    def part(self, some: slice) -> Batch:
        """Neighbouring models of this batch, with only the layouts that they use."""
        used, layout_of = np.unique(self.layout_of[some], return_inverse=True)
        return Batch(
            self.models[some],
            tuple(self.layouts[int(number)] for number in used),
            layout_of.astype(np.int64),
            None if self.keys is None else self.keys[some],
            take_fields(self.fields, some),
            self.facts,
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
    """Check models and add their layouts, keys and columns; with `advise`, log suspicious values.

    `padded` arrays are pieces of larger ones, and none of their samples is taken for an undeclared
    no-data value. If no units are stated, models whose values cannot be m/s are refused, unless
    they are to be stored `exact`ly; errors number them from `first` on.

    Raises OptionError, EmptyInputError, UnitsError, and what `as_models` raises.
    """
    check_geometry(description)
    gathered = _gather(models, description, padded, None if exact else first)
    views, layouts, layout_of = gathered.views, gathered.layouts, gathered.layout_of
    name = models.name if isinstance(models, ModelArray) else "models"
    known = [_present(view, layouts[k].no_data) for view, k in zip(views, layout_of, strict=True)]
    if description.mask is not None:
        _check_mask_outside(known, [layouts[k].no_data for k in layout_of], name)
    if advise:
        _warn_of_values(known, layouts[0].units, name, gathered.units_stated)
    columns = {name: _column(value, len(views), name) for name, value in fields.items()}
    keys = _keys(keys or gathered.keys, len(views))
    return Batch(views, layouts, layout_of, keys, columns, gathered.facts)


def _column(value: Any, count: int, name: str) -> Column:
    """A field's column: one value for all models, or one for each."""
    if isinstance(value, str) or np.ndim(value) == 0:
        value = np.full(count, value, dtype=object if isinstance(value, str) else None)
    column = as_column(value, count, name)
    if name in GROUND_FIELDS:
        _check_ground(column, name)
    return column


def _check_ground(column: Column, name: str) -> None:
    """Raise OptionError unless a spacing or origin field holds metres, or NaN where unknown."""
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
    """The models and what is known about them. Units are checked, with errors that number the
    models from `first` on, unless `first` is None.
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
        part, said = taken.array, taken.description
        no_data = no_data_of(description.mask, part.dtype, part.name)
        if first is not None:
            _check_units(part, first + len(views), no_data)
        axes = "n" + part.axes if in_list and part.axes[0] != "n" else part.axes
        nz, *ny, nx = part.models[0].shape
        if not ny and (said.dy is not None or said.origin_y is not None):
            raise OptionError(
                f"{part.name}: dy, origin_y: found them for sections, which have no y, expected "
                "volumes (--volume, volume=True)"
            )
        layout = said.placed(
            Layout(
                nz=nz,
                nx=nx,
                axes=axes,
                dtype=part.dtype.str,
                units=part.units,
                z_up=part.z_up,
                no_data=no_data,
                ny=ny[0] if ny else None,
            )
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
        _common([taken.facts for taken in parts], description.stated_facts()),
    )


@dataclass(frozen=True)
class _Gathered:
    """Models as [z, x] views, their layouts, the layout number and key of each, whether all units
    were stated, and the facts that arrays state.
    """

    views: list[NDArray[np.generic]]
    layouts: tuple[Layout, ...]
    layout_of: NDArray[np.int64]
    keys: Sequence[str] | None
    units_stated: bool
    facts: Facts


@dataclass(frozen=True)
class _Taken:
    """An array of models, and what it or the caller says about them."""

    array: ModelArray
    description: Description
    keys: Sequence[str] | None = None
    facts: Facts = NO_FACTS


def _common(said: Sequence[Facts], stated: Facts) -> Facts:
    """The facts that all of several arrays state. Raises OptionError where they differ, unless the
    caller states the fact.
    """
    for name in {name for facts in said for name in facts.stated()} - stated.stated().keys():
        found = sorted({getattr(facts, name) for facts in said})
        if len(found) > 1:
            raise OptionError(
                f"{name}: found {found[0]!r} and {found[-1]!r}, expected the same in all models; "
                f"state it with facts={{{name!r}: ...}}"
            )
    return said[0]


def _taken(models: Any, description: Description, name: str, padded: bool) -> _Taken:
    """Check one array."""
    hints = Hints(
        description.order, description.units, description.stated_ground(),
        no_data=description.mask, volume=description.volume, facts=description.stated_facts(),
    )  # fmt: skip
    with_labels = labelled(models, hints, name)
    if with_labels is None:
        taken = as_models(
            plain_array(models, name, description.mask),
            order=description.axis_order, units=description.units,
            name=name, padded=padded, no_data=description.mask, volume=description.volume,
        )  # fmt: skip
        return _Taken(taken, description)
    form = with_labels.form
    array = replace(
        as_models(
            with_labels.models,
            order="zx" if form.ny is None else "zyx",
            units=form.units or description.units,
            name=name,
            no_data=description.mask,
            volume=form.ny is not None,
        ),
        axes=form.axes,
        z_up=form.z_up,
    )
    return _Taken(array, description.on(form.ground), form.keys, form.facts)


def _present(
    model: NDArray[np.generic] | FileVolume, no_data: NoData | None
) -> NDArray[np.generic]:
    """The model; if it may have absent samples, or is not in memory, only its least and greatest
    present one.
    """
    if isinstance(model, FileVolume):
        return np.array(model.ends)
    if no_data is None:
        return model
    present = model[~find_absent(model, no_data)]
    return np.array([present.min(), present.max()])


def _check_mask_outside(
    present: Sequence[NDArray[np.generic]], no_data: Sequence[NoData | None], name: str
) -> None:
    """Raise OptionError for a no-data value within the range of present samples: decoded and
    rendered values lie anywhere in that range, and could be taken for absent ones.
    """
    for value in dict.fromkeys(no_data):
        if value is None or isinstance(value, str):
            continue
        some = [model for model, mark in zip(present, no_data, strict=True) if mark == value]
        least = min(model.min().item() for model in some)
        greatest = max(model.max().item() for model in some)
        if least < value < greatest:
            raise OptionError(
                f"{name}: mask: found {value}, which lies among the velocities, {least:g} to "
                f"{greatest:g}, and could not be told from them; expected a value outside"
            )


def _check_units(part: ModelArray, first: int, no_data: NoData | None) -> None:
    """Raise UnitsError for a model without stated units whose values cannot be velocities in m/s:
    a bound in m/s, or a PSNR over 3000 m/s, would leave nothing of it.
    """
    if part.units_stated:
        return
    for number, model in enumerate(part.models, start=first):
        present = _present(model, no_data)
        least, greatest = float(present.min()), float(present.max())
        if least < greatest and max(-least, greatest) < SLOWEST_M_S:
            raise UnitsError(
                f"{part.name}: model {number}: found values from {least:g} to {greatest:g} and no "
                "units, expected velocities in m/s: say --units km/s (units='km/s') where they are "
                "in km/s, --units m/s (units='m/s') where they are not"
            )


def _warn_of_values(
    models: Sequence[NDArray[np.generic]], units: str, name: str, stated: bool
) -> None:
    """Log values that are allowed but probably a mistake."""
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


def warn_of_unused_mask(mask: NoData | None, masked: int, name: str) -> None:
    """Log a stated no-data value that no sample of any model has; `masked` counts those with some.

    It is probably another than that of the models.
    """
    if mask is not None and not masked:
        log.warning("%s: mask %s: no sample has this value", name, mask)


def _keys(keys: Sequence[str] | None, models: int) -> tuple[str, ...] | None:
    if keys is None:
        return None
    texts = tuple(str(key) for key in keys)
    if len(texts) != models:
        raise OptionError(f"keys: expected one for each of {models} models, found {len(texts)}")
    for key in texts:
        if not is_text(key):
            raise OptionError(f"key {key!r}: expected text that UTF-8 can hold")
    longest = max(texts, key=lambda key: len(key.encode()))
    if len(longest.encode()) > MAX_KEY_BYTES:
        raise OptionError(f"keys: {longest[:40]!r}... is longer than {MAX_KEY_BYTES} bytes")
    if len(set(texts)) != models:
        twice = next(key for i, key in enumerate(texts) if key in texts[:i])
        raise OptionError(f"keys: {twice!r} is given twice, expected different keys")
    return texts
