"""The models that an archive was made from, beside it again: read slice by slice to be compared."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from velcodec.archive.archive import Archive
from velcodec.formats.errors import InputShapeError
from velcodec.formats.files import Models, open_models


@dataclass(frozen=True)
class Originals:
    """As many models as an archive has, in files."""

    models: Models
    units: str | None

    def read(self, numbers: range) -> Iterator[tuple[NDArray[np.generic], str | None]]:
        """Each of these models [z, x], and its units where they are known."""
        for part, values in self.models.read(numbers.start, numbers.stop):
            for model in values:
                yield model, self.units or part.form.units

    def matches(self, archive: Archive) -> bool | None:
        """Whether this is the very file that all of the archive was made from; None where the
        archive does not say it.
        """
        stored = {header.source.sha256 for header in archive.reader.headers()}
        if len(stored) > 1 or None in stored:
            return None
        return stored == {self.models.sha256()}


def open_originals(
    archive: Archive,
    where: str | Path | Sequence[str | Path],
    *,
    units: str | None = None,
    **hints: Any,
) -> Originals:
    """The models of files, a folder or a pattern, as `open_models` finds them.

    Their axes are in the archive's order, and depth points as in the models that it was made from,
    where neither they nor `order` and `z_positive` among `hints`, those of `open_models`, say
    another; their no-data value is the archive's. Raises InputShapeError for other models than the
    archive's, and what `open_models` does.
    """
    layouts = archive.layouts_in_use
    orders = {layout.axes[-2:] for layout in layouts}
    if len(orders) == 1:
        hints = {"unstated_order": next(iter(orders)), **hints}
    ways = {layout.z_up for layout in layouts}
    if len(ways) == 1:
        hints = {"unstated_z_positive": "up" if ways.pop() else "down", **hints}
    values = {layout.no_data for layout in layouts} - {None}
    if len(values) == 1:
        hints = {"no_data": values.pop(), **hints}
    models = open_models(where, **hints)
    name = str(where) if isinstance(where, str | Path) else ", ".join(map(str, where))
    expected = _text(len(archive), {(layout.nz, layout.nx) for layout in layouts})
    found = _text(len(models), {(part.form.nz, part.form.nx) for part in models.parts})
    if found != expected:
        raise InputShapeError(
            f"{name}: expected {expected} models like those in the archive, found {found}"
        )
    return Originals(models, units)


def _text(count: int, sizes: set[tuple[int, int]]) -> str:
    """`400 x 70 x 70`; the count alone where there are models of several sizes."""
    if len(sizes) != 1:
        return str(count)
    (size,) = sizes
    return " x ".join(map(str, (count, *size)))
