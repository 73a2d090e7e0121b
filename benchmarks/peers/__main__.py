"""`python -m benchmarks.peers FILE.npy... --models N --out FOLDER`."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from .base import Models, Peer
from .budgets import Best, best, best_external
from .external import External, read_external
from .load import load
from .measure import Point, curve, promises, warm_up
from .picture import draw_curves
from .registry import peers
from .tables import bound_table, budget_table, speed_table, write_bounds, write_budgets, write_rates

BUDGETS = (32.0, 48.0, 64.0, 96.0, 128.0, 192.0, 256.0)
BOUNDS = (1.0, 5.0, 10.0, 25.0, 50.0)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run, write the results after each file, print the tables."""
    asked = _parse(arguments)
    asked.out.mkdir(parents=True, exist_ok=True)
    external = _external(asked.external, asked.files)
    codecs = _available(asked.budgets, asked.only, asked.skip)
    rates: list[Point] = []
    bounds: list[Point] = []
    within: list[Best] = []
    tables: list[str] = []
    for path in asked.files:
        models = load(path, asked.models, asked.last)
        others = [row for row in external if row.file == path.stem]
        _note(f"{path.stem}: {len(models)} models of {models.shape[1]} x {models.shape[2]}")
        points, kept = _measure_all(codecs, path.stem, models, asked)
        found = [
            one
            for codec in codecs
            for budget in asked.budgets
            if (one := best([p for p in points if p.codec == codec.name], budget)) is not None
        ]
        if not asked.bounds_only:
            found += best_external(others, asked.budgets)
        rates, bounds, within = rates + points, bounds + kept, within + found
        write_rates(asked.out / "rates.csv", rates, external)
        write_bounds(asked.out / "bounds.csv", bounds, external)
        write_budgets(asked.out / "budgets.csv", within)
        _draw(asked.out / f"{path.stem}.png", path.stem, points)
        tables += [
            f"## {path.stem}, {len(models)} models",
            budget_table(found),
            bound_table(kept, [] if asked.lossy_only else others),
            speed_table(points, asked.budgets[-1]),
        ]
    print("\n\n".join(tables))


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE.npy")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--models", type=int, help="first models of each file; default all")
    which.add_argument("--last", type=int, help="last models of each file")
    parser.add_argument("--out", type=Path, required=True, help="output folder")
    parser.add_argument("--only", default="", help="codecs whose names contain one of these (A,B)")
    parser.add_argument("--skip", default="", help="codecs to skip, likewise")
    parser.add_argument("--budgets", type=_numbers, default=BUDGETS, help="bytes per model (A,B)")
    kinds = parser.add_mutually_exclusive_group()
    kinds.add_argument("--lossy-only", action="store_true", help="no bounds, no lossless")
    kinds.add_argument("--bounds-only", action="store_true", help="bounds and lossless alone")
    parser.add_argument(
        "--external", type=Path, action="append", default=[], help="figures of other programs, CSV"
    )
    return parser.parse_args(arguments)


def _numbers(text: str) -> tuple[float, ...]:
    return tuple(sorted(float(part) for part in text.split(",")))


def _external(tables: Sequence[Path], files: Sequence[Path]) -> list[External]:
    """The rows of `tables` for these files; reports rows for others."""
    rows = [row for table in tables for row in read_external(table)]
    run = {path.stem for path in files}
    for name in dict.fromkeys(row.file for row in rows if row.file not in run):
        _note(f"external figures of {name}: left out, the file is not in this run")
    return [row for row in rows if row.file in run]


def _available(budgets: Sequence[float], only: str, skip: str) -> list[Peer]:
    """The requested peers whose packages are installed; reports missing ones."""
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
    asked: argparse.Namespace,
) -> tuple[list[Point], list[Point]]:
    points: list[Point] = []
    kept: list[Point] = []
    for codec in codecs:
        if len(models) < codec.fewest:
            _note(f"  {codec.name}: left out, it takes {codec.fewest} models at least")
            continue
        started = time.perf_counter()
        warm_up(codec, models)
        if not asked.bounds_only:
            points += curve(codec, file, models, asked.budgets, _note)
        if not asked.lossy_only:
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
