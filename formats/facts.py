"""What an archive, or a file of models, says of its models as a whole: the one list of these facts,
and the form of each.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from velcodec.formats.crs import checked_crs
from velcodec.formats.errors import CorruptError, OptionError, UnknownFeatureError
from velcodec.formats.licences import licence_of
from velcodec.formats.storage.checked_msgpack import check_keys

DEPTH, ELEVATION, TIME = VERTICALS = ("depth", "elevation", "time")
MAX_FACT_BYTES = 1 << 15
DOI = re.compile(r"(?:doi:\s*|https?://(?:dx\.)?doi\.org/)?(10\.\d{4,9}(?:\.\d+)*/\S+)", re.I)


@dataclass(frozen=True)
class Facts:
    """What holds for models as a whole, each a text, or empty if it is not known.

    `title` and `creator` name the models and who made them, `citation` is what to cite, and `doi`
    their digital object identifier, 10.…/…. `licence` is an SPDX identifier if it is one that
    velcodec knows; `provenance` is free text. `crs` is the coordinate reference system of x and y,
    as AUTHORITY:CODE or WKT.

    `vertical` is what z is: depth, in metres; elevation, of which archives hold the negative, in
    metres; or time, in milliseconds. Where nothing is stated it is depth. `datum` is where z is
    zero.
    """

    title: str = ""
    creator: str = ""
    citation: str = ""
    doi: str = ""
    licence: str = ""
    provenance: str = ""
    crs: str = ""
    vertical: str = ""
    datum: str = ""

    def or_else(self, other: Facts) -> Facts:
        """These facts, with missing ones from `other`."""
        return Facts(**(other.stated() | self.stated()))

    def stated(self) -> dict[str, str]:
        """The facts that are known, by name."""
        return {name: text for name, text in vars(self).items() if text}

    @classmethod
    def of_header(cls, provenance: str, licence: str, shared: Mapping[str, Any]) -> Facts:
        """The facts of a header, whose mapping may have keys of a later version too."""
        known = {name: shared[name] for name in SHARED if name in shared}
        return cls(provenance=provenance, licence=licence, **known)

    def shared(self) -> dict[str, str]:
        """What the mapping of a header has of them: neither licence nor provenance, which have keys
        of their own, nor that z is depth, as is usual.
        """
        stated = self.without_usual().stated()
        return {name: stated[name] for name in SHARED if name in stated}

    def without_usual(self) -> Facts:
        """The facts without what holds where nothing is stated: that z is depth."""
        return replace(self, vertical="") if self.vertical == DEPTH else self

    @property
    def is_time(self) -> bool:
        """Whether z is time, in milliseconds."""
        return self.vertical == TIME

    @property
    def z_units(self) -> str:
        """Units of z: m, or ms if it is time."""
        return "ms" if self.is_time else "m"

    @property
    def z_name(self) -> str:
        """What the z of an archive is, which grows downwards: `depth`, also `below` a datum, or
        `time`.
        """
        if self.is_time:
            return "time"
        datum = self.datum or ("the datum" if self.vertical == ELEVATION else "")
        return f"depth below {datum}" if datum else "depth"


NO_FACTS = Facts()
NAMES = tuple(each.name for each in fields(Facts))
SHARED = tuple(name for name in NAMES if name not in ("licence", "provenance"))
"""The facts that a header keeps in one mapping; licence and provenance have keys of their own."""


def check_stored(about: Any) -> None:
    """Raise CorruptError unless this is a header's mapping of facts, UnknownFeatureError for a
    vertical domain, or a key that must be understood, of a later version.
    """
    if not isinstance(about, Mapping):
        raise CorruptError(f"header: facts: found {about!r}, expected a mapping")
    check_keys(about, SHARED, "header: facts")
    for name in SHARED:
        text = about.get(name, "")
        if not isinstance(text, str) or len(text.encode(errors="replace")) > MAX_FACT_BYTES:
            raise CorruptError(
                f"header: {name}: found {str(text)[:40]!r}, expected text of at most "
                f"{MAX_FACT_BYTES} bytes"
            )
    if (vertical := about.get("vertical", VERTICALS[0])) not in VERTICALS:
        raise UnknownFeatureError(
            f"header: vertical: found {vertical!r}, expected one of {', '.join(VERTICALS)}"
        )


def checked_facts(given: Mapping[str, Any]) -> Facts:
    """Facts by name, each in its usual form; None and empty texts count as not given.

    Raises OptionError for an unknown name and for a text that cannot be what its name says.
    """
    unknown = sorted(given.keys() - set(NAMES))
    if unknown:
        raise OptionError(f"facts: found {unknown[0]!r}, expected some of {', '.join(NAMES)}")
    return Facts(**{name: checked_fact(name, text) for name, text in given.items()})


def checked_fact(name: str, given: Any) -> str:
    """One of the facts in its usual form; "" for None. Raises OptionError."""
    if not isinstance(given, str | None):
        raise OptionError(f"{name}: found {given!r}, expected text")
    text = (given or "").strip()
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise OptionError(f"{name}: expected text that UTF-8 can hold, found {text!r}") from None
    if size > MAX_FACT_BYTES:
        raise OptionError(f"{name}: found {size:,} bytes, expected at most {MAX_FACT_BYTES:,}")
    if not text:
        return ""
    if name == "crs":
        return checked_crs(text)
    if name == "licence":
        return licence_of(text)
    if name == "vertical":
        return _checked_vertical(text)
    if name == "doi":
        found = doi_in(text)
        if found is None:
            raise OptionError(f"doi: found {text!r}, expected one such as 10.5281/zenodo.1234567")
        return found
    return text


def _checked_vertical(text: str) -> str:
    if text.lower() not in VERTICALS:
        raise OptionError(f"vertical: found {text!r}, expected one of {', '.join(VERTICALS)}")
    return text.lower()


def doi_in(text: str) -> str | None:
    """The DOI that a text is, without `doi:` or its resolver before it; None if it is none."""
    found = DOI.fullmatch(text.strip())
    return None if found is None else found[1]
