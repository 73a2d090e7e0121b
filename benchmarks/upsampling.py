"""Renderings finer than the stored grid, compared with the usual interpolations of the samples.

    python -m benchmarks.upsampling                            # lossless records
    python -m benchmarks.upsampling --default --models 6       # records of compress without options
    python -m benchmarks.upsampling --models 0 --json FILE     # files only
    python -m benchmarks.upsampling --volumes 8                # volumes only

Generated models are stored at 70 x 70 and measured against the generator's exact values at --res.
Files (FILES, or those of the folder VELCODEC_REAL_DATA) are decimated, stored, and measured at
every original sample. "half" stores every second sample along each axis; the file's sample p lies
at p/2 + 1/2 of the stored cells. "mean" stores means of 4 x 4 samples, cropped to whole cells, for
files whose models are larger than 70 x 70. PSNR is in dB over 3000 m/s, averaged over models.

With --volumes, generated volumes of --side samples along each axis are rendered at twice their
grid by the volumes' sampler, and interpolated; "bilinear" and "bicubic" are then trilinear and
tricubic.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

import velcodec
from velcodec import synth
from velcodec.decoder import NATIVE_SAMPLES
from velcodec.metrics import psnr
from velcodec.parallel import set_threads
from velcodec.report.data import generated_truth
from velcodec.report.upsampling import KERNELS, SPLINE, interpolate, positions, upsample_volume

Model = NDArray[Any]

UPSAMPLINGS = (*KERNELS, SPLINE)
RECORDS: dict[str, dict[str, Any]] = {"lossless": {"lossless": True}, "default": {}}
"""Arguments of `velcodec.compress` for each kind of record."""

MEANS = 4
VOLUME_SEED = 2001
SPACING_M = 10.0


@dataclass(frozen=True)
class Case:
    """Models as stored, [z, x] in m/s, and the truth that they are measured against.

    `truth` has the values (n, len(z), len(x)) at positions z and x, in stored cells.
    """

    name: str
    stored: Sequence[Model]
    truth: Sequence[Model]
    z: NDArray[np.float64]
    x: NDArray[np.float64]

    @property
    def points(self) -> NDArray[np.float64]:
        """The positions in metres, (P, 2) as (x, z)."""
        z, x = np.meshgrid(self.z, self.x, indexing="ij")
        return (np.stack([x.ravel(), z.ravel()], axis=1) - 0.5) * SPACING_M


def generated(family: str, models: int, res: int) -> Case:
    """Models of a generator family."""
    drawn, n = generated_truth(family, models), NATIVE_SAMPLES
    along = positions(n, res)
    stored, truth = (drawn.render(size, size).numpy() for size in (n, res))
    return Case(family, list(stored), list(truth), along, along)


def every_second(name: str, models: Sequence[Model]) -> Case:
    """Models stored as every second sample."""
    z, x = (np.arange(samples) / 2 + 0.5 for samples in models[0].shape)
    return Case(f"{name}, half", [np.ascontiguousarray(m[::2, ::2]) for m in models], models, z, x)


def means(name: str, models: Sequence[Model]) -> Case:
    """Models stored as means of 4 x 4 samples, cropped to whole cells."""
    nz, nx = (samples // MEANS for samples in models[0].shape)
    truth = [m[: nz * MEANS, : nx * MEANS] for m in models]
    cells = [m.reshape(nz, MEANS, nx, MEANS).mean((1, 3), dtype=np.float64) for m in truth]
    stored = [m.astype(models[0].dtype) for m in cells]
    return Case(
        f"{name}, mean", stored, truth, positions(nz, nz * MEANS), positions(nx, nx * MEANS)
    )


def cases_of(file: Path, models: int) -> Iterator[Case]:
    """The last `models` of a file, decimated."""
    array = np.load(file, mmap_mode="r")
    some = list(np.array(array.reshape(-1, *array.shape[-2:])[-models:]))
    yield every_second(file.stem, some)
    if min(some[0].shape) > NATIVE_SAMPLES:
        yield means(file.stem, some)


def measure(case: Case, records: Iterable[str]) -> dict[str, Any]:
    """Mean PSNR by method, and bytes per model by kind of record."""
    found: dict[str, list[float]] = {}
    sizes: dict[str, float] = {}
    for kind in records:
        data = velcodec.compress(list(case.stored), dx=SPACING_M, dz=SPACING_M, **RECORDS[kind])
        sizes[kind] = len(data) / len(case.stored)
        with velcodec.open(data) as archive:
            found[kind] = [
                psnr(true, archive.sample(i, case.points).reshape(true.shape))
                for i, true in enumerate(case.truth)
            ]
    for method in UPSAMPLINGS:
        found[method] = [
            psnr(true, interpolate(model.astype(np.float64), case.z, case.x, method))
            for model, true in zip(case.stored, case.truth, strict=True)
        ]
    return {
        "case": case.name,
        "models": len(case.stored),
        "bytes_per_model": sizes,
        "psnr_db": {method: float(np.mean(values)) for method, values in found.items()},
    }


def volume_row(family: str, count: int, side: int, sampler: Path | None) -> dict[str, Any]:
    """Mean PSNR by method of volumes of a family at twice their grid, and ns of CPU per point."""
    from velcodec.sampler.volume.compiled import SampledVolume
    from velcodec.sampler.volume.form import (
        NEWEST_VOLUME_SAMPLER,
        VolumeWeights,
        volume_sampler_of,
    )

    weights = VolumeWeights.read(sampler) if sampler else volume_sampler_of(NEWEST_VOLUME_SAMPLER)
    fine = (2 * side,) * 3
    found: dict[str, list[float]] = {method: [] for method in ("sampler", *UPSAMPLINGS)}
    nanoseconds = []
    drawn = synth.draw_volumes(family, VOLUME_SEED, 0, count)
    for number in range(count):
        one = synth.Volumes(drawn.each[number : number + 1], drawn.device)
        stored, truth = (one.render(*(n,) * 3)[0].numpy() for n in (side, 2 * side))
        started = time.process_time()
        rendered = SampledVolume(stored, weights).grid(*fine)
        nanoseconds.append((time.process_time() - started) / truth.size * 1e9)
        found["sampler"].append(psnr(truth, rendered))
        for method in UPSAMPLINGS:
            values = upsample_volume(stored.astype(np.float64), fine, method)
            found[method].append(psnr(truth, values))
    return {
        "case": f"{family}, {side}^3",
        "models": count,
        "bytes_per_model": {"ns per point": float(np.median(nanoseconds))},
        "psnr_db": {method: float(np.mean(values)) for method, values in found.items()},
    }


def heads(records: Sequence[str]) -> str:
    """The first line of the table."""
    columns = [*records, *UPSAMPLINGS, *(f"{kind} B" for kind in records)]
    return f"{'PSNR, dB':30}{'models':>7}" + "".join(f"{column:>11}" for column in columns)


def line(row: dict[str, Any]) -> str:
    """One case as a line of the table."""
    figures = "".join(f"{value:11.2f}" for value in row["psnr_db"].values())
    sizes = "".join(f"{value:11,.1f}" for value in row["bytes_per_model"].values())
    return f"{row['case']:30}{row['models']:7}{figures}{sizes}"


def mean_of(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Means of rows with equal numbers of models."""
    return {
        "case": "all generated",
        "models": sum(row["models"] for row in rows),
        **{
            key: {name: float(np.mean([row[key][name] for row in rows])) for name in rows[0][key]}
            for key in ("bytes_per_model", "psnr_db")
        },
    }


