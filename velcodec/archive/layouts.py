"""What an archive says of its models' grids: layouts, and the fields that place single models."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from velcodec.decode.stored import stored_layout
from velcodec.formats.container.header import Header, Layout
from velcodec.formats.container.record_reader import RecordReader
from velcodec.formats.errors import CorruptError
from velcodec.geometry import GROUND_FIELDS


def place_of(reader: RecordReader, number: int) -> str:
    """The name of a model in errors."""
    return f"{reader.name}: model {number}"


def layout_of(reader: RecordReader, number: int) -> Layout:
    """The layout of a model, its spacing and origin those of its fields where these state them.

    Raises CorruptError for a field that holds no metres.
    """
    layout = stored_layout(reader, number)
    fields = reader.fields_of([number])[0]
    moved: dict[str, Any] = {}
    for name in GROUND_FIELDS:
        value = fields.get(name, "")
        if isinstance(value, str) and value:
            raise CorruptError(
                f"{place_of(reader, number)}: field {name!r}: found {value!r}, expected metres"
            )
        if value != "" and not np.isnan(value):  # NaN: the layout's value applies
            moved[name] = float(value)
    return replace(layout, **moved) if moved else layout


def layouts_named(reader: RecordReader) -> Sequence[Layout]:
    """Every layout that the headers name; in a subset, some may have no model."""
    return tuple(_distinct(reader.headers()))


def layouts_in_use(reader: RecordReader) -> Sequence[Layout]:
    """The layouts that some model has; reads records if there are several."""
    known = layouts_named(reader)
    if len(known) < 2:
        return known
    return tuple(dict.fromkeys(stored_layout(reader, number) for number in range(len(reader))))


def may_differ(reader: RecordReader, numbers: Sequence[int]) -> bool:
    """Whether these models may have several layouts; looks only at their headers."""
    heads = {reader.header_number(number): number for number in numbers}
    return len(_distinct([reader.header_of(number) for number in heads.values()])) > 1


def _distinct(headers: Iterable[Header]) -> dict[Layout, None]:
    """The distinct layouts of headers; a list of layouts that headers share is read once."""
    lists = {id(header.layouts): header.layouts for header in headers}
    return dict.fromkeys(layout for layouts in lists.values() for layout in layouts)
