"""How time, memory and bytes grow with the number of models.

    python benchmarks/scale.py --models 10000                    # default effort and quality
    python benchmarks/scale.py --models 100000 --workers 2       # by dask, to a folder of shards

Generated models of five families, as many of each, are written to an .npy file, compressed by
`velcodec compress` in a separate process on two cores, and checked against the file by `velcodec
verify`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np

from velcodec import synth
from velcodec.effort import DEFAULT_EFFORT
from velcodec.formats.files.npy import NpyWriter

FAMILIES = ("flatvel_a", "curvevel_a", "flatfault_a", "curvefault_a", "style_a")
AT_ONCE = 500
COMMAND = [sys.executable, "-c", "from velcodec.cli import main; main()"]


def write_models(path: Path, count: int) -> None:
    """Write `count` models, as many of each family, at most some hundred at a time."""
    at_once = max(1, min(AT_ONCE, -(-count // len(FAMILIES))))
    with path.open("wb") as stream:
        writer = NpyWriter(stream, (count, 1, 70, 70), np.dtype(np.float32))
        for first in range(0, count, at_once):
            family = FAMILIES[first // at_once % len(FAMILIES)]
            models = synth.draw(family, 11, first, min(at_once, count - first)).render(70, 70)
            writer.add([models.numpy()])
        writer.close()


def run(*arguments: object) -> tuple[dict[str, Any], float, float, float]:
    """A command's figures, its wall-clock and CPU seconds, and the peak memory of its processes in
    MB.
    """
    started = time.perf_counter()
    words = [*COMMAND, *map(str, arguments), "--json"]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        text = child.stdout.read()
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        sys.exit(child.returncode)
    spent = time.perf_counter() - started
    return json.loads(text), spent, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def draw(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """Draw seconds and peak memory over the number of models, with the line of proportional
    growth.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    models = [row["models"] for row in rows]
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    last = rows[-1]
    for what, label in (("compress_s", "compress"), ("verify_s", "verify")):
        (line,) = left.loglog(models, [row[what] for row in rows], "o-", label=label)
        proportional = [last[what] * count / last["models"] for count in models]
        left.loglog(models, proportional, ":", color=line.get_color())
    left.set(xlabel="models", ylabel="seconds", title="Time (dotted: in proportion to the last)")
    left.legend()
    for what, label in (("compress_peak_mb", "compress"), ("verify_peak_mb", "verify")):
        right.semilogx(models, [row[what] for row in rows], "o-", label=label)
    right.axhline(2048, color="grey", linestyle="--", label="2 GB")
    right.set(xlabel="models", ylabel="MB", title="Peak memory of a process", ylim=(0, 2200))
    right.legend()
    figure.savefig(path, dpi=110)


@click.command()
@click.option("--models", default="1000,10000", help="Numbers of models, comma-separated.")
@click.option("--promise", default="--psnr 35", show_default=True, help="Target options.")
@click.option("--effort", default=DEFAULT_EFFORT, show_default=True, help="Effort, 1 to 9.")
@click.option("--workers", type=int, help="Compress with this many dask processes.")
@click.option("--threads", default=2, show_default=True, help="CPU threads per process.")
@click.option("--folder", type=click.Path(path_type=Path), help="Folder for files.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per number.")
@click.option("--picture", type=click.Path(path_type=Path), help="PNG of time and memory.")
def main(
    models: str,
    promise: str,
    effort: int,
    workers: int | None,
    threads: int,
    folder: Path | None,
    as_json: bool,
    picture: Path | None,
) -> None:
    """Compress and verify generated models; one row for each number."""
    click.echo(
        f"{'models':>8} {'generate s':>11} {'compress s':>11} {'core s':>8} {'models/s':>9} "
        f"{'peak MB':>8} {'bytes/model':>12} {'PSNR':>6} {'verify s':>9} {'peak MB':>8}"
    )
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(dir=folder) as name:
        for count in map(int, models.split(",")):
            source, target = Path(name) / f"{count}.npy", Path(name) / f"{count}.vlat"
            started = time.perf_counter()
            write_models(source, count)
            generated = time.perf_counter() - started
            spread = ["--dask", "local", "--workers", workers] if workers else []
            options = [*promise.split(), "--effort", effort, "--threads", threads, *spread]
            made, seconds, of_cores, peak = run("compress", source, target, *options)
            check, checked, check_cores, peak_check = run("verify", target, "--against", source)
            row = {
                "models": count,
                "generate_s": generated,
                "compress_s": seconds,
                "compress_core_s": of_cores,
                "compress_peak_mb": peak,
                "bytes_per_model": made["bytes_per_model"],
                "archive_bytes": made["bytes"],
                "psnr_db": check["psnr_db"],
                "verify_s": checked,
                "verify_core_s": check_cores,
                "core_hours_for_100_000": (of_cores + check_cores) / count * 1e5 / 3600,
                "verify_peak_mb": peak_check,
            }
            rows.append(row)
            source.unlink()
            if as_json:
                click.echo(json.dumps(row))
                continue
            click.echo(
                f"{count:8,} {generated:11.1f} {seconds:11.1f} {of_cores:8.1f} "
                f"{count / seconds:9.1f} {peak:8.0f} {row['bytes_per_model']:12.1f} "
                f"{row['psnr_db']:6.2f} {checked:9.1f} {peak_check:8.0f}"
            )
    if picture is not None:
        draw(rows, picture)


if __name__ == "__main__":
    main()
