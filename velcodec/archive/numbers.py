"""Which models are meant: numbers, keys, slices and masks, as numbers in an archive."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from operator import index as as_index
from typing import Any

import numpy as np
from numpy.typing import NDArray

from velcodec.archive.layouts import layout_of, layouts_named
from velcodec.formats.container.header import Layout
from velcodec.formats.container.record_reader import RecordReader
from velcodec.formats.errors import ModelNumberError, OptionError

Number = int | str
Selection = slice | Sequence[Number] | Sequence[bool] | NDArray[Any]

MODELS_AT_ONCE = 256
SAMPLES_AT_ONCE = 1 << 22
"""Limits of the models decoded together, whatever sizes an archive states."""


def number_of(reader: RecordReader, which: Number) -> int:
    """The number of a model, as `Archive.index`."""
    if isinstance(which, str):
        return reader.key_index(which)
    try:
        number = as_index(which)
    except TypeError:
        raise OptionError(
            f"{reader.name}: model: found {which!r}, expected a number, a key or a slice"
        ) from None
    if not -len(reader) <= number < len(reader):
        raise ModelNumberError(
            f"{reader.name}: model: found number {number}, expected one of {len(reader)}"
        )
    return number % len(reader)


def numbers_of(reader: RecordReader, which: Selection) -> Sequence[int]:
    """The numbers of several models, as `Archive.select`."""
    if isinstance(which, slice):
        try:
            return range(*which.indices(len(reader)))
        except TypeError as error:
            raise OptionError(f"{reader.name}: models: {error}") from None
    rows = which if isinstance(which, Sequence) else np.asarray(which)
    if len(rows) and all(isinstance(row, bool | np.bool_) for row in rows):
        if len(rows) != len(reader):
            raise OptionError(
                f"{reader.name}: mask: found {len(rows)} values, expected {len(reader)}, "
                "one for each model"
            )
        selected: list[int] = np.flatnonzero(np.asarray(rows)).tolist()
        return selected
    return [number_of(reader, row) for row in rows]


def blocks_of(reader: RecordReader, grid: tuple[int, int] | None) -> Iterator[range]:
    """Ranges of consecutive models that stack, as `Archive.blocks`."""
    named = layouts_named(reader)
    only = named[0] if len(named) == 1 else None
    first, last = 0, None
    for number in range(len(reader)):
        layout = only or layout_of(reader, number)
        if last is not None and (layout != last or number - first >= block_size(layout, grid)):
            yield range(first, number)
            first = number
        last = layout
    if last is not None:
        yield range(first, len(reader))


def block_size(layout: Layout, grid: tuple[int, int] | None) -> int:
    """How many models of a layout to decode together in bounded memory."""
    samples = layout.samples if grid is None else grid[0] * grid[1]
    return max(1, min(MODELS_AT_ONCE, SAMPLES_AT_ONCE // samples))
