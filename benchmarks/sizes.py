"""Bytes and quality on published models: the tables of README.md and docs/figures.md.

    python -m benchmarks.sizes [--write]

Needs VELCODEC_REAL_DATA. Prints every table as Markdown; `--write` also puts it in place of the
table with the same first line. Each row is what `velcodec compress` makes of a file with the last
models of a set, on one thread.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

import velcodec
from benchmarks.effort import FILES
from velcodec import metrics

LAST = 40
LARGE = {"Marmousi2": "marmousi2_10m.npy", "SEG/EAGE salt slices": "segsalt_slices.npy"}
FIGURE = {"CurveFault-A", "Style-A"}
PAPER = {
    "FlatVel-A": "35.82 / 0.978",
    "CurveVel-A": "33.45 / 0.962",
    "FlatFault-A": "31.28 / 0.948",
    "CurveFault-A": "30.56 / 0.941",
    "Style-A": "31.24 / 0.951",
}
ROOT = Path(__file__).parents[1]

Row = Sequence[str]


class Measured:
    """The archive of some models by some options: bytes for each model, PSNR (dB), SSIM."""

    def __init__(self, models: NDArray[np.float32], *options: str) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path, out = Path(folder) / "models.npy", Path(folder) / "models.vlat"
            np.save(path, models)
            words = [sys.executable, "-m", "velcodec", "compress", str(path), str(out)]
            subprocess.run(
                [*words, "--threads", "1", *options],
                check=True,
                stdout=subprocess.DEVNULL,
                env=os.environ | {"OMP_NUM_THREADS": "1"},
            )
            self.bytes = out.stat().st_size / max(
                1, models.size // (models.shape[-2] * models.shape[-1])
            )
            decoded = velcodec.decompress(out)
        shape = (-1, *models.shape[-2:])
        pairs = list(zip(models.reshape(shape), decoded.reshape(shape), strict=True))
        self.psnr = [metrics.psnr(a, b) for a, b in pairs]
        self.ssim = [metrics.ssim(a, b) for a, b in pairs]

    def __str__(self) -> str:
        if min(self.psnr) == metrics.PSNR_CAP:
            return "equal"
        return f"{np.mean(self.psnr):.2f} / {np.mean(self.ssim):.3f}"


def tables(data: Path) -> Iterator[tuple[str, Path, Row, list[Row]]]:
    """What each table is called, where it stands, its first line and its rows."""
    sets = {name: np.load(data / file)[-LAST:] for name, file in FILES.items()}
    large = {name: np.load(data / file) for name, file in LARGE.items()}
    figures = ROOT / "docs" / "figures.md"

    rows: list[Row] = []
    for name, models in tqdm((sets | dict(reversed(large.items()))).items(), "default"):
        found = Measured(models)
        least = f" ({min(found.psnr):.2f})" if len(found.psnr) > 1 else ""
        rows.append(
            (
                _named(name, models),
                f"{found.bytes:,.1f}",
                f"{np.mean(found.psnr):.2f}{least}",
                f"{np.mean(found.ssim):.4f}",
            )
        )
    yield (
        "the default",
        ROOT / "README.md",
        ("file", "bytes/model", "PSNR dB, mean (least)", "SSIM"),
        rows,
    )

    rows = []
    for name, models in tqdm(sets.items(), "64 and 96 bytes"):
        cells = []
        for size in (64, 96):
            found = Measured(models, "--bytes-per-model", str(size))
            short = f" (at {found.bytes:.1f} B)" if found.bytes < size - 1 else ""
            cells.append(f"{found}{short}")
        rows.append((_named(name, models), *cells, PAPER[name]))
    yield "a size", figures, ("file", "64 B", "96 B", "the paper, 1,024 B"), rows

    rows = []
    for size in (32, 64):
        ask = "--bytes-per-model", str(size), "--latent-only"
        cells = [
            f"{np.mean(Measured(sets[n], *ask).psnr):.1f}" for n in tqdm(sets, f"{size} bytes")
        ]
        rows.append((str(size), *cells))
    yield "latents alone", figures, ("bytes", *(_title(name) for name in sets)), rows

    bounds: Mapping[str, tuple[str, ...]] = {
        "lossless": ("--lossless",),
        **{f"{bound}": ("--max-error", f"{bound}") for bound in (1, 5, 10, 25)},
        "50 m/s": ("--max-error", "50"),
    }
    rows = []
    for name, models in tqdm(sets.items(), "bounds"):
        cells = [f"{Measured(models, *options).bytes:.1f}" for options in bounds.values()]
        rows.append((_named(name, models), *cells))
    yield "bounds", figures, (f"the last {LAST} of", *bounds), rows

    few = {
        "lossless": ("--lossless",),
        "10": ("--max-error", "10"),
        "25 m/s": ("--max-error", "25"),
    }
    rows = []
    for name, models in tqdm(large.items(), "large models"):
        cells = [f"{Measured(models, *options).bytes:,.1f}" for options in few.values()]
        rows.append((_named(name, models), *cells))
    yield "bounds on large models", figures, ("large models, bytes each", *few), rows


def _title(name: str) -> str:
    return f"{name}, figure" if name in FIGURE else name


def _named(name: str, models: NDArray[np.float32]) -> str:
    """The set's name as tables have it."""
    if name == "FlatFault-A":
        return f"{name}, 4 layers"
    if name in LARGE:
        count = 1 if models.ndim == 2 else len(models)
        return f"{name}, {models.shape[-2]} x {models.shape[-1]} ({count})"
    return _title(name)


def put_table(page: Path, first: Row, rows: Sequence[Row]) -> None:
    """Replace the rows of the one table with this first line. Raises click.ClickException."""
    lines = page.read_text().split("\n")
    head = _line(first)
    if lines.count(head) != 1:
        raise click.ClickException(f"{page}: found {lines.count(head)} tables {head}, expected one")
    begin = lines.index(head) + 2
    end = begin + next(i for i, line in enumerate(lines[begin:]) if not line.startswith("|"))
    lines[begin:end] = [_line(row) for row in rows]
    page.write_text("\n".join(lines))


def _line(cells: Row) -> str:
    return f"| {' | '.join(cells)} |"


@click.command()
@click.option("--write", is_flag=True, help="Also put the tables into README.md and docs.")
def main(write: bool) -> None:
    """Measure every table."""
    folder = os.environ.get("VELCODEC_REAL_DATA")
    if not folder:
        raise click.ClickException("VELCODEC_REAL_DATA: expected a folder of published models")
    for name, page, first, rows in tables(Path(folder)):
        click.echo(f"\n{name}\n\n{_line(first)}\n|{'---|' * len(first)}")
        click.echo("\n".join(_line(row) for row in rows))
        if write:
            put_table(page, first, rows)


if __name__ == "__main__":
    main()
