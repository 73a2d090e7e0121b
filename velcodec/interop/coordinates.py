"""Coordinates of data sets by CF: what z, y and x are, and the grid mapping variable."""

from __future__ import annotations

from typing import Any

from velcodec.formats.facts import Facts
from velcodec.formats.files.facts import GRID_MAPPING, axis_attributes, grid_mapping


def with_facts(coordinates: dict[str, Any], facts: Facts) -> dict[str, Any]:
    """Coordinates with the attributes that facts give those along z, y and x, or their first ones
    and steps, and with the grid mapping.
    """
    found = dict(coordinates)
    for name, (dims, values, *_) in coordinates.items():
        axis, _, what = name.partition("_")
        if axis not in ("z", "y", "x") or what not in ("", "first", "step"):
            continue
        attributes = axis_attributes(facts, axis)
        found[name] = dims, values, {"units": attributes["units"]} if what else attributes
    mapping = grid_mapping(facts)
    return found if mapping is None else {**found, GRID_MAPPING: ((), 0, mapping)}
