"""`velcodec info`: what an archive says of itself. It decodes nothing and never imports torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from velcodec.cli import options
from velcodec.cli.failures import about
from velcodec.cli.report import count, show_json, show_pairs
from velcodec.cli.sources import Source, named, readable

if TYPE_CHECKING:
    from velcodec.formats.container.header import Layout


@click.command(short_help="Show what an archive holds.")
@click.argument("source", metavar="IN.VLAT", type=options.SOURCE)
@click.option("--keys", is_flag=True, help="List the name of every model too.")
@options.as_json
def info(source: Source, keys: bool, as_json: bool) -> None:
    """Show what IN.VLAT holds: models, grid, spacing, decoder, fields, origin and licence.

    IN.VLAT is a file, a folder of shards, a URL, or - (standard input).

    \b
    Example:
      velcodec info models.vlat
      velcodec info models.vlat --keys --json
      velcodec info shards/
    """
    import velcodec

    with about(named(source)), velcodec.open(readable(source)) as archive:
        figures = {"archive": source, **archive.info()}
        names = list(archive.keys) if keys else []
        layouts = archive.layouts
    if as_json:
        show_json({**figures, "keys": names} if keys else figures)
        return
    pairs = summary(figures)
    for number, layout in enumerate(layouts):
        head = "models" if len(layouts) == 1 else f"models, kind {number + 1}"
        pairs[f"{head}: grid"] = f"{layout.nz} x {layout.nx} (depth x distance)"
        pairs[f"{head}: array"] = array_text(layout)
        pairs[f"{head}: spacing"] = f"dx {layout.dx_m:g} m, dz {layout.dz_m:g} m"
        if layout.no_data is not None:
            pairs[f"{head}: absent"] = f"samples of {layout.no_data}"
        pairs[f"{head}: origin"] = f"x {layout.origin_x_m:g} m, z {layout.origin_z_m:g} m"
    for name, column in figures["columns"].items():
        pairs[f"field: {name}"] = column_text(column)
    show_pairs(pairs)
    for number, name in enumerate(names):
        click.echo(f"{number}\t{name}")


def summary(figures: dict[str, Any]) -> dict[str, object]:
    """What is said of the archive as a whole."""
    decoders = figures["decoders"]
    pairs: dict[str, object] = {
        "archive": figures["archive"],
        "models": f"{figures['models']:,}",
        "bytes": f"{figures['bytes']:,} ({figures['bytes_per_model']:,.1f} per model)",
        **shards_text(figures["shards"]),
        "decoder": "; ".join(decoder["name"] for decoder in decoders),
        "decoder hash": "; ".join(decoder["hash"] for decoder in decoders),
        "stored as": stored_text(figures["representations"]),
        "tiles": tiles_text(figures["tiled"], figures["tiles"]),
        "measured": measured_text(figures["quality"]),
        "source SHA-256": figures["source_sha256"] or "not stored",
    }
    for name in ("provenance", "licence"):
        if figures[f"{name}s"]:
            pairs[name] = "; ".join(figures[f"{name}s"])
    for name, value in figures["user"].items():
        pairs[f"user: {name}"] = value
    return pairs


def shards_text(shards: Sequence[dict[str, Any]]) -> dict[str, str]:
    """How many there are, and of how many models; nothing for a file."""
    if not shards:
        return {}
    models = [shard["models"] for shard in shards]
    least, most = min(models), max(models)
    each = f"{most:,}" if least == most else f"{least:,} to {most:,}"
    return {"shards": f"{len(shards):,}, of {each} models each"}


def column_text(column: dict[str, Any]) -> str:
    """`number, 0 to 12.5`, `text: north, south`, `text, 940 different; 3 models have none`."""
    kind = column["kind"]
    if kind == "truth":
        text = f"true or false, true for {column['true']:,}"
    elif kind == "text":
        values = column["values"]
        text = "text, " + (
            ": ".join((f"{column['distinct']:,} different", ", ".join(values)))
            if values
            else f"{column['distinct']:,} different"
        )
    elif column["least"] is None:
        text = "number"
    else:
        text = f"number, {column['least']:g} to {column['greatest']:g}"
    missing = column["missing"]
    return text + (f"; {count(missing, 'model')} without" if missing else "")


def measured_text(quality: dict[str, float] | None) -> str:
    """PSNR and errors at the native grid, and how strange the models were to the decoder."""
    if quality is None:
        return "not stored"
    text = (
        f"PSNR {quality['mean_psnr_db']:.1f} dB on average, {quality['worst_psnr_db']:.1f} at the "
        f"worst; greatest error {quality['max_error_m_s']:.4g} m/s"
    )
    if quality["distance"] is not None:
        text += f"; distance from the decoder's training up to {quality['distance']:.1f}"
    return text


def stored_text(representations: dict[str, int] | None) -> str:
    """`samples`, or `20 as latent, 3 as samples`."""
    if representations is None:
        return "not counted"
    found = {name: number for name, number in representations.items() if number}
    if len(found) == 1:
        return next(iter(found))
    return ", ".join(f"{number:,} as {name}" for name, number in found.items()) or "nothing"


def tiles_text(tiled: bool, tiles: int | None) -> str:
    """How many there are, and whether models are cut; very many are not counted."""
    if tiles == 0:
        return "none"
    if not tiled:
        return "one for each latent"
    return f"{'not counted' if tiles is None else f'{tiles:,}'}; some models are cut"


def array_text(layout: Layout) -> str:
    """`float32, m/s, axes n, 1, z, x`."""
    import numpy as np

    return f"{np.dtype(layout.dtype).name}, {layout.units}, axes {', '.join(layout.axes)}"
