"""`velcodec evaluate`: what a setting costs and delivers, without writing anything."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click

from . import options
from .encoding import encode_models
from .failures import about
from .figures import HEADS, Comparison, compare, merge
from .progress import progress
from .report import show_json, show_table


@click.command(short_help="Compress, decode and compare, in memory.")
@click.argument("sources", metavar="IN.NPY...", type=options.PATH, nargs=-1, required=True)
@click.option("--per-model", is_flag=True, help="Print the figures of every model too.")
@options.source
@options.geometry
@options.coding
@options.decoder
@options.device
@options.as_json
def evaluate(sources: tuple[Path, ...], per_model: bool, as_json: bool, **settings: Any) -> None:
    """Compress, decode and compare: bytes, PSNR, SSIM and MAE per file and in total.

    Bytes are those of the archives that `compress` would write. PSNR and SSIM take a fixed range
    of 3000 m/s; means are over models, max is the largest error of all. Check seconds
    are those of decoding and comparing.

    \b
    Example:
      velcodec evaluate models.npy
      velcodec evaluate a.npy b.npy --bytes-per-model 64 --json
    """
    results: dict[str, Comparison] = {}
    seconds: dict[str, tuple[float, float]] = {}
    for path in sources:
        with about(path):
            results[str(path)], seconds[str(path)] = evaluate_file(path, settings)
    total = merge(list(results.values()))
    if as_json:
        files = [
            {
                "file": name,
                **result.to_dict(per_model),
                "compress_seconds": seconds[name][0],
                "check_seconds": seconds[name][1],
            }
            for name, result in results.items()
        ]
        show_json({"files": files, "total": total.to_dict()})
        return
    if per_model:
        for name, result in results.items():
            click.echo(name)
            show_table(["model", *HEADS[1:]], result.rows())
            click.echo()
    rows = [
        [name, str(len(result.qualities)), *result.cells(), *(f"{s:.1f}" for s in seconds[name])]
        for name, result in results.items()
    ]
    if len(rows) > 1:
        spent = (f"{sum(column):.1f}" for column in zip(*seconds.values(), strict=True))
        rows.append(["total", str(len(total.qualities)), *total.cells(), *spent])
    show_table(["file", "models", *HEADS, "compress s", "check s"], rows)


def evaluate_file(path: Path, settings: dict[str, Any]) -> tuple[Comparison, tuple[float, float]]:
    """Figures of one file, and the seconds that encoding and decoding with comparing took."""
    import velcodec
    from velcodec.formats.npy import read_models

    with progress(path.name) as update:
        models = read_models(path, order=settings["order"], units=settings["units"])
        started = time.perf_counter()
        data = encode_models(models, settings, update).data
        encoded = time.perf_counter()
        with velcodec.open(data, decoder=settings["decoder"], device=settings["device"]) as archive:
            comparison = compare(archive, models, len(data), update)
    return comparison, (encoded - started, time.perf_counter() - encoded)
