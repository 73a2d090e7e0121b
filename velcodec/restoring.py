"""From an archive back to files: one in any format that is written, or a folder like the one that
models came from.

Models are decoded a bounded number of samples at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from velcodec.archive import Archive
from velcodec.formats.errors import OptionError
from velcodec.formats.files import Form, Ground, Sink, open_folder_sink, open_sink, split_files
from velcodec.formats.header import Layout
from velcodec.jobs import FILE_FIELD
from velcodec.progress import Progress, no_progress
from velcodec.resolution import Resolution, check_resolution
from velcodec.stored import check_stackable

SAMPLES_AT_ONCE = 4_000_000
MODELS_AT_ONCE = 256


@dataclass(frozen=True)
class Restoring:
    """How models are to come back.

    `res` as for `decompress`; `format` of the files, else their names tell it; `array` is the
    models' name in formats that have names; `per_file` models in each file of a folder, else the
    files that they came from, or OpenFWI's 500.
    """

    res: Resolution | None = None
    format: str | None = None
    array: str = "velocity"
    per_file: int | None = None
    interpolate: bool = False
    allow_large: bool = False


def restore_file(
    archive: Archive,
    target: Path,
    how: Restoring | None = None,
    *,
    force: bool = False,
    on_progress: Progress = no_progress,
) -> tuple[int, ...]:
    """Write every model to one file; the shape of its array.

    Raises MixedShapesError where they do not stack, and what `Archive.decode` and
    `velcodec.formats.files.open_sink` raise.
    """
    how = how or Restoring()
    grid = check_resolution(how.res, len(archive), how.allow_large)
    check_stackable(archive.layouts, grid is None)
    form = form_of(archive, range(len(archive)), grid)
    sink = open_sink(target, form, format=how.format, array=how.array, force=force)
    _fill(archive, sink, grid, how, on_progress)
    return form.shape


def restore_folder(
    archive: Archive,
    target: Path,
    how: Restoring | None = None,
    *,
    on_progress: Progress = no_progress,
) -> int:
    """Write a new folder of files; how many.

    They are those that the models came from, with their names and numbers of models, where the
    archive remembers them (its field `file`) and `per_file` is None. Raises as `restore_file`.
    """
    how = how or Restoring()
    grid = check_resolution(how.res, len(archive), how.allow_large)
    files = _files(archive, grid, how)
    sink = open_folder_sink(target, files, format=how.format, array=how.array)
    _fill(archive, sink, grid, how, on_progress)
    return len(files)


def _files(
    archive: Archive, grid: tuple[int, int] | None, how: Restoring
) -> list[tuple[str, Form]]:
    names = archive.fields.get(FILE_FIELD)
    if names is None or how.per_file is not None:
        check_stackable(archive.layouts, grid is None)
        form = form_of(archive, range(len(archive)), grid)
        if "n" not in form.axes:
            form = replace(form, axes=f"n1{form.order}")
        suffix = f"model{{}}.{how.format}" if how.format else "model{}.npy"
        per_file = {} if how.per_file is None else {"per_file": how.per_file}
        return split_files(form, name=suffix, **per_file)
    found, first = [], 0
    for name, group in groupby(names.tolist()):
        numbers = range(first, first + len(list(group)))
        first = numbers.stop
        if not name:
            raise OptionError(f"model {numbers.start}: no file is known; give the models per file")
        found.append((name, form_of(archive, numbers, grid)))
    return found


def form_of(archive: Archive, numbers: Sequence[int], grid: tuple[int, int] | None) -> Form:
    """How these models, which stack, lie in a file; at another grid, where its samples lie."""
    layout = archive.layout(numbers[0])
    nz, nx = grid or (layout.nz, layout.nx)
    z, x = archive.geometry(numbers[0]).axes(nz, nx)
    ground = Ground(
        layout.dx_m * layout.nx / nx, layout.dz_m * layout.nz / nz, float(x[0]), float(z[0])
    )
    keys = tuple(archive.keys[n] for n in numbers) if archive.has_keys else None
    axes = layout.axes
    if len(numbers) > 1 and "n" not in axes:
        axes = f"n{axes}"
    return Form(len(numbers), nz, nx, axes, layout.dtype, layout.units, ground, keys)


def _fill(
    archive: Archive,
    opened: AbstractContextManager[Sink],
    grid: tuple[int, int] | None,
    how: Restoring,
    on_progress: Progress,
) -> None:
    with opened as sink:
        done = 0
        for block in _blocks(archive, grid):
            models = archive.decode(
                block, grid, interpolate=how.interpolate, allow_large=how.allow_large
            )
            sink.add(_depth_first(models, archive.layout(block[0])))
            done += len(block)
            on_progress(done, len(archive), "render")


def _blocks(archive: Archive, grid: tuple[int, int] | None) -> Iterator[range]:
    """Neighbouring models of one layout, a bounded number of samples together."""
    mixed = len(archive.layouts) > 1
    first, last = 0, None
    for number in range(len(archive) + 1):
        layout = None
        if number < len(archive):
            layout = archive.layout(number) if mixed else archive.layouts[0]
        if last is not None and number > first:
            nz, nx = grid or (last.nz, last.nx)
            most = max(1, min(MODELS_AT_ONCE, SAMPLES_AT_ONCE // (nz * nx)))
            if layout != last or number - first >= most:
                yield range(first, number)
                first = number
        last = layout


def _depth_first(models: NDArray[Any], layout: Layout) -> NDArray[Any]:
    found: NDArray[Any] = models.swapaxes(1, 2) if layout.axes.endswith("xz") else models
    return np.ascontiguousarray(found)
