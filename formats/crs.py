"""Coordinate reference systems: their form, and what pyproj knows of them where it is installed.

Positions in archives are in metres, so geographic systems, in degrees, cannot be theirs.
"""

from __future__ import annotations

import re
from functools import lru_cache
from importlib.util import find_spec
from typing import Any

from velcodec.formats.errors import OptionError
from velcodec.formats.extras import needed

CODE = re.compile(r"([A-Za-z][A-Za-z0-9_-]*):([A-Za-z0-9_.]+(?:\+[A-Za-z0-9_.]+)?)")
URN = re.compile(
    r"(?:urn:(?:x-)?ogc:def:crs:([A-Za-z]+):[\w.]*:|https?://www\.opengis\.net/def/crs/([A-Za-z]+)/[\w.]+/)"
    r"(\w+)",
    re.I,
)
WKT = re.compile(r"([A-Z_]+)\s*[\[(].*[\])]", re.S | re.I)
ROOT_CODE = re.compile(
    r"[\[,]\s*(?:ID|AUTHORITY)\s*[\[(]\s*\"([A-Za-z]+)\"\s*,\s*\"?(\w+)\"?\s*[\])]\s*[\])]\s*\Z",
    re.I,
)
GEOGRAPHIC = ("GEOGCS", "GEOGCRS", "GEOGRAPHICCRS", "GEOCCS", "GEODCRS", "GEODETICCRS")
KINDS = (
    *GEOGRAPHIC, "PROJCS", "PROJCRS", "PROJECTEDCRS", "COMPD_CS", "COMPOUNDCRS", "BOUNDCRS",
    "LOCAL_CS", "ENGCRS", "ENGINEERINGCRS", "DERIVEDPROJCRS",
)  # fmt: skip
EXPECTED = "expected AUTHORITY:CODE, such as EPSG:32631, or WKT"


def checked_crs(text: str) -> str:
    """A coordinate reference system as AUTHORITY:CODE if it has a code, else as its WKT.

    With pyproj installed, it must know the system. Raises OptionError for another text, and for a
    system that is known to be in degrees.
    """
    crs, shown = _in_form(text), shortened(text)
    if pyproj_is_there() and _known(crs) is None:
        raise OptionError(f"crs: found {shown!r}, which pyproj does not know; {EXPECTED}")
    if pyproj_is_there():
        _check_metres(crs, shown)
    if is_in_degrees(crs):
        raise OptionError(
            f"crs: found {shown!r}, which is in degrees, expected a projected one: positions in "
            "archives are in metres"
        )
    root = None if CODE.fullmatch(crs) else ROOT_CODE.search(crs)
    return f"{root[1].upper()}:{root[2]}" if root else crs


def _check_metres(crs: str, shown: str) -> None:
    """Raise OptionError unless the axes x and y of a system that pyproj knows are in metres."""
    known = _known(crs)
    if known is None or known.is_geographic:
        return
    if known.is_vertical or known.is_geocentric:
        raise OptionError(
            f"crs: found {shown!r}, which has no x and y of a map, expected a projected system"
        )
    parts = known.sub_crs_list or [known]
    units = {axis.unit_name for axis in parts[0].axis_info[:2]}
    if units - {"metre", "meter", "m", "unknown"}:
        raise OptionError(
            f"crs: found {shown!r}, whose x and y are in {' and '.join(sorted(units))}, expected "
            "metres, as positions in archives are"
        )


def is_in_degrees(crs: str) -> bool:
    """Whether a system is known to be geographic: by pyproj where it is installed, else by the
    keyword of its WKT.
    """
    if pyproj_is_there() and (known := _known(crs)) is not None:
        return bool(known.is_geographic)
    wkt = WKT.fullmatch(crs.strip())
    return wkt is not None and wkt[1].upper() in GEOGRAPHIC


def _in_form(text: str) -> str:
    """AUTHORITY:CODE, also from a URN or an address of OGC, or WKT. Raises OptionError."""
    text = text.strip()
    urn = URN.fullmatch(text)
    code = CODE.fullmatch(f"{urn[1] or urn[2]}:{urn[3]}" if urn else text)
    if code is not None:
        return f"{code[1].upper()}:{code[2]}"
    wkt = WKT.fullmatch(text)
    if wkt is None or wkt[1].upper() not in KINDS or not _is_balanced(text):
        raise OptionError(f"crs: found {shortened(text)!r}, {EXPECTED}")
    return text


def shortened(text: str) -> str:
    """A reference system as messages tell it: WKT is long."""
    text = text.strip()
    return text if len(text) <= 60 else f"{text[:57]}..."


def _is_balanced(text: str) -> bool:
    """Whether brackets outside quotes close, and close only at the end."""
    depth = 0
    bare = re.sub(r'"[^"]*"', "", text)
    for place, character in enumerate(bare):
        depth += (character in "[(") - (character in "])")
        if depth == 0 and character in "])":
            return place == len(bare) - 1
    return False


def pyproj_is_there() -> bool:
    """Whether pyproj is installed."""
    return find_spec("pyproj") is not None


@lru_cache
def _known(crs: str) -> Any:
    """The system as pyproj has it; None if it does not know it."""
    pyproj = needed("pyproj", "crs")
    try:
        return pyproj.CRS.from_user_input(crs)
    except pyproj.exceptions.CRSError:
        return None


def crs_name(crs: str) -> str:
    """The name of a system, such as `WGS 84 / UTM zone 31N`; "" where it is not known."""
    if pyproj_is_there():
        known = _known(crs)
        return "" if known is None else str(known.name)
    named = re.match(r'\w+\s*[\[(]\s*"([^"]*)"', crs)
    return named[1] if named else ""


def grid_mapping_of(crs: str) -> dict[str, Any]:
    """The attributes of a CF grid mapping variable of this system: all that CF wants where pyproj
    is installed, else the code or the WKT alone.
    """
    known = _known(crs) if pyproj_is_there() else None
    attributes: dict[str, Any] = {} if known is None else dict(known.to_cf())
    code = CODE.fullmatch(crs)
    if code is None:
        attributes.setdefault("crs_wkt", crs)
    else:
        attributes["epsg_code" if code[1] == "EPSG" else "crs_code"] = crs
    return attributes


def crs_of_grid_mapping(attributes: dict[str, Any], place: str) -> str:
    """The system that a grid mapping's parameters describe without code or WKT, as WKT.

    Raises MissingExtraError without pyproj, OptionError for parameters that it cannot take.
    """
    pyproj = needed(
        "pyproj", "crs", f"{place}: a grid mapping without code or WKT (or state --crs)"
    )
    try:
        return str(pyproj.CRS.from_cf(attributes).to_wkt())
    except (pyproj.exceptions.CRSError, KeyError, TypeError, ValueError) as error:
        name = attributes.get("grid_mapping_name")
        raise OptionError(
            f"crs: found the grid mapping {name!r}, whose parameters are not those of CF"
        ) from error
