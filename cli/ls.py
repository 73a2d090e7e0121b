"""`velcodec ls`: a line for each model of an archive. It decodes nothing, and imports no torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from velcodec.cli import options
from velcodec.cli.failures import about
from velcodec.cli.report import show_json, show_table
from velcodec.cli.sources import Source, choice_of, named, readable

if TYPE_CHECKING:
    from velcodec import Archive
    from velcodec.archive.listing import Row

HEADS = ("number", "key", "grid", "stored as", "bytes", "PSNR dB")
USUAL = ("family",)
HEAD = 100


@click.command(short_help="List the models of an archive.")
@click.argument("source", metavar="IN.VLAT", type=options.SOURCE)
@options.selection
@click.option(
    "--field",
    "fields",
    multiple=True,
    metavar="NAME",
    help="Show this field; may be repeated.  [default: family; with --json all]",
)
@click.option(
    "--head",
    type=click.IntRange(min=0),
    metavar="N",
    help="Show the first N models alone.  [default: 100; with --json all]",
)
@click.option("--all", "everything", is_flag=True, help="Show all models, however many.")
@options.as_json
def ls(
    source: Source,
    fields: tuple[str, ...],
    head: int | None,
    everything: bool,
    as_json: bool,
    **settings: Any,
) -> None:
    """List the models of IN.VLAT: number, key, grid, how stored, bytes, PSNR, fields.

    IN.VLAT is a file, a folder of shards, a URL, or - (standard input). PSNR is what was measured
    when the model was stored. Nothing is decoded.

    \b
    Example:
      velcodec ls models.vlat
      velcodec ls shards/ --models 1000:1100 --field family
      velcodec ls https://example.org/models.vlat --where 'depth>=2' --json
    """
    import velcodec
    from velcodec.archive.listing import check_fields, rows_of

    with about(named(source)), velcodec.open(readable(source)) as archive:
        check_fields(archive, fields)
        numbers = choice_of(settings).numbers(archive)
        if head is None and not as_json:
            head = HEAD
        shown = numbers if everything else numbers[:head]
        columns = fields or usual_fields(archive, shown)
        rows = rows_of(archive, shown)
        if as_json:
            listed = [row.to_dict() for row in rows]
            show_json(
                {
                    "archive": source,
                    "models": len(archive),
                    "chosen": len(numbers),
                    "left_out": len(numbers) - len(shown),
                    "rows": [chosen_fields(row, fields) for row in listed],
                }
            )
            return
        if shown:
            show_table([*HEADS, *columns], (cells(row, columns) for row in rows))
        if len(shown) < len(numbers):
            click.echo(f"{len(numbers) - len(shown):,} more: --all shows them")
        elif not numbers:
            click.echo("no model")


def usual_fields(archive: Archive, numbers: Sequence[int]) -> Sequence[str]:
    """What is shown where no field is chosen: the family, if models have one."""
    first = archive.metadata(numbers[0]) if numbers else {}
    return tuple(name for name in USUAL if name in first)


def chosen_fields(row: dict[str, Any], fields: Sequence[str]) -> dict[str, Any]:
    """The row with these fields alone; with all where none is chosen."""
    if not fields:
        return row
    return {**row, "fields": {name: row["fields"].get(name) for name in fields}}


def cells(row: Row, fields: Sequence[str]) -> list[str]:
    """A model as the cells of a table."""
    return [
        str(row.number),
        row.key,
        f"{row.nz} x {row.nx}",
        row.stored,
        f"{row.bytes:,}",
        "-" if row.quality is None else f"{row.quality.psnr_db:.1f}",
        *(value_text(row.fields.get(name)) for name in fields),
    ]


def value_text(value: Any) -> str:
    """A text as it stands, a number in short, a dash for nothing."""
    if value is None or value == "" or value != value:
        return "-"
    if isinstance(value, str):
        return value
    plain = value.item() if hasattr(value, "item") else value
    return f"{plain:g}" if isinstance(plain, float) else str(plain).lower()
