"""An archive that any thread, and any process that it is sent to, can read.

It opens when it is first read, and again in every process that it was pickled to or forked into: a
file position that two processes share would be moved by one while the other reads. It never keeps
anything decoded.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

import velcodec
from velcodec.archive.archive import GROUND_FIELDS, Archive
from velcodec.decode.stored import check_stackable
from velcodec.decoder.registry import settled
from velcodec.formats.container.header import Layout
from velcodec.formats.storage.source import is_url
from velcodec.resolution import Resolution, check_native, check_resolution

if TYPE_CHECKING:
    from velcodec.decoder import Decoder


class SharedArchive:
    """A place where an archive is, and the archive opened from there.

    `source`, `decoder` and `device` are those of `velcodec.open`; it pickles where they do, and a
    path does. A relative path is one from the folder in which the process is now, wherever it or
    its workers are when they read.
    """

    def __init__(
        self,
        source: str | os.PathLike[str] | bytes | BinaryIO,
        decoder: str | Path | Decoder | None = None,
        device: str = "cpu",
    ) -> None:
        self._source: Any = _fixed(source)
        self._decoder = settled(decoder)
        self._device = device
        self._start()

    def _start(self) -> None:
        self._process = os.getpid()
        self._lock = threading.Lock()
        self._archive: Archive | None = None

    @contextmanager
    def reading(self) -> Iterator[Archive]:
        """The archive, opened if it is not, for one thread at a time: together they would share
        the same cores, and each hold intermediate results of its own.

        Raises what `velcodec.open` raises.
        """
        if self._process != os.getpid():  # forked, and another thread may have held the lock
            inherited = self._archive
            self._start()
            if inherited is not None:
                inherited.close()
        with self._lock:
            if self._archive is None:
                self._archive = velcodec.open(
                    self._source, decoder=self._decoder, device=self._device
                )
            yield self._archive

    def close(self) -> None:
        """Close the file; the next reading opens it again."""
        with self._lock:
            if self._archive is not None:
                self._archive.close()
            self._archive = None

    def __del__(self) -> None:
        archive = getattr(self, "_archive", None)
        if archive is not None:
            archive.close()

    def __getstate__(self) -> dict[str, Any]:
        return {"_source": self._source, "_decoder": self._decoder, "_device": self._device}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._start()


def _fixed(source: Any) -> Any:
    """A source, of which a path means the same file in every folder."""
    if not isinstance(source, (str, os.PathLike)) or is_url(source):
        return source
    return str(Path(source).absolute())


def one_kind(
    archive: Archive, res: Resolution | None, allow_large: bool
) -> tuple[Layout, tuple[int, int]]:
    """A layout with the dtype, units and order of every model of an archive as it is to be read,
    and its samples (nz, nx).

    Raises MixedShapesError where the models do not stack, and ResolutionError; what is counted are
    the samples of one model, since that is the least that can be read.
    """
    layouts = archive.layouts_in_use
    grid = check_resolution(res, 1, allow_large)
    check_stackable(layouts, grid is None)
    for layout in layouts:
        check_native(layout.nz, layout.nx, archive.reader.name, allow_large)
    return layouts[0], grid or (layouts[0].nz, layouts[0].nx)


def on_one_ground(archive: Archive) -> bool:
    """Whether all models begin at the same place and extend equally far, so that at one resolution
    their samples have the same positions.
    """
    own = (archive.fields.get(name) for name in GROUND_FIELDS)
    if any(column is not None and len(np.unique(column)) > 1 for column in own):
        return False
    grounds = {
        (
            layout.origin_z_m - layout.dz_m / 2,
            layout.origin_x_m - layout.dx_m / 2,
            layout.nz * layout.dz_m,
            layout.nx * layout.dx_m,
        )
        for layout in archive.layouts_in_use
    }
    return len(grounds) == 1


def x_first(layout: Layout) -> bool:
    """Whether decoded arrays of this layout are [x, z]."""
    return layout.axes.endswith("xz")


def model_fields(archive: Archive) -> Mapping[str, NDArray[np.generic]]:
    """What the archive knows of each model beside its samples: columns of one value a model."""
    return archive.fields
