"""The `velcodec` command: parses, calls the library, prints; computes nothing.

One module per command; `options`, `progress` and `report` are shared. Nothing here imports torch or
NumPy at start-up, so that `velcodec --help` answers at once.
"""

from velcodec.cli.main import main

__all__ = ["main"]
