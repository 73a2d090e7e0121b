"""The `velcodec` command: parses, calls the library, prints. It never computes anything itself.

One module per command; `options`, `progress` and `report` hold what they share. Nothing here
imports torch or NumPy at start-up, so that `velcodec --help` answers at once.
"""

from velcodec.cli.main import main

__all__ = ["main"]
