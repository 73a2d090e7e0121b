"""`velcodec repair`: save the intact models of a damaged archive."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from velcodec.cli import options
from velcodec.cli.failures import note_file
from velcodec.cli.outputs import WritesArchive
from velcodec.cli.report import count, say, show_json, some

if TYPE_CHECKING:
    from velcodec.archive.repair import Repaired
    from velcodec.formats.no_data import NoData

EXIT_PARTLY = 4


@click.command(cls=WritesArchive, short_help="Save every intact model of a damaged archive.")
@click.argument("source", metavar="IN.VLAT", type=options.PATH)
@click.argument("target", metavar="OUT.VLAT", type=options.PATH)
@click.option(
    "--any-version", is_flag=True, help="Treat the byte of the format's version as damaged."
)
@click.option(
    "--fill",
    metavar="nan|VALUE",
    callback=options.no_data,
    help="Also save volumes with damaged bricks, with absent samples of this value in their place.",
)
@options.force
@options.as_json
def repair(
    source: Path, target: Path, any_version: bool, fill: NoData | None, force: bool, as_json: bool
) -> None:
    """Write every intact model of IN.VLAT to OUT.VLAT; IN.VLAT is not changed.

    IN.VLAT may be truncated, altered anywhere, an unfinished `.part`, or a folder of shards. The
    command reports what was lost; the exit code is then 4.

    \b
    Example:
      velcodec repair damaged.vlat saved.vlat
      velcodec repair models.vlat.part saved.vlat --json
    """
    import velcodec

    with note_file(source, target):
        repaired = velcodec.repair(source, target, force=force, any_version=any_version, fill=fill)
    if as_json:
        figures = asdict(repaired) | {"lost_models": repaired.lost_models, "whole": repaired.whole}
        show_json({"archive": source, "target": target} | figures)
    else:
        for line in lines(repaired, target):
            say(line)
    if not repaired.whole:
        click.get_current_context().exit(EXIT_PARTLY)


def lines(repaired: Repaired, target: Path) -> list[str]:
    """What was saved, and what was lost."""
    report = [f"{target}: saved {count(repaired.saved, 'model')}"]
    if repaired.decoders:
        report[0] += f" and {count(repaired.decoders, 'decoder')}"
    if repaired.whole:
        report.append("nothing was lost")
    if repaired.lost:
        report.append(
            f"lost {count(repaired.lost_models, 'model')}: numbers {ranges(repaired.lost)}"
        )
    for volume in repaired.damaged_volumes:
        bricks = f"{count(len(volume.lost_bricks), 'brick')} of {volume.bricks}"
        what = "saved without" if volume.saved else "a volume that --fill=nan saves without"
        report.append(
            f"model {volume.model}: {what} {bricks}: {some(map(str, volume.lost_bricks))}"
        )
    if repaired.lost_files:
        report.append(
            f"lost {count(len(repaired.lost_files), 'file')}: {some(repaired.lost_files)}"
        )
    if repaired.uncounted:
        report.append(f"the end of {some(repaired.uncounted)} is missing: more models may be lost")
    if repaired.without_index:
        report.append(
            f"{count(repaired.without_index, 'model')} saved without key, quality and fields"
        )
    if repaired.damaged_bytes:
        report.append(f"{count(repaired.damaged_bytes, 'byte')} unreadable")
    return report


def ranges(lost: tuple[tuple[int, int], ...]) -> str:
    """`3, 10 to 12`."""
    return some([str(a) if b == a + 1 else f"{a} to {b - 1}" for a, b in lost])
