"""`velcodec ls`: one line for each model of an archive. Decodes nothing and never imports torch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import click

from velcodec.cli import options
from velcodec.cli.failures import note_file
from velcodec.cli.report import say, share_text, show_json, show_table
from velcodec.cli.sources import Source, named, readable, subset_of

if TYPE_CHECKING:
    from velcodec import Archive
    from velcodec.archive.listing import Row

HEADS = ("number", "key", "grid", "stored as", "bytes", "PSNR dB")
ABSENT = "absent"
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
    help="Show only the first N models.  [default: 100; with --json all]",
)
@click.option("--all", "everything", is_flag=True, help="Show all models.")
@options.as_json
def ls(
    source: Source,
    fields: tuple[str, ...],
    head: int | None,
    everything: bool,
    as_json: bool,
    **settings: Any,
) -> None:
    """List the models of IN.VLAT: number, key, grid, representation, bytes, PSNR, fields.

    IN.VLAT is a file, a folder of shards, a URL, or - (standard input). PSNR was measured when the
    model was stored. If samples are absent, their share is shown. Nothing is decoded.

    \b
    Example:
      velcodec ls models.vlat
      velcodec ls shards/ --models 1000:1100 --field family
      velcodec ls https://example.org/models.vlat --where 'depth>=2' --json
    """
    import velcodec
    from velcodec.archive.listing import check_fields, rows_of

    with note_file(named(source)), velcodec.open(readable(source)) as archive:
        check_fields(archive, fields)
        numbers = subset_of(settings).numbers(archive)
        if head is None and not as_json:
            head = HEAD
        shown = numbers if everything else numbers[:head]
        columns = fields or usual_fields(archive, shown)
        rows: Iterable[Row] = rows_of(archive, shown)
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
            some_absent = False
            if any(layout.no_data is not None for layout in archive.layouts):
                rows = list(rows)  # otherwise rows are printed as they are read
                some_absent = any(row.absent for row in rows)
            heads = [*HEADS, *([ABSENT] if some_absent else []), *columns]
            show_table(heads, (cells(row, columns, some_absent) for row in rows))
        if len(shown) < len(numbers):
            say(f"{len(numbers) - len(shown):,} more: --all shows them")
        elif not numbers:
            say("no model")


def usual_fields(archive: Archive, numbers: Sequence[int]) -> Sequence[str]:
    """The fields shown by default: the family, if models have one."""
    first = archive.metadata(numbers[0]) if numbers else {}
    return tuple(name for name in USUAL if name in first)


def chosen_fields(row: dict[str, Any], fields: Sequence[str]) -> dict[str, Any]:
    """The row with only these fields, or with all if none is chosen."""
    if not fields:
        return row
    return {**row, "fields": {name: row["fields"].get(name) for name in fields}}


def cells(row: Row, fields: Sequence[str], some_absent: bool) -> list[str]:
    """A model as the cells of a table, with its share of absent samples if `some_absent`."""
    return [
        str(row.number),
        row.key,
        " x ".join(map(str, row.sizes)),
        row.stored,
        f"{row.bytes:,}",
        "-" if row.quality is None else f"{row.quality.psnr_db:.1f}",
        *([share_text(row.absent)] if some_absent else []),
        *(value_text(row.fields.get(name)) for name in fields),
    ]


def value_text(value: Any) -> str:
    """Text unchanged, a number in short form, a dash for a missing value."""
    if value is None or value == "" or value != value:
        return "-"
    if isinstance(value, str):
        return value
    plain = value.item() if hasattr(value, "item") else value
    return f"{plain:g}" if isinstance(plain, float) else str(plain).lower()
