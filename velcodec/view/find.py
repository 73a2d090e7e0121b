"""Finding and ordering the models of an archive that a gallery shows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from velcodec.archive.archive import Archive
from velcodec.archive.listing import FIGURES, column_of
from velcodec.archive.select import Condition, Subset

MOST_CHOICES = 40
"""A column of texts with more distinct values is not offered as a list of choices."""


def find(
    archive: Archive, where: Sequence[str] = (), sort: str = "", descending: bool = False
) -> NDArray[np.uint32]:
    """Numbers of the models for which all conditions hold, in order of the column `sort`, or of
    their numbers. Models without a value come last.

    Conditions are those of `--where`. Raises OptionError.
    """
    numbers = Subset(where=[Condition.parse(text) for text in where]).numbers(archive)
    found = np.asarray(numbers, dtype=np.int64)
    if sort:
        column = column_of(archive, sort)[found]
        missing = column == "" if column.dtype == object else column != column
        ranks = np.unique(np.where(missing, column[:1], column), return_inverse=True)[1]
        ranks = np.where(missing, len(ranks), -ranks if descending else ranks)
        found = found[np.argsort(ranks, kind="stable")]
    return found.astype(np.uint32)


def columns(archive: Archive) -> list[dict[str, Any]]:
    """What can be filtered and sorted by: name, and for texts of few values the choices."""
    found: list[dict[str, Any]] = []
    for name in archive.fields:
        column = archive.fields[name]
        one: dict[str, Any] = {"name": name, "texts": column.dtype == object}
        if column.dtype == object:
            distinct = sorted({str(value) for value in column if value})
            one["choices"] = distinct if len(distinct) <= MOST_CHOICES else []
        found.append(one)
    names = {one["name"] for one in found}
    found += [{"name": name, "texts": name == "key"} for name in FIGURES if name not in names]
    return found
