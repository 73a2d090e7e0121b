"""Figures of programs that this benchmark does not run, in a CSV file."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from .base import Setting

COLUMNS = ("file", "codec", "setting", "bytes_per_model", "psnr_db")

MARK = "not measured in this run"


class ExternalFileError(ValueError):
    """A file of external figures is not what docs/peers.md describes."""


@dataclass(frozen=True)
class External:
    """A codec's mean bytes per model of a file (its name without suffix), losslessly, within a
    bound or at a PSNR (mean over the models, dB; None if unknown).
    """

    file: str
    codec: str
    setting: Setting
    bytes_per_model: float
    psnr: float | None = None

    @property
    def label(self) -> str:
        """The codec's name in tables."""
        return f"{self.codec} ({MARK})"

    @property
    def asked(self) -> str:
        """The setting as the file writes it."""
        return str(self.setting) if self.setting.kind == "bound" else self.setting.kind


def read_external(path: Path) -> list[External]:
    """The rows of a file; lines that begin with # are comments. Raises ExternalFileError."""
    lines = [
        (number, line)
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if line.strip() and not line.startswith("#")
    ]
    rows = csv.reader(line for _, line in lines)
    header = tuple(next(rows, []))
    if header != COLUMNS:
        raise ExternalFileError(f"{path}: columns: found {header}, expected {COLUMNS}")
    return [
        _row(f"{path}: line {number}", row)
        for (number, _), row in zip(lines[1:], rows, strict=True)
    ]


def _row(place: str, row: Sequence[str]) -> External:
    if len(row) != len(COLUMNS):
        raise ExternalFileError(f"{place}: found {len(row)} fields, expected {len(COLUMNS)}")
    file, codec, setting, size, psnr = (field.strip() for field in row)
    if not file or not codec:
        raise ExternalFileError(f"{place}: found no file or codec, expected both")
    decibels = None if not psnr else _positive(f"{place}: psnr_db", psnr)
    size_found = _positive(f"{place}: bytes_per_model", size)
    return External(file, codec, _setting(place, setting, decibels), size_found, decibels)


def _setting(place: str, text: str, psnr: float | None) -> Setting:
    if text == "lossless":
        return Setting("lossless")
    if text != "lossy":
        return Setting("bound", _positive(f"{place}: setting", text))
    if psnr is None:
        raise ExternalFileError(f"{place}: psnr_db: found none, expected one of a lossy row")
    return Setting("lossy")


def _positive(place: str, text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not (math.isfinite(number) and number > 0):
        raise ExternalFileError(f"{place}: found {text!r}, expected a number above 0")
    return number


def write_external(path: Path, comment: Iterable[str], rows: Iterable[External]) -> None:
    """A file that `read_external` reads."""
    with path.open("w", newline="", encoding="utf-8") as file:
        file.writelines(f"# {line}\n" for line in comment)
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for row in rows:
            psnr = "" if row.psnr is None else f"{row.psnr:.2f}"
            size = f"{row.bytes_per_model:.2f}"
            writer.writerow((row.file, row.codec, row.asked, size, psnr))
