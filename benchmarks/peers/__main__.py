"""`python -m benchmarks.peers FILE.npy... --models N --out FOLDER`."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from velcodec.formats.files.npy import read_models

from .base import Models, Peer
from .budgets import Best, best
from .measure import Point, curve, promises, warm_up
from .picture import draw_curves
from .registry import peers
from .tables import bound_table, budget_table, speed_table, write_bounds, write_budgets, write_rates

BUDGETS = (32.0, 48.0, 64.0, 96.0, 128.0, 192.0, 256.0)
BOUNDS = (1.0, 5.0, 10.0, 25.0, 50.0)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run, write the files as each file's figures are done, print the tables."""
    asked = _parse(arguments)
    asked.out.mkdir(parents=True, exist_ok=True)
    codecs = _available(asked.budgets, asked.only, asked.skip)
    rates: list[Point] = []
    bounds: list[Point] = []
    within: list[Best] = []
    tables: list[str] = []
    for path in asked.files:
        models = load(path, asked.models)
        _note(f"{path.stem}: {len(models)} models of {models.shape[1]} x {models.shape[2]}")
        points, kept = _measure_all(codecs, path.stem, models, asked.budgets, asked.lossy_only)
        found = [
            one
            for codec in codecs
            for budget in asked.budgets
            if (one := best([p for p in points if p.codec == codec.name], budget)) is not None
        ]
        rates, bounds, within = rates + points, bounds + kept, within + found
        write_rates(asked.out / "rates.csv", rates)
        write_bounds(asked.out / "bounds.csv", bounds)
        write_budgets(asked.out / "budgets.csv", within)
        _draw(asked.out / f"{path.stem}.png", path.stem, points)
        tables += [
            f"## {path.stem}, {len(models)} models",
            budget_table(found),
            bound_table(kept),
            speed_table(points, asked.budgets[-1]),
        ]
    print("\n\n".join(tables))


def load(path: Path, count: int | None) -> Models:
    """The first `count` models of a file, (n, nz, nx) float32, m/s."""
    found = read_models(path).models
    return np.ascontiguousarray(found[:count], dtype=np.float32)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE.npy")
    parser.add_argument("--models", type=int, help="the first so many of each file; default all")
    parser.add_argument("--out", type=Path, required=True, help="folder of the files written")
    parser.add_argument("--only", default="", help="codecs whose names hold one of these (A,B)")
    parser.add_argument("--skip", default="", help="codecs to leave out, likewise")
    parser.add_argument("--budgets", type=_numbers, default=BUDGETS, help="bytes per model (A,B)")
    parser.add_argument("--lossy-only", action="store_true", help="no bounds, no lossless")
    return parser.parse_args(arguments)


def _numbers(text: str) -> tuple[float, ...]:
    return tuple(sorted(float(part) for part in text.split(",")))


def _available(budgets: Sequence[float], only: str, skip: str) -> list[Peer]:
    """The peers that are asked for and whose packages are there; says which are not."""
    chosen = []
    for peer in peers(budgets):
        wanted = not only or _names(peer.name, only)
        if not wanted or (skip and _names(peer.name, skip)):
            continue
        if missing := peer.missing():
            _note(f"{peer.name}: skipped, {', '.join(missing)} is not installed")
        else:
            chosen.append(peer)
    return chosen


def _names(name: str, parts: str) -> bool:
    return any(part.strip().lower() in name.lower() for part in parts.split(","))


def _measure_all(
    codecs: Sequence[Peer],
    file: str,
    models: Models,
    budgets: Sequence[float],
    lossy_only: bool,
) -> tuple[list[Point], list[Point]]:
    points: list[Point] = []
    kept: list[Point] = []
    for codec in codecs:
        if len(models) < codec.fewest:
            _note(f"  {codec.name}: left out, it takes {codec.fewest} models at least")
            continue
        started = time.perf_counter()
        warm_up(codec, models)
        points += curve(codec, file, models, budgets, _note)
        if not lossy_only:
            kept += promises(codec, file, models, BOUNDS, _note)
        _note(f"  {codec.name}: {time.perf_counter() - started:.0f} s")
    return points, kept


def _draw(path: Path, file: str, points: Sequence[Point]) -> None:
    if not points:
        return
    try:
        draw_curves(path, file, points)
    except ImportError:
        _note("picture: skipped, matplotlib is not installed")


def _note(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
