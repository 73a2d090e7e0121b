"""What an archive says of some of its models as a whole."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from velcodec.formats.container.record_reader import RecordReader
from velcodec.formats.errors import MixedShapesError, OptionError
from velcodec.formats.facts import DEPTH, NAMES, SHARED, Facts, checked_fact


def facts_of(reader: RecordReader, numbers: Sequence[int] | None = None) -> Facts:
    """The facts that hold for all of these models (default: all of the archive's): those of their
    headers or, where a header says nothing, of fields with a fact's name. Different texts are
    joined by semicolons; of reference systems and datums, none is told if there are several.

    Raises MixedShapesError for models whose z is depth in some and not in others.
    """
    wanted = range(len(reader)) if numbers is None else numbers
    headers = {reader.header_number(number): number for number in wanted}
    heads = [reader.header_of(number) for number in headers.values()] or [reader.header]
    said: dict[str, list[str]] = {
        name: list(dict.fromkeys(getattr(head.facts, name) for head in heads)) for name in NAMES
    }
    verticals = sorted({text or DEPTH for text in said["vertical"]})
    if len(verticals) > 1:
        raise MixedShapesError(
            f"{reader.name}: z is {verticals[0]} in some models and {verticals[1]} in others, so "
            "that they do not stack"
        )
    for name in NAMES:
        column = reader.fields.get(name) if said[name] == [""] and name != "vertical" else None
        if column is not None and column.dtype == object:
            said[name] = [_checked(name, text) for text in dict.fromkeys(column[list(wanted)])]
    return Facts(**{name: _joined(name, texts) for name, texts in said.items()})


def _checked(name: str, text: str) -> str:
    """A fact that a field states; "" for a text that cannot be one, as fields have any."""
    try:
        return checked_fact(name, text)
    except OptionError:
        return ""


def _joined(name: str, texts: Sequence[str]) -> str:
    if len(texts) > 1 and (name in SHARED[-3:] or name == "doi"):
        return ""
    return "; ".join(text for text in dict.fromkeys(texts) if text)


def facts_told(reader: RecordReader) -> dict[str, Any]:
    """All facts of an archive's headers by name, each with its different values, JSON-able; and
    `software`, the versions of velcodec that made it.
    """
    headers = reader.headers()
    told: dict[str, Any] = {}
    for name in SHARED:
        texts = dict.fromkeys(getattr(header.facts, name) for header in headers)
        if name == "vertical" and len(texts) > 1:
            texts = dict.fromkeys(text or DEPTH for text in texts)
        if found := list(filter(None, texts)):
            told[name] = found
    versions = dict.fromkeys(".".join(map(str, h.software)) for h in headers if h.software)
    return {"facts": told, "software": list(versions)}
