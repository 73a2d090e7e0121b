"""`velcodec decoder list | show | add`: the decoders that archives can be read and made with."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from velcodec.cli import options
from velcodec.cli.report import plain, show_json, show_pairs, show_table

if TYPE_CHECKING:
    from velcodec.decoder.registry import Entry

SHORT_HASH = 12


@click.group()
def decoder() -> None:
    """List, show and add decoders.

    An archive names its decoder by hash; it is looked for in your own folder, then among those
    that are shipped.

    \b
    Example:
      velcodec decoder list
      velcodec decoder add basin.safetensors
    """


@decoder.command("list")
@options.as_json
def list_decoders(as_json: bool) -> None:
    """List the decoders that are installed, in the order in which they are looked for.

    \b
    Example:
      velcodec decoder list
    """
    from velcodec.decoder import registry

    entries = registry.entries()
    if as_json:
        show_json({"decoders": [entry.to_dict() for entry in entries]})
        return
    rows = [
        [
            entry.name,
            entry.identity.hex()[:SHORT_HASH],
            entry.place,
            str(entry.config.get("architecture", "?")),
            f"{entry.path.stat().st_size:,}",
        ]
        for entry in entries
    ]
    show_table(["name", "hash", "place", "architecture", "bytes"], rows)


@decoder.command()
@click.argument("which", metavar="[NAME|HASH|FILE]", required=False)
@options.as_json
def show(which: str | None, as_json: bool) -> None:
    """Show one decoder: architecture, provenance, licence. The default one if none is named.

    \b
    Example:
      velcodec decoder show
      velcodec decoder show basin.safetensors --json
    """
    from velcodec.decoder import registry

    show_entry(registry.find(which), as_json)


@decoder.command()
@click.argument("file", type=options.PATH, metavar="FILE")
@options.force
@options.as_json
def add(file: Path, force: bool, as_json: bool) -> None:
    """Check a decoder file and copy it to your own folder, its encoder with it.

    \b
    Example:
      velcodec decoder add basin.safetensors
    """
    from velcodec.decoder import registry

    show_entry(registry.add(file, force), as_json)


def show_entry(entry: Entry, as_json: bool) -> None:
    """Print all that is known of one decoder."""
    figures = entry.to_dict()
    if as_json:
        show_json(figures)
        return
    nested = {name: figures.pop(name) for name in ("config", "info")}
    pairs = plain(figures)
    for values in nested.values():
        pairs |= {name: value for name, value in flat(plain(values)).items() if name not in pairs}
    show_pairs(pairs)


def flat(values: Mapping[str, Any], above: str = "") -> dict[str, str]:
    """Nested settings as one line each: `training: recipe: points` and its value."""
    lines: dict[str, str] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            lines |= flat(value, f"{above}{name}: ")
        elif isinstance(value, list):
            lines[above + name] = ", ".join(map(str, value))
        else:
            lines[above + name] = str(value)
    return lines
