"""How long it takes to open an archive and to read one record, and what the index costs.

`python benchmarks/archive.py [--json]`. Archives hold random payloads of about 60 bytes with keys,
measured quality and fields, one of them of random numbers, which are most of the index. Bytes read
are counted beneath the reader; times are the best of several runs, each with its own reader, and
leave out the import of the package.
"""

from __future__ import annotations

import argparse
import io
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from velcodec.formats.container.header import Header, Layout
from velcodec.formats.container.quality import Quality
from velcodec.formats.container.reader import VlatReader
from velcodec.formats.container.writer import VlatWriter
from velcodec.formats.latent_coding.coding import TileCoding

SIZES = (10**3, 10**4, 10**5)
BATCH = 1000
HEADER = Header(bytes(32), "benchmark", (Layout(70, 70),), TileCoding.for_tiles([], [], [], 4.0))
COLUMNS = (
    ("models", "models", "d"),
    ("file MB", "file_mb", ".2f"),
    ("write s", "write_s", ".2f"),
    ("index B/model", "index_bytes_per_model", ".2f"),
    ("open ms", "open_ms", ".2f"),
    ("open kB", "open_kb", ".1f"),
    ("record ms", "record_ms", ".2f"),
    ("record kB", "record_kb", ".1f"),
    ("all keys ms", "keys_ms", ".1f"),
    ("find a key ms", "find_ms", ".1f"),
)


class CountingFile(io.FileIO):
    """A file that counts the bytes that are read from it."""

    count = 0

    def read(self, size: int | None = -1, /) -> bytes:
        """As FileIO does, counted."""
        data = super().read(-1 if size is None else size) or b""
        self.count += len(data)
        return data


def make(path: Path, models: int, seed: int = 0) -> int:
    """Write an archive; the bytes of its payloads."""
    random, total = np.random.default_rng(seed), 0
    with path.open("wb") as stream:
        writer = VlatWriter(stream, HEADER)
        for first in range(0, models, BATCH):
            n = min(BATCH, models - first)
            payloads = [random.bytes(int(size)) for size in random.normal(60, 10, n).clip(10, 120)]
            mae = random.lognormal(3.0, 0.3, n)
            worst, far = mae * random.lognormal(2.5, 0.3, n), random.gamma(16, 1 / 16, n)
            figures = zip(35.0 + random.exponential(0.6, n), mae, worst, far, strict=True)
            writer.add_many(
                payloads,
                [f"models/model-{first + i:07d}.npy" for i in range(n)],
                [Quality(*row) for row in figures],
                {"family": ["curvefault_a"] * n, "depth": random.normal(1000.0, 100.0, n)},
            )
            total += sum(map(len, payloads))
        writer.close()
    return total


def seconds(work: Callable[[], object], runs: int) -> float:
    """Best of `runs` runs."""
    found = []
    for _ in range(runs):
        started = time.perf_counter()
        work()
        found.append(time.perf_counter() - started)
    return min(found)


def measure(path: Path, models: int, runs: int) -> dict[str, float]:
    """What an archive of `models` random records takes to write and to read."""
    started = time.perf_counter()
    payloads = make(path, models)
    row: dict[str, float] = {"models": models, "write_s": time.perf_counter() - started}
    row["file_mb"] = path.stat().st_size / 1e6
    entries = models * 3  # the length's byte and the checksum
    row["index_bytes_per_model"] = (path.stat().st_size - payloads - entries) / models
    with CountingFile(str(path)) as counted:
        reader = VlatReader(counted)  # type: ignore[arg-type]
        row["open_kb"] = counted.count / 1e3
        reader.payload(models // 2)
        row["record_kb"] = counted.count / 1e3 - row["open_kb"]

    def both() -> None:
        with VlatReader(path) as reader:
            reader.payload(models // 2)

    row["open_ms"] = 1e3 * seconds(lambda: VlatReader(path).close(), runs)
    row["record_ms"] = max(0.0, 1e3 * seconds(both, runs) - row["open_ms"])
    row["keys_ms"] = 1e3 * seconds(lambda: VlatReader(path).keys, runs)
    row["find_ms"] = 1e3 * seconds(
        lambda: VlatReader(path).key_index(f"models/model-{models // 2:07d}.npy"), runs
    )
    return row


def table(rows: list[dict[str, float]]) -> str:
    """Aligned columns under their names."""
    cells = [[name for name, _, _ in COLUMNS]]
    cells += [[format(row[key], kind) for _, key, kind in COLUMNS] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join(
        "  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True))
        for line in cells
    )


def main() -> None:
    """Print a table, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=int, nargs="+", default=SIZES)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="print a JSON array instead")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = [measure(Path(folder) / f"{n}.vlat", n, asked.runs) for n in asked.models]
    print(json.dumps(rows) if asked.json else table(rows))


if __name__ == "__main__":
    main()
