"""What an archive says of some of its models as a whole."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from velcodec.formats.container.record_reader import RecordReader
from velcodec.formats.errors import MixedShapesError, OptionError
from velcodec.formats.facts import DEPTH, NAMES, SHARED, Facts, checked_fact

SINGLE = ("doi", "crs", "datum")
"""Facts of which two do not make one."""


def facts_of(reader: RecordReader, numbers: Sequence[int] | None = None) -> Facts:
    """The facts that hold for all of these models (default: all of the archive's): those of their
    headers or, where headers say nothing, of fields with a fact's name. Different texts are joined
    by semicolons; of identifiers, reference systems and datums none is told if there are several.

    Raises MixedShapesError for models whose z is depth in some and not in others.
    """
    heads = reader.headers()
    if numbers is not None and len(heads) > 1:
        used = {reader.header_number(number): number for number in numbers}
        heads = [reader.header_of(number) for number in used.values()]
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
            some = column if numbers is None else column[list(numbers)]
            said[name] = [_checked(name, text) for text in dict.fromkeys(some)]
    return Facts(**{name: _joined(name, texts) for name, texts in said.items()})


def check_not_time(reader: RecordReader, number: int, what: str) -> None:
    """Raise OptionError for a model whose z is time, of which `what` would tell it in metres."""
    if reader.header_of(number).facts.is_time:
        raise OptionError(
            f"{reader.name}: model {number}: z is time, in milliseconds, and {what} in metres"
        )


def _checked(name: str, text: str) -> str:
    """A fact that a field states; "" for a text that cannot be one, as fields have any."""
    try:
        return checked_fact(name, text)
    except OptionError:
        return ""


def _joined(name: str, texts: Sequence[str]) -> str:
    if len(texts) > 1 and (name in SINGLE or (name == "licence" and "" in texts)):
        return ""  # a licence of some models is not that of the others
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
