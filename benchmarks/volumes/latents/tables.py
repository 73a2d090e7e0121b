"""What the figures come to: bytes at a PSNR, and PSNR at a size."""

from __future__ import annotations

from typing import Any

import numpy as np

from .coding import Row

AT_DB, AT_BYTES = (25.0, 30.0, 35.0), (32, 64, 128, 256)


def tables(found: list[dict[str, Any]]) -> str:
    """Markdown: a row for each volume, latents before samples in every cell."""
    names = [f"B at {db:g} dB" for db in AT_DB]
    names += [f"dB at {n} B" for n in AT_BYTES] + [f"twice, at {n} B" for n in AT_BYTES]
    lines = ["| | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
    for row in found:
        kinds = row["latents"], row["samples"]
        cells = [_pair(_bytes_at(kinds, db), "{:.0f}") for db in AT_DB]
        for figure in ("psnr", "twice"):
            cells += [_pair(_at_bytes(kinds, n, figure), "{:.1f}") for n in AT_BYTES]
        lines.append(f"| {row['family']} {row['number']} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _pair(values: tuple[float | None, float | None], form: str) -> str:
    return " / ".join("-" if v is None else form.format(v) for v in values)


def _bytes_at(kinds: tuple[list[Row], list[Row]], db: float) -> tuple[float | None, float | None]:
    sizes, levels = _curve(kinds[0], "psnr")
    between = None
    if levels[0] <= db <= levels[-1]:
        between = float(np.exp(np.interp(db, levels, np.log(sizes))))
    elif db < levels[0]:
        between = sizes[0]
    enough = [row["bytes"] for row in kinds[1] if row["psnr"] >= db]
    return between, min(enough, default=None)


def _at_bytes(
    kinds: tuple[list[Row], list[Row]], size: float, figure: str
) -> tuple[float | None, float | None]:
    sizes, levels = _curve(kinds[0], figure)
    between = float(np.interp(np.log(size), np.log(sizes), levels)) if size >= sizes[0] else None
    return between, max((row[figure] for row in kinds[1] if row["bytes"] <= size), default=None)


def _curve(rows: list[Row], figure: str) -> tuple[list[float], list[float]]:
    """Sizes and levels of the rows that no shorter one reaches."""
    sizes, levels = list[float](), list[float]()
    for row in sorted(rows, key=lambda row: row["bytes"]):
        if not levels or row[figure] > levels[-1]:
            sizes.append(row["bytes"])
            levels.append(row[figure])
    return sizes, levels
