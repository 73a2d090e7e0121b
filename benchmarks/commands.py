"""Start-up time and peak memory of the commands, each in a separate process.

`python -m benchmarks.commands [--json FILE] [--models 1000,10000] [--compressed 1000,2000]`.
Archives for reading hold latents drawn for the shipped decoder. Start-up is the best of several
runs, in CPU seconds; memory is the peak resident size.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

import velcodec
from benchmarks.decode import archive_of, drawn_tiles
from velcodec import synth
from velcodec.decoder import load_decoder
from velcodec.decoder.siren_mixture.network import freeze

RUNS = 7

NO_BYTECODE = "PYTHONDONTWRITEBYTECODE"
"""Not passed on: an installed package has its bytecode, and so has any second run."""

TELL = """
def _tell():
    with open("/proc/self/status") as status, open({path!r}, "w") as told:
        told.write(next(line for line in status if line.startswith("VmHWM"))[6:])
import atexit; atexit.register(_tell)
"""
"""Linux: peak resident size in kB since the program began."""


def run(code: str) -> tuple[float, float]:
    """CPU seconds and peak memory in MB of a process that runs `code`.

    The kernel's count for a child starts at the parent's size, so the process reports its own peak.
    """
    environment = {name: value for name, value in os.environ.items() if name != NO_BYTECODE}
    with tempfile.NamedTemporaryFile("r") as told:
        words = [sys.executable, "-c", TELL.format(path=told.name) + code]
        with subprocess.Popen(words, env=environment, stdout=subprocess.DEVNULL) as child:
            _, status, usage = os.wait4(child.pid, 0)
            child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode:
            sys.exit(child.returncode)
        return usage.ru_utime + usage.ru_stime, int(told.read().split()[0]) / 1024


def command(*arguments: object) -> str:
    """Python code that runs `velcodec` with these arguments."""
    return f"from velcodec.cli import main; main({[str(each) for each in arguments]!r})"


def start_up(folder: Path) -> dict[str, float]:
    """Best CPU seconds of RUNS runs of each command."""
    archive, out = folder / "1.vlat", folder / "1.npy"
    archive.write_bytes(archive_of_models(1))
    exact = folder / "exact.vlat"
    layers = synth.draw("curvefault_a", 5, 0, 1).render(70, 70).numpy()
    exact.write_bytes(velcodec.compress(layers, lossless=True))
    codes = {
        "an empty program": "pass",
        "import velcodec": "import velcodec",
        "velcodec --help": command("--help"),
        "velcodec info": command("info", archive),
        "velcodec ls": command("ls", archive),
        "velcodec verify": command("verify", archive),
        "velcodec decompress, one model": command("decompress", archive, out, "--force"),
        "velcodec decompress, one model's samples": command("decompress", exact, out, "--force"),
        "import numpy": "import numpy",
        "import numba": "import numba",
        "import torch": "import torch",
    }
    return {name: min(run(code)[0] for _ in range(RUNS)) for name, code in codes.items()}


def archive_of_models(count: int) -> bytes:
    """An archive of drawn latents."""
    frozen = freeze(load_decoder())
    return archive_of(frozen, drawn_tiles(frozen, count))[0]


def memory(folder: Path, counts: list[int], compressed: list[int]) -> dict[str, dict[int, float]]:
    """Peak memory in MB of each command for each number of models."""
    found: dict[str, dict[int, float]] = {}
    for count in counts:
        archive, out = folder / f"{count}.vlat", folder / f"{count}.npy"
        archive.write_bytes(archive_of_models(count))
        codes = {
            "info": command("info", archive),
            "decompress": command("decompress", archive, out, "--threads", 1),
            "verify": command("verify", archive, "--threads", 1),
            "verify --against": command("verify", archive, "--against", out, "--threads", 1),
        }
        for name, code in codes.items():
            found.setdefault(name, {})[count] = run(code)[1]
        out.unlink()
    for count in compressed:
        source = folder / "models.npy"
        parts = [synth.draw("curvevel_a", 5, i, 500).render(70, 70) for i in range(0, count, 500)]
        np.save(source, np.concatenate([part.numpy() for part in parts])[:count])
        how = ("--effort", 1, "--latent-only", "--bytes-per-model", 60, "--threads", 1)
        code = command("compress", source, folder / "made.vlat", *how, "--force")
        found.setdefault("compress", {})[count] = run(code)[1]
    return found


def main() -> None:
    """Measure and print markdown tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--models", default="1000,10000")
    parser.add_argument("--compressed", default="1000,2000")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        counts, compressed = (
            [int(each) for each in text.split(",")] for text in (asked.models, asked.compressed)
        )
        found: dict[str, Any] = {
            "start_up_s": start_up(Path(name)),
            "peak_mb": memory(Path(name), counts, compressed),
        }
    print("| start-up | CPU ms |\n|---|---|")
    for what, value in found["start_up_s"].items():
        print(f"| {what} | {value * 1e3:.0f} |")
    print("\n| command | models: peak MB |\n|---|---|")
    for what, row in found["peak_mb"].items():
        print(f"| {what} | {', '.join(f'{n}: {mb:.0f}' for n, mb in row.items())} |")
    if asked.json:
        asked.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
