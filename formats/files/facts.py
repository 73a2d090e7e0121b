"""What files say of their models as a whole: the names of `Facts` in attributes, CF's grid mapping.

The names written are those of CF and ACDD. Also read are those of EarthScope's Earth models (EMC)
and other usual ones. The place nearest to the models counts, as CF says.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from velcodec.formats.crs import crs_of_grid_mapping, grid_mapping_of, is_in_degrees, shortened
from velcodec.formats.errors import InputFileError, OptionError
from velcodec.formats.facts import ELEVATION, Facts, checked_fact, doi_in
from velcodec.formats.files.attributes import text_of
from velcodec.formats.files.form import Form, Hints

log = logging.getLogger(__name__)

GRID_MAPPING = "spatial_ref"
"""The name of the grid mapping variable that is written; rioxarray and GDAL expect it."""

CONVENTIONS = "CF-1.11, ACDD-1.3"
WRITTEN = {
    "title": "title", "creator": "creator_name", "citation": "references", "doi": "doi",
    "licence": "license", "provenance": "source", "datum": "vertical_datum",
}  # fmt: skip
READ = {
    "title": ("title",),
    "creator": ("creator_name", "author_name", "creator", "author", "authors"),
    "citation": ("references", "reference", "citation"),
    "doi": ("doi",),
    "licence": ("license", "licence", "rights"),
    "provenance": ("provenance", "source"),
    "datum": ("vertical_datum", "geopotential_datum_name"),
}
INSTITUTIONS = ("creator_institution", "author_institution", "institution")
PERHAPS_DOIS = ("repository_doi", "repository_pid", "id", "identifier", "reference_pid")
"""Identifiers that may be a DOI: of the data first, then of the paper about them."""

CODES = ("epsg_code", "crs_code", "epsg")
CRS_TEXTS = ("crs_wkt", "spatial_ref", "crs")
GEOGRAPHIC = "latitude_longitude"
FILE_ONLY = "source"
"""An attribute that says of the file where models come from, but of an array how they were made."""

Places = Sequence[tuple[str, Mapping[Any, Any]]]


def facts_in(
    places: Places, name: str, hints: Hints, grid_mapping: Mapping[Any, Any] | None = None
) -> Facts:
    """The facts that attributes state: of the file first, then of places nearer to the models, each
    with a name, and of CF's grid mapping variable. What the caller states is not looked at, and the
    vertical domain is not among them.

    Raises InputFileError for a text that cannot be the fact it should be, MissingExtraError for a
    grid mapping that only pyproj understands.
    """
    near = [_lower(attributes) for _, attributes in reversed(places)]
    if len(near) > 1:
        near[:-1] = [{k: v for k, v in each.items() if k != FILE_ONLY} for each in near[:-1]]
    mapping = _lower(grid_mapping or {})
    found = {fact: _first([*near, mapping], keys) for fact, keys in READ.items()}
    institution = _first(near, INSTITUTIONS)
    if institution and institution not in found["creator"]:
        found["creator"] = ", ".join(filter(None, (found["creator"], institution)))
    if not found["doi"]:
        texts = (_first(near, (key,)) for key in PERHAPS_DOIS)
        found["doi"] = next((text for text in texts if doi_in(text)), "")
    stated = hints.facts.stated()
    try:
        found["crs"] = "" if "crs" in stated else _crs_in([mapping, *near], mapping, name)
        checked = {f: checked_fact(f, text) for f, text in found.items() if f not in stated}
    except OptionError as error:
        fact, _, _ = str(error).partition(":")
        raise InputFileError(f"{name}: {error}; state it with --{fact}") from error
    return hints.facts.or_else(Facts(**checked))


def grid_mapping_in(
    attributes: Mapping[Any, Any], beside: Callable[[str], Any]
) -> Mapping[Any, Any] | None:
    """The attributes of the grid mapping that an array names, or of the usual one; `beside` gives
    what has a name beside the array, or None.
    """
    words = text_of(attributes.get("grid_mapping")).split()
    found = beside(words[0].rstrip(":") if words else GRID_MAPPING)
    return None if found is None else found.attrs


def _crs_in(near: Sequence[Mapping[str, Any]], mapping: Mapping[str, Any], name: str) -> str:
    """The reference system that attributes name, or the grid mapping describes; "" without one."""
    code = _first(near, CODES)
    crs = f"EPSG:{code}" if code.isdecimal() else code or _first(near, CRS_TEXTS)
    if not crs and mapping.get("grid_mapping_name") is not None:
        plain = {key: _plain(value) for key, value in mapping.items()}
        crs = str(plain["grid_mapping_name"])
        if crs != GEOGRAPHIC:
            crs = crs_of_grid_mapping(plain, name)
    if crs and (crs == GEOGRAPHIC or is_in_degrees(crs)):
        # Positions in degrees are refused; where the caller gives metres instead, they have another
        # reference system.
        log.warning(
            "%s: crs: found %s, which is in degrees, and is not kept: positions in archives are in "
            "metres; state their reference system with --crs (facts=)",
            name, shortened(crs),
        )  # fmt: skip
        return ""
    return crs


def _lower(attributes: Mapping[Any, Any]) -> dict[str, Any]:
    return {str(key).lower(): attributes[key] for key in attributes}


def _first(places: Sequence[Mapping[str, Any]], keys: Sequence[str]) -> str:
    """The text of the first of these attributes that some place has, the nearest place first."""
    for key in keys:
        for attributes in places:
            value = attributes.get(key)
            if np.asarray(value).size == 1 and (text := text_of(_plain(value)).strip()):
                return text
    return ""


def _plain(value: Any) -> Any:
    """An attribute as Python's own text, number or list."""
    if isinstance(value, np.ndarray | np.generic):
        value = value.item() if np.size(value) == 1 else value.tolist()
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def global_attributes(facts: Facts, *also: str) -> dict[str, str]:
    """What `facts_in` reads, for writers: attributes of the file, by CF and ACDD, and facts that
    `also` go there, under their own names.
    """
    stated, names = facts.stated(), {**WRITTEN, **dict(zip(also, also, strict=True))}
    return {names[name]: stated[name] for name in names if name in stated}


