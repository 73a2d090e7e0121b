"""Fuzzing with atheris: `python tests/fuzz/fuzz.py TARGET CORPUS [options of libFuzzer]`.

Python of the formats is instrumented; compiled loops are not, but run with bounds checked
(NUMBA_BOUNDSCHECK, in a cache of their own), so that an index beyond an array is an error.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("NUMBA_BOUNDSCHECK", "1")
os.environ.setdefault("NUMBA_CACHE_DIR", str(Path(tempfile.gettempdir()) / "velcodec-fuzz-numba"))
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
    """Fuzz the target that is named first."""
    name, *rest = sys.argv[1:]
    atheris.Setup([sys.argv[0], *rest], TARGETS[name])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
