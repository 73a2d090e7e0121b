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

ROOT = Path(__file__).parents[2]
PACKAGES = {"velcodec": ROOT / "velcodec", "velcodec.formats": ROOT / "formats"}
LOOPS = "velcodec.formats.compiled import"
"""What only modules with compiled loops say: the compiler does not know the fuzzer's counters."""


def modules_of_loops() -> list[str]:
    """The modules that cannot be instrumented."""
    return [
        ".".join((name, *path.relative_to(folder).with_suffix("").parts))
        for name, folder in PACKAGES.items()
        for path in folder.rglob("*.py")
        if LOOPS in path.read_text()
    ]


with atheris.instrument_imports(include=["velcodec"], exclude=modules_of_loops()):
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
