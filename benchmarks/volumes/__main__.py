"""`python -m benchmarks.volumes [--json FILE] [--picture FILE.png]`."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import click

import velcodec
from velcodec.parallel import set_threads

from .cases import SIDE, Case, from_folder, generated
from .codecs import CannotKeepError, Codec, codecs
from .measure import Figure, keeps, measure
from .picture import draw
from .tables import tables

BOUNDS = (1.0, 5.0, 10.0, 25.0, 50.0)
DECIBELS = (35.0, 45.0)


@click.command()
@click.option("--count", default=1, show_default=True, help="Generated volumes of each family.")
@click.option("--seed", default=1001, show_default=True, help="Seed of generated volumes.")
@click.option("--side", default=SIDE, show_default=True, help="Samples along each axis.")
@click.option("--case", "cases", multiple=True, help="Only cases whose names contain this.")
@click.option("--codec", "names", multiple=True, help="Only codecs whose names contain this.")
@click.option("--promise", "promises", multiple=True, help='Such as "5 m/s", "lossless", "35 dB".')
@click.option(
    "--with",
    "earlier",
    multiple=True,
    type=click.Path(path_type=Path, exists=True),
    help="JSON of an earlier run, whose figures join the tables and the picture.",
)
@click.option("--json", "output", type=click.Path(path_type=Path), help="JSON of all figures.")
@click.option("--picture", type=click.Path(path_type=Path), help="PNG of bits per sample.")
def main(
    count: int,
    seed: int,
    side: int,
    cases: Sequence[str],
    names: Sequence[str],
    promises: Sequence[str],
    earlier: Sequence[Path],
    output: Path | None,
    picture: Path | None,
) -> None:
    """Measure every codec on generated volumes and on those of VELCODEC_REAL_DATA."""
    set_threads(1)
    wanted = promises or (
        *(f"{bound:g} m/s" for bound in BOUNDS), "lossless", *(f"{db:g} dB" for db in DECIBELS)
    )  # fmt: skip
    chosen = _available(names)
    for codec in chosen:
        _warm_up(codec)
    figures: list[Figure] = []
    for case in _cases(count, seed, side, cases):
        for codec in chosen:
            started = time.perf_counter()
            for promise in wanted:
                if not keeps(codec, promise):
                    continue
                try:
                    figures.append(measure(codec, case, promise))
                except CannotKeepError as error:
                    _note(f"  {case.name}, {promise}: left out, {error}")
            _note(f"{case.name}: {codec.name}: {time.perf_counter() - started:.0f} s")
        if output is not None:
            about = {"velcodec": velcodec.__version__, "side": side, "seed": seed, "count": count}
            rows = [figure.to_row() for figure in figures]
            output.write_text(json.dumps({**about, "rows": rows}, indent=1) + "\n")
    figures += [Figure(**row) for path in earlier for row in json.loads(path.read_text())["rows"]]
    click.echo(tables(figures))
    if picture is not None:
        draw(picture, figures)


def _cases(count: int, seed: int, side: int, parts: Sequence[str]) -> list[Case]:
    folder = os.environ.get("VELCODEC_REAL_DATA")
    found = list(generated(count, seed, side)) if count else []
    found += from_folder(Path(folder), side) if folder else []
    return [case for case in found if not parts or any(part in case.name for part in parts)]


def _available(parts: Sequence[str]) -> list[Codec]:
    found = []
    for codec in codecs():
        if parts and not any(part.lower() in codec.name.lower() for part in parts):
            continue
        if missing := codec.missing():
            _note(f"{codec.name}: skipped, {', '.join(missing)} is not installed")
        else:
            found.append(codec)
    return found


def _warm_up(codec: Codec) -> None:
    """Import and compile, so that the first figure's speed is like the others'."""
    (small,) = next(iter(generated(1, 1, 16))).volumes
    for promise in ("10 m/s", "lossless"):
        if keeps(codec, promise):
            measure(codec, Case("warm-up", "", (small,)), promise)


def _note(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
