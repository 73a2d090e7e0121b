"""The volumes that are coded: generated ones, and ones made from published sections.

Published sections are two-dimensional. A volume is made of one by moving it a little further from
each y to the next, by whole samples, with edges repeated, so that every value is a published one:
section y is the model moved by round(ALONG y) samples along x and round(DOWN y) down. FlatFault-A
models are flat beside their faults, so that this shears the fault: it strikes obliquely.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from velcodec import synth

SIDE = 128
ALONG, DOWN = 0.6, 0.25
"""Samples per section of extruded models."""

FAULTED_MODELS = 4
LEAST = 32
"""Arrays of files are volumes if each of their last three axes has as many samples."""

Volume = NDArray[np.float32]
"""(nz, ny, nx), m/s."""


@dataclass(frozen=True)
class Case:
    """A kind of volumes, measured together."""

    name: str
    kind: str
    volumes: tuple[Volume, ...]


def generated(count: int, seed: int, side: int) -> Iterator[Case]:
    """`count` volumes of each family, `side` samples along each axis."""
    for family in synth.VOLUME_FAMILIES:
        yield Case(family, "generated", tuple(synth.volumes(family, count, seed, (side,) * 3)))


def from_folder(folder: Path, side: int) -> Iterator[Case]:
    """Volumes made of the sections in a folder, and the 3-D arrays in it."""
    for path in sorted(folder.glob("*.npy")):
        array = np.load(path, mmap_mode="r")
        name = path.stem
        if name == "flatfault_a":
            models = np.asarray(array[-FAULTED_MODELS:, 0], np.float32)
            yield Case(
                f"{name}, sheared", "made", tuple(extruded(m, m.shape[1], 0.0) for m in models)
            )
        elif name.startswith("marmousi"):
            yield Case(f"{name}, extruded", "made", (extruded(_middle(array, side), side),))
        elif name.startswith("segsalt"):
            section = _middle(array[0], side)
            yield Case(f"{name}, extruded", "made", (extruded(section, side),))
        elif array.ndim >= 3 and min(array.shape[-3:]) >= LEAST:
            whole = array.reshape(-1, *array.shape[-3:])[0]
            yield Case(name, "file", (np.ascontiguousarray(_middle(whole, side), np.float32),))


def extruded(section: NDArray[np.generic], ny: int, down: float = DOWN) -> Volume:
    """A volume of `ny` sections (nz, nx), moved by whole samples as the module says."""
    nz, nx = section.shape
    z, x = np.arange(nz), np.arange(nx)
    middle = ny // 2
    sections = [
        section[
            (z - round(down * (y - middle))).clip(0, nz - 1)[:, None],
            (x - round(ALONG * (y - middle))).clip(0, nx - 1),
        ]
        for y in range(ny)
    ]
    return np.ascontiguousarray(np.stack(sections, axis=1), np.float32)


def _middle(array: NDArray[np.generic], side: int) -> NDArray[np.generic]:
    """At most `side` samples along each axis, from the middle."""
    cut = tuple(
        slice(max((size - side) // 2, 0), max((size - side) // 2, 0) + side) for size in array.shape
    )
    return np.asarray(array[cut])
