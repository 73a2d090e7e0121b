"""`velcodec info`: facts about an archive. Decodes nothing and never imports torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from velcodec.cli import options
from velcodec.cli.failures import note_file
from velcodec.cli.report import count, share_text, show_json, show_pairs
from velcodec.cli.sources import Source, named, readable

if TYPE_CHECKING:
    from velcodec.formats.container.header import Layout
    from velcodec.formats.facts import Facts

UNUSUAL = 3.0
"""Distance above which a model is unlike the generated and published models."""


@click.command(short_help="Show what an archive holds.")
@click.argument("source", metavar="IN.VLAT", type=options.SOURCE)
@click.option("--keys", is_flag=True, help="Also list the key of every model.")
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
    from velcodec.formats.container.header import Layout
    from velcodec.formats.errors import shown

    with note_file(named(source)), velcodec.open(readable(source)) as archive:
        figures = {"archive": source, **archive.info()}
        names = list(archive.keys) if keys else []
    layouts = [Layout(**each) for each in figures["layouts"]]
    if as_json:
        show_json({**figures, "keys": names} if keys else figures)
        return
    pairs = summary(figures)
    facts = known_facts(figures["facts"])
    z, unit = facts.z_name, facts.z_units
    for number, layout in enumerate(layouts):
        head = "models" if len(layouts) == 1 else f"models, kind {number + 1}"
        axes = f"{z} x y x x" if layout.is_volume else f"{z} x distance"
        pairs[f"{head}: grid"] = f"{' x '.join(map(str, layout.shape))} ({axes})"
        pairs[f"{head}: array"] = array_text(layout)
        across = f", dy {layout.dy_m:g} m" if layout.is_volume else ""
        pairs[f"{head}: spacing"] = f"dx {layout.dx_m:g} m, dz {layout.dz_m:g} {unit}{across}"
        if layout.no_data is not None:
            pairs[f"{head}: absent"] = f"samples of {layout.no_data}"
        across = f", y {layout.origin_y_m:.10g} m" if layout.is_volume else ""
        first = f"x {layout.origin_x_m:.10g} m, z {layout.origin_z_m:.10g} {unit}"
        pairs[f"{head}: origin"] = f"{first}{across}"
    for name, column in figures["columns"].items():
        pairs[f"field: {name}"] = column_text(column)
    show_pairs(pairs)
    for number, name in enumerate(names):
        click.echo(f"{number}\t{shown(name)}")


def begun(digits: str | None) -> str:
    """The start of a hash, which is all that archives keep."""
    return "not stored" if digits is None else f"{digits}..."


def known_facts(told: dict[str, list[str]]) -> Facts:
    """The facts that are the same in all of an archive's headers."""
    from velcodec.formats.facts import Facts

    return Facts(**{name: texts[0] for name, texts in told.items() if len(texts) == 1})


def summary(figures: dict[str, Any]) -> dict[str, object]:
    """Facts about the archive as a whole."""
    pairs: dict[str, object] = {
        "archive": figures["archive"],
        "models": f"{figures['models']:,}",
        "bytes": f"{figures['bytes']:,} ({figures['bytes_per_model']:,.1f} per model)",
        **shards_text(figures["shards"]),
        **decoder_text(figures["decoders"], figures["representations"]),
        "stored as": stored_text(figures["representations"]),
        **tiles_text(figures["tiled"], figures["tiles"]),
        "measured": measured_text(figures["quality"]),
        **absent_text(figures["absent"]),
        "source SHA-256": begun(figures["source_sha256"]),
    }
    if figures["provenances"]:
        pairs["provenance"] = "; ".join(figures["provenances"])
    pairs |= facts_text(figures)
    for name, value in figures["user"].items():
        pairs[f"user: {name}"] = value
    return pairs


def facts_text(figures: dict[str, Any]) -> dict[str, str]:
    """The facts that hold for all models, and which version of velcodec made the archive; a licence
    that velcodec does not know is told as such, and the name of a known reference system.
    """
    from velcodec.formats.crs import crs_name
    from velcodec.formats.licences import is_known_licence

    pairs = {}
    if figures["licences"]:
        pairs["licence"] = "; ".join(
            text if is_known_licence(text) else f"{text} (no SPDX identifier that velcodec knows)"
            for text in figures["licences"]
        )
    for name, texts in figures["facts"].items():
        names = [crs_name(text) if name == "crs" else "" for text in texts]
        pairs[name] = "; ".join(
            f"{text} ({known})" if known else text for text, known in zip(texts, names, strict=True)
        )
    if figures["software"]:
        pairs["made by"] = f"velcodec {', '.join(figures['software'])}"
    return pairs


def absent_text(absent: dict[str, float] | None) -> dict[str, str]:
    """The share of absent samples, and the number of models with some; nothing if there are none or
    they were not counted.
    """
    if absent is None or not absent["models"]:
        return {}
    return {
        "absent": f"{share_text(absent['share'])} of all samples, in "
        f"{count(int(absent['models']), 'model')}"
    }


def decoder_text(
    decoders: Sequence[dict[str, str]], representations: dict[str, int] | None
) -> dict[str, str]:
    """Names and hashes of the decoders that latents need."""
    from velcodec.decode.stored import EXACT

    if representations is not None and not any(
        number for way, number in representations.items() if way != EXACT
    ):
        return {"decoder": "none needed: no model is stored as a latent"}
    return {
        "decoder": "; ".join(decoder["name"] for decoder in decoders),
        "decoder hash": "; ".join(decoder["hash"] for decoder in decoders),
    }


def shards_text(shards: Sequence[dict[str, Any]]) -> dict[str, str]:
    """The number of shards and their sizes; nothing for a file."""
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
    """PSNR and error at the native grid, and distance from what the decoder knows."""
    if quality is None:
        return "not stored"
    text = (
        f"PSNR {quality['mean_psnr_db']:.1f} dB on average, {quality['worst_psnr_db']:.1f} at the "
        f"worst; greatest error {up_to(quality['max_error_m_s'])}"
    )
    if quality["distance"] is not None:
        text += (
            f"; distance from what the decoder knows up to {quality['distance']:.1f} (no unit; "
            f"above {UNUSUAL:g} a model is unusual and takes more bytes)"
        )
    return text


def up_to(error: float) -> str:
    """A stored error, which is rounded up: `up to 5.657 m/s`; zero is exact."""
    return "0 m/s" if error == 0 else f"up to {error:.4g} m/s"


def stored_text(representations: dict[str, int] | None) -> str:
    """`samples`, or `20 as latent, 3 as samples`."""
    if representations is None:
        return "not counted"
    used = {name: number for name, number in representations.items() if number}
    if len(used) == 1:
        return next(iter(used))
    return ", ".join(f"{number:,} as {name}" for name, number in used.items()) or "nothing"


def tiles_text(tiled: bool, tiles: int | None) -> dict[str, str]:
    """The number of tiles, unless too many to count, and whether models are cut; nothing if no
    model is stored as a latent.
    """
    if tiles == 0:
        return {}
    number = "not counted" if tiles is None else f"{tiles:,}"
    return {"tiles": f"{number}; some models are cut" if tiled else "one for each latent"}


def array_text(layout: Layout) -> str:
    """`float32, m/s, axes n, 1, z, x`."""
    import numpy as np

    return f"{np.dtype(layout.dtype).name}, {layout.units}, axes {', '.join(layout.axes)}"
