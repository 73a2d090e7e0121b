"""Reads the models of a file."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from velcodec.formats.files.npy import read_models

from .base import Models


def load(path: Path, first: int | None = None, last: int | None = None) -> Models:
    """The first or the last models of a file, or all, (n, nz, nx) float32, m/s."""
    found = read_models(path).models[:first]
    return np.ascontiguousarray(found if last is None else found[-last:], dtype=np.float32)
