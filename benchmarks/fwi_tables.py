"""Tables of what `benchmarks/fwi.py` measured: errors of both methods, and the guard's verdicts.

A failure is a latent farther from the truth than the grid (MAE); "chosen" is the latent where the
guard trusts it, else the grid. Verdicts are those of the guard as it is now, by kept misfits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from velcodec.fwi.guard import MISFIT_RATIO, is_trusted, misfit_ratio

METHODS = ("start", "grid", "latent", "fit")
SHOWN = ("start", "grid", "latent", "chosen", "fit")
HEADS = ("models", *SHOWN, "grid / latent", "worst: grid, latent", "failures", "doubted rightly")
RATIOS = (2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 12.0)

Row = dict[str, Any]


def trusted(row: Row) -> bool:
    """The guard's verdict."""
    return is_trusted(*(row[name] for name in ("misfit", "grid_misfit", "noise_misfit", "energy")))


def failed(row: Row) -> bool:
    """Whether the latent is farther from the truth than the grid."""
    return bool(row["latent"]["mae"] > row["grid"]["mae"])


def rows_by_setting(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """Rows by their setting, in words, in order of first appearance."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        s = row["setting"]
        words = [f"{s['budget']} shot-gradients", f"{s['start']} starts"]
        words += [f"noise {s['noise']:g}"] * bool(s["noise"])
        words += [f"nothing below {s['lowest']} Hz"] * bool(s["lowest"])
        words += ["other propagator"] * s["other_propagator"]
        found.setdefault(", ".join(words), []).append(row)
    return found


def table(rows: Sequence[Row]) -> str:
    """A markdown table, a line for each name of models: means, and worst MAE."""
    lines = [f"| {' | '.join(HEADS)} |", "|---" * len(HEADS) + "|"]
    for name in dict.fromkeys(row["name"] for row in rows):
        lines.append(_line(name, [row for row in rows if row["name"] == name]))
    return "\n".join(lines)


def _line(name: str, rows: Sequence[Row]) -> str:
    cells, means = [], {}
    for method in SHOWN:
        chosen = [
            row["latent" if trusted(row) else "grid"] if method == "chosen" else row[method]
            for row in rows
        ]
        error, likeness = (np.mean([each[key] for each in chosen]) for key in ("mae", "ssim"))
        means[method] = error
        cells.append(f"{error:.0f} / {likeness:.2f}")
    worst = [max(row[method]["mae"] for row in rows) for method in ("grid", "latent")]
    doubted = [row for row in rows if not trusted(row)]
    cells += [f"{means['grid'] / means['latent']:.1f}", f"{worst[0]:.0f}, {worst[1]:.0f}"]
    cells += [f"{sum(map(failed, rows))}", f"{sum(map(failed, doubted))} of {len(doubted)}"]
    return f"| {name} ({len(rows)}) | {' | '.join(cells)} |"


def verdicts(rows: Sequence[Row]) -> str:
    """The guard's precision and recall, of all rows and of those of Style."""
    lines = []
    for said, some in (("all", rows), ("Style", [r for r in rows if "style" in r["name"]])):
        doubted, failures = [r for r in some if not trusted(r)], [r for r in some if failed(r)]
        right = sum(map(failed, doubted))
        costs = [r["grid"]["mae"] - r["latent"]["mae"] for r in doubted if not failed(r)]
        lines.append(
            f"{said}, {len(some)} results: doubted {len(doubted)}, of them failures {right}; "
            f"failures {len(failures)}; false alarms cost {sum(costs):.0f} m/s in all, "
            f"{max(costs, default=0):.0f} at most"
        )
    return "\n".join(lines)


def thresholds(rows: Sequence[Row]) -> str:
    """What other ratios of misfits would do on generated models: a table to choose by."""
    rows = [row for row in rows if not row["name"].endswith(".npy")]
    heads = ("ratio", "doubted", "rightly", "failures told, %", "Style's told, %", "chosen MAE")
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for limit in RATIOS:
        doubted = [row for row in rows if _ratio(row) > limit]
        kinds = (rows, [row for row in rows if "style" in row["name"]])
        told = []
        for some in kinds:
            failures = [row for row in some if failed(row)]
            shares = [_ratio(row) > limit for row in failures]
            told.append(f"{100 * np.mean(shares):.0f}" if shares else "-")
        chosen = [row["grid" if _ratio(row) > limit else "latent"]["mae"] for row in rows]
        cells = [len(doubted), sum(map(failed, doubted)), *told, f"{np.mean(chosen or [0]):.1f}"]
        mark = " (in use)" if limit == MISFIT_RATIO else ""
        lines.append(f"| {limit:g}{mark} | {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def _ratio(row: Row) -> float:
    return misfit_ratio(row["misfit"], row["grid_misfit"], row["noise_misfit"])
