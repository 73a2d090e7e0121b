"""Bytes, quality and speed of every level of effort, on published models.

    python -m benchmarks.effort --json docs/effort.json --picture docs/img/effort.png

Needs VELCODEC_REAL_DATA. Takes the last models of each set; an archive of so few pays much for its
header, so that figures are for comparing levels. Speed is processor time of one core. A matrix
product, and JPEG XL at effort 7 where imagecodecs is installed, are timed in the same run.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

import velcodec
from benchmarks.shared import seconds
from velcodec.effort import LEVELS
from velcodec.metrics import psnr_of_mse
from velcodec.parallel import set_threads

FILES = {
    "FlatVel-A": "flatvel_a.npy",
    "CurveVel-A": "curvevel_a.npy",
    "FlatFault-A": "flatfault_a.npy",
    "CurveFault-A": "curvefault_a_figure.npy",
    "Style-A": "style_a_figure.npy",
}
TARGETS: dict[str, dict[str, Any]] = {
    "35 dB": {},
    "64 bytes": {"bytes_per_model": 64.0, "latent_only": True},
    "lossless": {"lossless": True},
}


def measured(models: NDArray[np.generic], level: int, target: dict[str, Any]) -> dict[str, float]:
    """Bytes a model, mean PSNR in dB and models per second of a core, of one archive."""
    started = time.process_time()
    data = velcodec.compress(models, effort=level, **target)
    seconds = time.process_time() - started
    decoded = np.asarray(velcodec.decompress(data), dtype=np.float64)
    errors = np.square(decoded - models).reshape(len(models), -1).mean(axis=1)
    return {
        "bytes": len(data) / len(models),
        "psnr_db": float(np.mean([psnr_of_mse(float(error)) for error in errors])),
        "models_per_s": len(models) / seconds,
    }


def product_ms() -> float:
    """Processor ms of a float32 product of 1024 x 1024 matrices."""
    one, other = np.random.default_rng(0).random((2, 1024, 1024), dtype=np.float32)
    return 1e3 * seconds(lambda: one @ other)


def jpeg_xl(sets: dict[str, NDArray[np.generic]]) -> dict[str, float] | None:
    """Bytes and models per second of JPEG XL at effort 7, lossless, 16 bits of whole m/s; None
    where imagecodecs is not installed.
    """
    try:
        from imagecodecs import jpegxl_encode
    except ImportError:
        return None
    images = [
        np.rint(m).astype(np.uint16) for own in sets.values() for m in own.reshape(-1, 70, 70)
    ]

    def encoded() -> list[bytes]:
        return [jpegxl_encode(image, lossless=True, effort=7, numthreads=1) for image in images]

    spent = seconds(encoded, runs=3)
    return {
        "bytes": float(np.mean([len(data) for data in encoded()])),
        "models_per_s": len(images) / spent,
    }


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """Mean bytes at 35 dB and PSNR at 64 bytes over models per second, a mark for each level."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    for axis, target, key, label in (
        (axes[0], "35 dB", "bytes", "bytes a model at 35 dB"),
        (axes[1], "64 bytes", "psnr_db", "PSNR dB at 64 bytes a model"),
    ):
        points = [means(rows, level, target) for level in sorted({row["level"] for row in rows})]
        axis.plot([p["models_per_s"] for p in points], [p[key] for p in points], "o-")
        for point in points:
            axis.annotate(f" {point['level']}", (point["models_per_s"], point[key]))
        axis.set(xscale="log", xlabel="models per second of a core", ylabel=label)
        axis.set_xticks([1, 2, 5, 10, 20], labels=["1", "2", "5", "10", "20"])
        axis.set_xticks([], minor=True)
        axis.grid(alpha=0.3)
    figure.suptitle("Levels of effort, mean of five families")
    figure.savefig(path, dpi=110)


def means(rows: list[dict[str, Any]], level: int, target: str) -> dict[str, Any]:
    """The mean over families; of speeds the harmonic one."""
    own = [row for row in rows if row["level"] == level and row["target"] == target]
    return {
        "level": level,
        "bytes": float(np.mean([row["bytes"] for row in own])),
        "psnr_db": float(np.mean([row["psnr_db"] for row in own])),
        "models_per_s": 1.0 / float(np.mean([1.0 / row["models_per_s"] for row in own])),
    }


@click.command()
@click.option("--models", default=10, help="Models of each set, from its end.")
@click.option("--levels", default=",".join(map(str, LEVELS)), help="Levels, comma-separated.")
@click.option("--targets", default=",".join(TARGETS), help="Targets, comma-separated.")
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="JSON of all rows.")
@click.option("--picture", type=click.Path(path_type=Path), help="PNG of sizes over speeds.")
def main(
    models: int, levels: str, targets: str, json_file: Path | None, picture: Path | None
) -> None:
    """Compress real models at several levels of effort; one row for each level and target."""
    folder = os.environ.get("VELCODEC_REAL_DATA")
    if folder is None:
        sys.exit("VELCODEC_REAL_DATA is not set: it names the folder of published models")
    set_threads(1)
    sets = {name: np.load(Path(folder) / file)[-models:] for name, file in FILES.items()}
    for own in sets.values():  # loads and compiles
        for usual in ({}, {"psnr": 20.0, "latent_only": True}, {"lossless": True}):
            velcodec.compress(own[:2], **usual)
    before = product_ms()
    rows: list[dict[str, Any]] = []
    found: dict[str, Any] = {"models": models, "product_ms": [before], "rows": rows}
    for target in targets.split(","):
        for level in map(int, levels.split(",")):
            for family, own in sets.items():
                row = measured(own, level, TARGETS[target])
                rows.append({"target": target, "level": level, "family": family, **row})
            own_rows, mean = rows[-len(sets) :], means(rows, level, target)
            shown = " ".join(f"{row['bytes']:8.1f} B {row['psnr_db']:6.2f} dB" for row in own_rows)
            if json_file is not None:
                json_file.write_text(json.dumps(found, indent=1) + "\n")
            click.echo(f"{target:>9} {level}  {shown}  {mean['models_per_s']:.1f} models/s")
    found |= {"product_ms": [before, product_ms()], "jpeg_xl": jpeg_xl(sets)}
    click.echo(f"product: {found['product_ms']} ms, JPEG XL: {found['jpeg_xl']}")
    if json_file is not None:
        json_file.write_text(json.dumps(found, indent=1) + "\n")
    if picture is not None:
        draw(rows, picture)


if __name__ == "__main__":
    main()