def grid_mapping(facts: Facts) -> dict[str, Any] | None:
    """The attributes of the grid mapping variable, for writers; None without a reference system."""
    return grid_mapping_of(facts.crs) if facts.crs else None


def axis_attributes(facts: Facts, axis: str, up: bool = False) -> dict[str, str]:
    """CF's attributes of coordinates along z, y or x; `up` says that those of z are heights."""
    if axis != "z":
        name = "distance" if axis == "x" else "distance along y"
        projected = {"standard_name": f"projection_{axis}_coordinate"} if facts.crs else {}
        return {"long_name": name, "units": "m", "axis": axis.upper(), **projected}
    if up:
        above = f" above {facts.datum}" if facts.datum else ""
        is_elevation = facts.vertical == ELEVATION
        what = "elevation" if is_elevation else "minus time" if facts.is_time else "height"
        name, standard = f"{what}{above}", "altitude"
        known = is_elevation and not above
    else:
        name, standard = facts.z_name, "depth"
        known = name == "depth"
    attributes = {"long_name": name, "units": facts.z_units, "axis": "Z"}
    attributes["positive"] = "up" if up else "down"
    return attributes | ({"standard_name": standard} if known else {})


def coordinates_of(form: Form) -> dict[str, tuple[NDArray[Any], dict[str, str]]]:
    """Coordinates of the axes whose spacing and origin are known, with attributes, in metres, or
    milliseconds where z is time.
    """
    axes = {}
    for axis, size in zip("zx" if form.ny is None else "zyx", form.sizes, strict=True):
        step = getattr(form.ground, f"d{axis}_m")
        origin = getattr(form.ground, f"origin_{axis}_m")
        if None not in (step, origin):
            values = origin + step * np.arange(size)
            up = axis == "z" and (form.z_up or form.facts.vertical == ELEVATION)
            values = values[::-1] if axis == "z" and form.z_up else values
            axes[axis] = 0.0 - values if up else values, axis_attributes(form.facts, axis, up)
    return axes
