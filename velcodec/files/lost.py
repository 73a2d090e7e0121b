"""What files cannot say of their models although the archive does: told when they are written."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path

from velcodec.archive.archive import Archive
from velcodec.archive.stream import StreamedArchive
from velcodec.files.origin_fields import ARRAY_FIELD, FILE_FIELD, ROW_FIELD
from velcodec.formats.container.header import Layout
from velcodec.formats.facts import NAMES, TIME
from velcodec.formats.files import Form
from velcodec.formats.files.segy import writes_exactly
from velcodec.formats.files.table import (
    DIRECTION,
    FORMATS,
    GROUND,
    KEYS,
    NO_DATA,
    ORDER,
    UNITS,
)
from velcodec.formats.no_data import NAN
from velcodec.geometry import GROUND_FIELDS

log = logging.getLogger(__name__)

USUAL = Layout(1, 1)
"""It has the spacing and origin that readers take where nobody states them."""

WRITTEN_FIELDS = {FILE_FIELD, ARRAY_FIELD, ROW_FIELD, *GROUND_FIELDS, *NAMES}
"""Fields that files say otherwise: by their names, by spacing and origin, as facts of models."""


def warn_of_lost(archive: Archive, target: str | Path, files: Iterable[tuple[str, Form]]) -> None:
    """Log, in one line for each format, what files of these formats and forms have no place for.

    What a reader takes for granted where nothing is stated is not lost.
    """
    placed = any(_is_unusual(layout) for layout in archive.layouts)
    # An archive that is read as a stream has its fields at its end, unread.
    known = () if isinstance(archive, StreamedArchive) else archive.fields.keys()
    placed |= not set(GROUND_FIELDS).isdisjoint(known)
    files = list(files)
    others = [f"{name} (several)" for name in sorted(_said(archive) - _kept(files))]
    others += [f"field {name!r}" for name in sorted(known) if name not in WRITTEN_FIELDS]
    found: dict[str, dict[str, None]] = {}
    for format_, form in files:
        found.setdefault(format_, {}).update(dict.fromkeys(lost_of(form, format_, placed)))
    for format_, lost in found.items():
        if texts := [*lost, *others]:
            log.warning(
                "%s: %s files have no place for: %s; only the archive tells",
                target, format_, ", ".join(texts),
            )  # fmt: skip


def _said(archive: Archive) -> set[str]:
    """The names of the facts that an archive says of some of its models."""
    said = {name for each in archive.reader.headers() for name in each.facts.stated()}
    if not isinstance(archive, StreamedArchive):
        columns = archive.fields
        said |= {name for name in NAMES if name in columns and any(columns[name].tolist())}
    return said - {"vertical"}  # models in which it differs do not go into one file


def _kept(files: Iterable[tuple[str, Form]]) -> set[str]:
    """The names of the facts that files are asked to say; those of several DOIs, say, are not."""
    return {name for _, form in files for name in form.facts.stated()}


def lost_of(form: Form, format: str, placed: bool) -> list[str]:
    """What a file of this format does not say of models of this form, whose spacing or origin are
    `placed` by someone.
    """
    stated = {
        GROUND: placed,
        UNITS: form.units not in (None, "m/s"),
        DIRECTION: form.z_up,
        ORDER: form.order != "zx" and (format != "npz" or form.ny is None),
        KEYS: form.keys is not None,
        NO_DATA: form.no_data not in (None, NAN),  # NaN is no velocity for any reader
        **dict.fromkeys(form.facts.without_usual().stated(), True),
    }
    keeps = FORMATS[format].keeps
    if format == "segy":
        keeps |= {"vertical"} if form.facts.vertical == TIME else set()
        keeps -= set() if writes_exactly(form) else {GROUND}
    lost = [name for name, told in stated.items() if told and name not in keeps]
    value = {
        NO_DATA: form.no_data, UNITS: form.units, ORDER: form.order,
        "vertical": form.facts.vertical,
    }  # fmt: skip
    return [f"{name} ({value[name]})" if name in value else name for name in lost]


def _is_unusual(layout: Layout) -> bool:
    """Whether spacing or origin are not those that readers take for granted."""
    return any(getattr(layout, name) != getattr(USUAL, name) for name in GROUND_FIELDS)
