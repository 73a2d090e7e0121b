"""Fuzzing with atheris: `python tests/fuzz/fuzz.py TARGET CORPUS [options of libFuzzer]`.

Python code of the formats is instrumented; compiled loops are not, but should run with bounds
checks, so that an index outside an array is an error: set NUMBA_BOUNDSCHECK=1, and NUMBA_CACHE_DIR
to a separate folder, as `campaign.py` does.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import atheris

PARSERS = [
    f"velcodec.formats.{name}"
    for name in (
        "append", "columns", "decoder_file", "directory", "files", "header", "journal", "npy",
        "packed", "page", "prefix", "quality", "rans", "reader", "record", "salvage", "scan",
        "sections", "sharded", "source", "tables", "tile_coding", "tile_stream", "varint", "vlat",
        "exact.domain", "exact.stream",
    )
]  # fmt: skip

with atheris.instrument_imports(include=PARSERS):
    from targets import TARGETS


def main() -> None:
    """Fuzz the target named first."""
    name, *rest = sys.argv[1:]
    # Compile the loops before anything is timed.
    for folder in filter(Path.is_dir, map(Path, rest)):
        for path in folder.iterdir():
            TARGETS[name](path.read_bytes())
    atheris.Setup([sys.argv[0], *rest], TARGETS[name])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
