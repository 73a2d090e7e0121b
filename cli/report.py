"""Print figures as aligned text for people, or as one JSON object for programs."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, islice
from typing import Any

import click

ROWS_MEASURED = 1000
LISTED = 8


def plain(value: Any) -> Any:
    """`value` as JSON: no NumPy scalars, paths or bytes; null for NaN."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, bytes):
        return value.hex()
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, (bool, int, str)):
        return value
    return str(value)


def say(text: str = "", *, err: bool = False) -> None:
    """Print one line, with `err` on stderr; escapes terminal control characters."""
    from velcodec.formats.errors import shown

    click.echo(shown(text), err=err)


def json_text(figures: Mapping[str, Any]) -> str:
    """One JSON object; escapes terminal control characters."""
    text = json.dumps(plain(figures), indent=2, ensure_ascii=False)
    return re.sub(r"[^ -~\n]", _escaped, text)


def _escaped(found: re.Match[str]) -> str:
    return found[0] if found[0].isprintable() else json.dumps(found[0])[1:-1]


def show_json(figures: Mapping[str, Any], *, err: bool = False) -> None:
    """Print one JSON object, with `err` on stderr."""
    click.echo(json_text(figures), err=err)


def show_pairs(pairs: Mapping[str, object]) -> None:
    """Print one name and value per line, values aligned."""
    from velcodec.formats.errors import shown

    pairs = {shown(name): value for name, value in pairs.items()}
    width = max(map(len, pairs), default=0)
    for name, value in pairs.items():
        say(f"{name:<{width}}  {value}")


def show_table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table: the first column flush left, the others flush right.

    Rows are printed as they arrive; the first ROWS_MEASURED set the column widths.
    """
    from velcodec.formats.errors import shown

    left = (list(map(shown, row)) for row in rows)
    first = [heads, *islice(left, ROWS_MEASURED)]
    widths = [max(len(row[column]) for row in first) for column in range(len(heads))]
    for row in chain(first, left):
        cells = (
            cell.rjust(width) if column else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        say("  ".join(cells).rstrip())


def count(number: int, noun: str) -> str:
    """`1 model`, `1,200 models`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def some(texts: Iterable[str]) -> str:
    """The first LISTED texts."""
    texts = list(texts)
    return ", ".join(texts[:LISTED]) + (", ..." if len(texts) > LISTED else "")


def share_text(share: float) -> str:
    """`12.5 %`, or a dash for zero; a partial share never rounds to none or all."""
    if share == 0:
        return "-"
    return f"{min(max(100 * share, 0.1), 99.9):.1f} %"
