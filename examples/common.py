"""What all examples share: their command line."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path


def run(main: Callable[[Path, bool], None]) -> None:
    """Run an example's `main(folder, small)` from the shell."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=Path("build/examples"))
    parser.add_argument("--small", action="store_true", help="quick and coarse")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    main(options.folder, options.small)
