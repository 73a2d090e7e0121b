"""Small volumes for tests."""

from __future__ import annotations

import numpy as np

import velcodec
from velcodec.formats.container.reader import VlatReader


def folded_volume(nz: int = 20, ny: int = 25, nx: int = 30, seed: int = 0) -> np.ndarray:
    """Folded layers with a fault that dips, (nz, ny, nx) float32 m/s."""
    random = np.random.default_rng(seed)
    z, y, x = np.mgrid[:nz, :ny, :nx].astype(float)
    phase = random.uniform(0, 6, 2)
    depth = z + 2 * np.sin(x / 15 + phase[0]) + 2 * np.cos(y / 12 + phase[1])
    depth += 3 * (x + 0.3 * y + 0.5 * z > 0.8 * nx)
    return (1500 + 250 * np.floor(depth / 6)).astype(np.float32)


def smooth_volume(nz: int = 20, ny: int = 25, nx: int = 30) -> np.ndarray:
    """A gradient with a lens, (nz, ny, nx) float32 m/s."""
    z, y, x = np.mgrid[:nz, :ny, :nx].astype(float)
    lens = np.exp(-((z - nz / 2) ** 2 + (y - ny / 3) ** 2 + (x - nx / 2) ** 2) / 60)
    return (1600 + 40 * z + 300 * lens + 5 * np.sin(x / 3)).astype(np.float32)


def reads_of(archive: velcodec.Archive) -> list[int]:
    """The sizes of the parts of records that are read from now on, in bytes; the list grows."""
    reader = archive.reader
    assert isinstance(reader, VlatReader)
    read: list[int] = []
    of_reader = reader.payload_part

    def counted(number: int, start: int, size: int) -> bytes:
        read.append(size)
        return of_reader(number, start, size)

    reader.payload_part = counted  # type: ignore[method-assign]
    return read