@click.command()
@click.argument("files", nargs=-1, type=click.Path(path_type=Path, exists=True))
@click.option("--models", default=24, show_default=True, help="Models per family; 0 for none.")
@click.option(
    "--family",
    "families",
    multiple=True,
    type=click.Choice([*synth.FAMILIES, *synth.VOLUME_FAMILIES]),
)
@click.option(
    "--res", default=4 * NATIVE_SAMPLES, show_default=True, help="Generated models' grid."
)
@click.option("--file-models", default=40, show_default=True, help="Models per file; 0 for none.")
@click.option("--default", "by_default", is_flag=True, help="Also measure default records.")
@click.option("--volumes", default=0, help="Generated volumes per family, and nothing else.")
@click.option("--side", "sides", default=(64,), multiple=True, help="Samples along their axes.")
@click.option("--sampler", type=click.Path(path_type=Path), help="Another volumes' sampler.")
@click.option("--json", "output", type=click.Path(path_type=Path), help="JSON of all figures.")
def main(
    files: tuple[Path, ...],
    models: int,
    families: tuple[str, ...],
    res: int,
    file_models: int,
    by_default: bool,
    volumes: int,
    sides: tuple[int, ...],
    sampler: Path | None,
    output: Path | None,
) -> None:
    """Print a line for each family and each decimated file."""
    if volumes:
        set_threads(1)
        columns = ["sampler", *UPSAMPLINGS, "ns/point"]
        click.echo(f"{'PSNR, dB':30}{'models':>7}" + "".join(f"{name:>11}" for name in columns))
        rows = []
        for side in sides:
            for family in families or synth.VOLUME_FAMILIES:
                rows.append(volume_row(family, volumes, side, sampler))
                click.echo(line(rows[-1]))
        write(output, None, rows)
        return
    records = list(RECORDS) if by_default else ["lossless"]
    folder = os.environ.get("VELCODEC_REAL_DATA")
    found = list(files) or (sorted(Path(folder).glob("*.npy")) if folder else [])
    started = time.perf_counter()

    def measured(case: Case) -> dict[str, Any]:
        row = measure(case, records)
        click.echo(line(row))
        return row

    click.echo(heads(records))
    drawn = (families or synth.FAMILIES) if models else ()
    rows = [measured(generated(family, models, res)) for family in drawn]
    if len(rows) > 1:
        rows.append(mean_of(rows))
        click.echo(line(rows[-1]))
    for file in found if file_models else ():
        rows += [measured(case) for case in cases_of(file, file_models)]
    click.echo(f"{time.perf_counter() - started:.0f} s", err=True)
    write(output, res, rows)


def write(output: Path | None, res: int | None, rows: Sequence[dict[str, Any]]) -> None:
    """The JSON of all figures, if one is asked for."""
    if output is not None:
        about = {"velcodec": velcodec.__version__, "res": res, "rows": rows}
        output.write_text(json.dumps(about, indent=1) + "\n")


if __name__ == "__main__":
    main()
