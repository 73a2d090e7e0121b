"""`python -m benchmarks.volumes.memory [--mb 1000] [--family gradient] [--format npy]`: memory and
speed of the commands on a large volume, and how little is read of its archive for one brick.

The volume is a generated one of 128 samples a side, mirrored and moved along until it is large
enough. Commands run in processes of their own, whose memory the system tells (Linux).
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray

import velcodec
from velcodec import synth
from velcodec.formats.container.reader import VlatReader
from velcodec.formats.files import Form, open_sink
from velcodec.parallel import set_threads

from .cases import SIDE, Volume

EVERY_S = 0.02
"""Between two looks at a process's memory."""

BRICK = 64
ONE_BRICK = (
    "import sys, velcodec; archive = velcodec.open(sys.argv[1]); "
    "archive.box(0, [(int(a), int(a) + 64) for a in sys.argv[2:]])"
)


@dataclass(frozen=True)
class Run:
    """A command: seconds on the clock and of processors, and the greatest memory in MB, resident in
    all and without pages of files.
    """

    seconds: float
    cpu_seconds: float
    resident_mb: float
    private_mb: float


def large_volume(megabytes: float, family: str) -> Iterator[Volume]:
    """The planes of a cube of about so many MB."""
    (base,) = synth.volumes(family, 1, 1001, (SIDE,) * 3)
    side = round((megabytes * 1e6 / 4) ** (1 / 3))

    def mirrored(first: int) -> NDArray[np.int64]:
        place = (np.arange(side) + first) % (2 * SIDE - 2)
        return np.minimum(place, 2 * SIDE - 2 - place)

    depths = mirrored(0)
    for z in range(side):
        yield base[depths[z]][mirrored(z // 9)[:, None], mirrored(z // 5)]


def run(*arguments: str) -> Run:
    """Run a Python command to its end. Raises CalledProcessError."""
    started, peak = time.perf_counter(), {"VmHWM": 0.0, "RssAnon": 0.0}
    process = subprocess.Popen([sys.executable, *arguments], stdout=subprocess.DEVNULL)
    status, times = (Path(f"/proc/{process.pid}/{name}") for name in ("status", "stat"))
    ticks = 0
    while process.poll() is None:
        try:
            for line in status.read_text().splitlines():
                name, _, value = line.partition(":")
                if name in peak:
                    peak[name] = max(peak[name], float(value.split()[0]) * 1.024e-3)
            fields = times.read_text().rpartition(")")[2].split()
            ticks = max(ticks, int(fields[11]) + int(fields[12]))
        except (OSError, ValueError, IndexError):  # it has just ended
            pass
        time.sleep(EVERY_S)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, arguments)
    return Run(time.perf_counter() - started, ticks / 100, peak["VmHWM"], peak["RssAnon"])


def one_brick(path: Path, shape: Sequence[int], tries: int = 9) -> tuple[float, int]:
    """Median processor seconds to open an archive and read a brick at random, and bytes read for
    the last.
    """
    random, seconds, read = np.random.default_rng(0), [], 0
    for _ in range(tries):
        first = [BRICK * int(random.integers(0, size // BRICK)) for size in shape]
        started = time.process_time()
        with velcodec.open(path) as archive:
            assert isinstance(archive.reader, VlatReader)
            source = archive.reader._source
            sizes, of_source = [], source.read_at

            def counted(offset: int, count: int, place: str) -> bytes:
                sizes.append(count)  # noqa: B023
                return of_source(offset, count, place)  # noqa: B023

            source.read_at = counted  # type: ignore[method-assign]
            archive.box(0, [(a, a + BRICK) for a in first])
        seconds.append(time.process_time() - started)
        read = sum(sizes)
    return float(np.median(seconds)), read


@click.command()
@click.option("--mb", default=1000.0, show_default=True, help="Size of the volume.")
@click.option("--family", default="gradient", show_default=True)
@click.option("--format", "suffix", default="npy", show_default=True, help="npy, h5, nc or zarr.")
@click.option("--promise", default="--max-error=10", show_default=True)
@click.option("--threads", default=2, show_default=True)
@click.option("--folder", type=click.Path(path_type=Path), help="For the files; else temporary.")
def main(
    mb: float, family: str, suffix: str, promise: str, threads: int, folder: Path | None
) -> None:
    """Measure compress and decompress of a large volume, and one brick of its archive."""
    with tempfile.TemporaryDirectory(dir=folder) as made:
        original, archive, back = (Path(made) / n for n in (f"in.{suffix}", "a.vlat", "out.npy"))
        planes = large_volume(mb, family)
        side = round((mb * 1e6 / 4) ** (1 / 3))
        form = Form(1, side, side, "zyx", "<f4", ny=side)
        with open_sink(original, form) as sink:
            sink.add_volume(
                lambda box: np.stack([next(planes) for _ in range(*box[0].indices(side))]),
                [BRICK] * 3,
            )
        size = 4e-6 * side**3
        click.echo(f"{side} x {side} x {side}, {size:.0f} MB, {family}, {promise}")
        click.echo("| command | resident MB | private MB | MB/s | MB/s of a core |")
        click.echo("|---|---|---|---|---|")
        options = ["--threads", str(threads)]
        for name, command in (
            ("compress", [original, archive, "--volume", promise, *options]),
            ("decompress", [archive, back, "--allow-large", *options]),
        ):
            found = run("-m", "velcodec", name, *map(str, command))
            click.echo(
                f"| {name} | {found.resident_mb:.0f} | {found.private_mb:.0f} | "
                f"{size / found.seconds:.1f} | {size / found.cpu_seconds:.1f} |"
            )
        set_threads(1)
        seconds, read = one_brick(archive, [side] * 3)
        whole = run("-c", ONE_BRICK, str(archive), *["64"] * 3)
        click.echo(
            f"archive {archive.stat().st_size / 1e6:.1f} MB; one brick at random: "
            f"{1e3 * seconds:.0f} ms of a core, {read:,} bytes read; as a process "
            f"{whole.cpu_seconds:.2f} s"
        )


if __name__ == "__main__":
    main()
