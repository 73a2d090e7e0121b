"""An archive that any thread can read, and any process that it is sent to.

It opens on the first read, and again in every process that it is pickled to or forked into, since
two processes must not share a file position. It caches nothing decoded.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

import velcodec
from velcodec.archive.archive import Archive
from velcodec.decode.stored import check_stackable
from velcodec.decoder.registry import settled
from velcodec.formats.container.header import Layout
from velcodec.formats.storage.source import is_url
from velcodec.geometry import GROUND_FIELDS
from velcodec.resolution import check_native, check_resolution

if TYPE_CHECKING:
    from velcodec.decoder import Decoder


class SharedArchive:
    """Where an archive is, and the archive opened from there.

    `source`, `decoder` and `device` are those of `velcodec.open`; it pickles if they do, as paths
    do. A relative path refers to the working folder at construction, wherever it is read.
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
        """The open archive, for one thread at a time: concurrent reads would share the same cores
        and each hold its own intermediate results.

        Raises what `velcodec.open` raises.
        """
        if self._process != os.getpid():  # forked; another thread may have held the lock
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
        """Close the file; the next read opens it again."""
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
    """The source, with a path made absolute."""
    if not isinstance(source, (str, os.PathLike)) or is_url(source):
        return source
    return str(Path(source).absolute())


def one_kind(
    archive: Archive, res: int | Sequence[int] | None, allow_large: bool
) -> tuple[Layout, tuple[int, int]]:
    """A layout with the dtype, units and axis order of all models, and their grid (nz, nx) when
    read.

    Raises MixedShapesError if the models do not stack, and ResolutionError for a single model, the
    least that can be read.
    """
    layouts = archive.layouts_in_use
    grid = check_resolution(res, 1, allow_large)
    check_stackable(layouts, grid is None)
    for layout in layouts:
        check_native(layout.shape, archive.reader.name, allow_large)
    return layouts[0], grid or (layouts[0].nz, layouts[0].nx)


def on_one_ground(archive: Archive) -> bool:
    """Whether all models have the same origin and extent, hence the same sample positions at one
    resolution.
    """
    columns = (archive.fields.get(name) for name in GROUND_FIELDS)
    if any(column is not None and len(np.unique(column)) > 1 for column in columns):
        return False
    grounds = {
        (
            layout.origin_z_m - layout.dz_m / 2,
            layout.origin_x_m - layout.dx_m / 2,
            layout.nz * layout.dz_m,
            layout.nx * layout.dx_m,
            layout.origin_y_m - layout.dy_m / 2,
            (layout.ny or 1) * layout.dy_m,
        )
        for layout in archive.layouts_in_use
    }
    return len(grounds) == 1


def model_fields(archive: Archive) -> Mapping[str, NDArray[np.generic]]:
    """Columns of one value per model, beside its samples."""
    return archive.fields
