"""The original models of an archive, read slice by slice for comparison."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from velcodec.archive.archive import Archive
from velcodec.formats.container.header import Source
from velcodec.formats.errors import InputShapeError
from velcodec.formats.facts import DEPTH, Facts
from velcodec.formats.files import Ground, Models, open_models


@dataclass(frozen=True)
class Originals:
    """Models in files, as many as in the archive."""

    models: Models
    units: str | None

    def read(self, numbers: range) -> Iterator[tuple[NDArray[np.generic], str | None]]:
        """Each of these models [z, x], with its units or None."""
        for part, values in self.models.read(numbers.start, numbers.stop):
            for model in values:
                yield model, self.units or part.form.units

    def matches(self, archive: Archive) -> bool | None:
        """Whether the archive was made from exactly this file, by its SHA-256; None if the archive
        does not tell.
        """
        stored = {header.source.sha256 for header in archive.reader.headers()}
        if len(stored) > 1 or None in stored:
            return None
        return stored == {Source.of(self.models.sha256()).sha256}


def open_originals(
    archive: Archive,
    where: str | Path | Sequence[str | Path],
    *,
    units: str | None = None,
    **hints: Any,
) -> Originals:
    """Open the original models of `archive`; `where` and `hints` are those of `open_models`.

    Whether a file has sections or volumes is what the archive has in their place. Axis order,
    direction of depth and no-data value are the archive's where neither files nor hints state
    others. Raises InputShapeError if number or size of the models differs from the archive's, and
    what `open_models` raises.
    """
    layouts = archive.layouts_in_use

    def unstated(number: int) -> dict[str, Any]:
        """What holds of a file that begins with the model of this number."""
        first = archive.layout(min(number, len(archive) - 1))  # too many are refused below
        alike = [each for each in layouts if each.is_volume == first.is_volume]
        told: dict[str, Any] = {"volume": True} if first.is_volume else {}
        orders = {layout.axes.lstrip("n1") for layout in alike}
        if len(orders) == 1:
            told["unstated_order"] = orders.pop()
        directions = {layout.z_up for layout in alike}
        if len(directions) == 1:
            told["unstated_z_positive"] = "up" if directions.pop() else "down"
        values = {layout.no_data for layout in alike} - {None}
        if len(values) == 1:
            told["no_data"] = values.pop()
        return {name: value for name, value in told.items() if hints.get(name) is None}

    verticals = {header.facts.vertical for header in archive.reader.headers()}
    # The comparison needs neither ground nor facts, so what files say of them is no reason to stop.
    vertical = verticals.pop() if len(verticals) == 1 else ""
    facts = Facts(doi="any", crs="any", vertical=vertical or DEPTH)
    ground = Ground(1.0, 1.0, 0.0, 0.0)
    models = open_models(where, ground=ground, facts=facts, unstated=unstated, **hints)
    name = str(where) if isinstance(where, str | Path) else ", ".join(map(str, where))
    expected = _text(len(archive), {layout.shape for layout in layouts})
    found = _text(len(models), {part.form.sizes for part in models.parts})
    if found != expected:
        raise InputShapeError(
            f"{name}: expected {expected} models like those in the archive, found {found}"
        )
    return Originals(models, units)


def _text(count: int, sizes: set[tuple[int, ...]]) -> str:
    """`400 x 70 x 70`; only the count if sizes differ."""
    if len(sizes) != 1:
        return str(count)
    (size,) = sizes
    return " x ".join(map(str, (count, *size)))
