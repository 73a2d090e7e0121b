"""The CSV files and the markdown tables of a run."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path

from .budgets import Best
from .external import External
from .measure import Point

RATES = (
    "codec,file,models,setting,bytes_per_model,psnr_db,ssim,mae_m_s,max_error_m_s,"
    "encode_mb_s,decode_mb_s,ideal,measured"
)
BUDGETS = "codec,file,budget,psnr_db,ssim,bytes_per_model,choice"
BOUNDS = (
    "codec,file,models,asked_m_s,bytes_per_model,max_error_m_s,kept,encode_mb_s,decode_mb_s,"
    "measured"
)


def write_rates(path: Path, points: Iterable[Point], external: Iterable[External] = ()) -> None:
    """One row for each lossy point: means over the models, the greatest of the errors.

    External rows hold what is known; their last field says that they were not measured.
    """
    others: list[Sequence[object]] = [
        (row.codec, row.file, "", row.asked, f"{row.bytes_per_model:.2f}", f"{row.psnr:.3f}")
        + ("",) * 6
        + ("no",)
        for row in external
        if row.psnr is not None
    ]
    _write(
        path,
        RATES,
        chain(
            (
                (
                    point.codec,
                    point.file,
                    len(point.sizes),
                    point.setting,
                    f"{point.bytes_per_model:.2f}",
                    f"{point.psnr.mean():.3f}",
                    f"{point.ssim.mean():.4f}",
                    f"{point.mae.mean():.3f}",
                    f"{point.max_error.max():.3f}",
                    f"{point.encode_speed:.3g}",
                    f"{point.decode_speed:.3g}",
                    "yes" if point.ideal else "no",
                    "yes",
                )
                for point in points
            ),
            others,
        ),
    )


def write_budgets(path: Path, found: Iterable[Best]) -> None:
    """One row for each budget that a codec keeps."""
    _write(
        path,
        BUDGETS,
        (
            (
                one.codec,
                one.file,
                f"{one.budget:g}",
                f"{one.psnr:.3f}",
                "" if one.ssim is None else f"{one.ssim:.4f}",
                f"{one.bytes_per_model:.2f}",
                one.choice,
            )
            for one in found
        ),
    )


def write_bounds(path: Path, points: Iterable[Point], external: Iterable[External] = ()) -> None:
    """One row for each bound and for lossless, with the error measured after decoding.

    External rows hold what is known; their last field says that they were not measured.
    """
    others: list[Sequence[object]] = [
        (row.codec, row.file, "", row.asked, f"{row.bytes_per_model:.2f}", "", "", "", "", "no")
        for row in external
        if row.setting.kind != "lossy"
    ]
    _write(
        path,
        BOUNDS,
        chain(
            (
                (
                    point.codec,
                    point.file,
                    len(point.sizes),
                    point.setting,
                    f"{point.bytes_per_model:.2f}",
                    f"{point.max_error.max():.6g}",
                    "yes" if point.kept else "no",
                    f"{point.encode_speed:.3g}",
                    f"{point.decode_speed:.3g}",
                    "yes",
                )
                for point in points
            ),
            others,
        ),
    )


def _write(path: Path, header: str, rows: Iterable[Sequence[object]]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header.split(","))
        writer.writerows(rows)


def budget_table(found: Sequence[Best]) -> str:
    """Codecs by budgets, dB / SSIM, for one file."""
    columns = [f"{budget:g}" for budget in sorted({one.budget for one in found})]
    cells = {
        (one.codec, f"{one.budget:g}"): f"{one.psnr:.1f}"
        + ("" if one.ssim is None else f" / {one.ssim:.3f}")
        for one in found
    }
    return _table("PSNR / SSIM within bytes per model", cells, columns)


def bound_table(points: Sequence[Point], external: Sequence[External] = ()) -> str:
    """Codecs by bounds, bytes per model, for one file; broken bounds are omitted."""
    others = [row for row in external if row.setting.kind != "lossy"]
    settings = {str(point.setting) for point in points} | {str(row.setting) for row in others}
    columns = sorted(settings, key=_bound_order)
    cells = {
        (point.codec, str(point.setting)): f"{point.bytes_per_model:.1f}"
        for point in points
        if point.kept
    } | {(row.label, str(row.setting)): f"{row.bytes_per_model:.1f}" for row in others}
    return _table("bytes per model within m/s", cells, columns)


def speed_table(points: Sequence[Point], near: float) -> str:
    """MB/s of each codec's point whose bytes are nearest to `near` in ratio, for one file."""
    cells: dict[tuple[str, str], str] = {}
    columns = ("bytes per model", "encode", "decode")
    for codec in dict.fromkeys(point.codec for point in points):
        own = [point for point in points if point.codec == codec]
        point = min(own, key=lambda one: abs(one.bytes_per_model / near - 1.0))
        values = (point.bytes_per_model, point.encode_speed, point.decode_speed)
        cells |= {
            (codec, column): f"{value:.3g}" for column, value in zip(columns, values, strict=True)
        }
    return _table("MB/s of float32", cells, columns)


def _bound_order(text: str) -> float:
    return float("inf") if text == "lossless" else float(text)


def _table(corner: str, cells: dict[tuple[str, str], str], columns: Sequence[str]) -> str:
    if not cells:
        return f"{corner}: none"
    lines = [f"| {corner} | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
    for codec in dict.fromkeys(codec for codec, _ in cells):
        row = " | ".join(cells.get((codec, column), "") for column in columns)
        lines.append(f"| {codec} | {row} |")
    return "\n".join(lines)
