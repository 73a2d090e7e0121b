"""`velcodec repair`: a whole archive from what is intact of a damaged one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from velcodec.cli import options
from velcodec.cli.failures import about
from velcodec.cli.outputs import WritesArchive
from velcodec.cli.report import count, show_json

if TYPE_CHECKING:
    from velcodec.archive.repair import Mended

EXIT_PARTLY = 4
LISTED = 8


@click.command(cls=WritesArchive, short_help="Get every intact model out of a damaged archive.")
@click.argument("source", metavar="IN.VLAT", type=options.PATH)
@click.argument("target", metavar="OUT.VLAT", type=options.PATH)
@click.option(
    "--any-version", is_flag=True, help="Take the byte of the format's version for damaged."
)
@options.force
@options.as_json
def repair(source: Path, target: Path, any_version: bool, force: bool, as_json: bool) -> None:
    """Write every model of IN.VLAT that is intact to OUT.VLAT; IN.VLAT is not changed.

    IN.VLAT may be cut off, altered anywhere, a `.part` that was never finished, or a folder of
    shards. What was lost is told, and the exit code is 4 if anything was.

    \b
    Example:
      velcodec repair damaged.vlat saved.vlat
      velcodec repair models.vlat.part saved.vlat --json
    """
    from velcodec.archive.repair import repair as mend

    with about(source, target):
        mended = mend(source, target, force=force, any_version=any_version)
    if as_json:
        about_it = asdict(mended) | {"lost_models": mended.lost_models, "whole": mended.whole}
        show_json({"archive": source, "target": target} | about_it)
    else:
        for line in lines(mended, target):
            click.echo(line)
    if not mended.whole:
        click.get_current_context().exit(EXIT_PARTLY)


def lines(mended: Mended, target: Path) -> list[str]:
    """What was saved, and what was not."""
    found = [f"{target}: saved {count(mended.saved, 'model')}"]
    if mended.decoders:
        found[0] += f" and {count(mended.decoders, 'decoder')}"
    if mended.whole:
        found.append("nothing was lost")
    if mended.lost:
        found.append(f"lost {count(mended.lost_models, 'model')}: numbers {ranges(mended.lost)}")
    if mended.lost_files:
        found.append(f"lost {count(len(mended.lost_files), 'file')}: {some(mended.lost_files)}")
    if mended.uncounted:
        found.append(
            f"the end of {some(mended.uncounted)} is gone: how many more models were lost is "
            "not known"
        )
    if mended.without_index:
        found.append(
            f"{count(mended.without_index, 'model')} saved without key, quality and fields"
        )
    if mended.damaged_bytes:
        found.append(f"{count(mended.damaged_bytes, 'byte')} told nothing")
    return found


def ranges(lost: tuple[tuple[int, int], ...]) -> str:
    """`3, 10 to 12`."""
    return some([str(a) if b == a + 1 else f"{a} to {b - 1}" for a, b in lost])


def some(texts: Sequence[str]) -> str:
    """The first few of them."""
    return ", ".join(texts[:LISTED]) + (", ..." if len(texts) > LISTED else "")
