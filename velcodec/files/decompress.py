"""From an archive back to files: one in any format that is written, a folder like the one that
models came from, or a stream.

Models are decoded a bounded number of samples at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from velcodec.archive.archive import GROUND_FIELDS, Archive
from velcodec.archive.stream import StreamedArchive, spooled, stream
from velcodec.decode.stored import check_stackable
from velcodec.files.compress import ARRAY_FIELD, FILE_FIELD, ROW_FIELD
from velcodec.formats.container.header import Layout
from velcodec.formats.errors import MixedShapesError, OptionError
from velcodec.formats.files import (
    ARRAY,
    FORMATS,
    Form,
    Ground,
    Sink,
    open_folder_sink,
    open_sink,
    split_files,
    told_format,
)
from velcodec.formats.files.npy import NpyWriter
from velcodec.formats.storage.atomic import atomic_write, naming
from velcodec.geometry import Geometry
from velcodec.progress import Progress, no_progress
from velcodec.resolution import Resolution, check_resolution

if TYPE_CHECKING:
    from velcodec.decoder import Decoder

DEFAULT_FORMAT = "npy"
STREAMED_FORMATS = ("npy", "raw")
OTHERWISE = "say how many models each file is to have (--per-file)"


@dataclass(frozen=True)
class Restoring:
    """How models are to come back.

    `res` as for `decompress`; `format` of the files, else their names tell it, or it is `.npy`;
    `array` is the models' name in formats that have names, else that of the array that they came
    from, or velocity; `per_file` models in each file of a
    folder, else the files that they came from, or OpenFWI's 500; `average` as for `Archive.decode`.
    """

    res: Resolution | None = None
    format: str | None = None
    array: str | None = None
    per_file: int | None = None
    average: str = "none"
    allow_large: bool = False

    def format_of(self, target: Path | None) -> str:
        """The format of a file of this name, or of a stream. Raises OptionError."""
        if self.format is not None and self.format not in FORMATS:
            known = ", ".join(FORMATS)
            raise OptionError(f"format: found {self.format!r}, expected one of {known}")
        told = None if target is None else told_format(target)
        return self.format or told or DEFAULT_FORMAT

    @property
    def suffix(self) -> str:
        """What names of files end with that tell no format themselves."""
        return FORMATS[self.format_of(None)].suffixes[0]

    def fits_stream(self, target: Path | None) -> bool:
        """Whether such a file can be written while the number of its models is not known."""
        return self.format_of(target) in STREAMED_FORMATS


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
    if isinstance(archive, StreamedArchive):
        how = replace(how, format=how.format_of(target))
        with atomic_write(target, force=force) as out, naming(target):
            return restore_stream(archive, out, how, on_progress=on_progress)
    grid = check_resolution(how.res, len(archive), how.allow_large)
    check_stackable(archive.layouts_in_use, grid is None)
    form = form_of(archive, range(len(archive)), grid)
    name = how.format_of(target)
    with open_sink(target, form, format=name, array=how.array or ARRAY, force=force) as sink:
        _fill(archive, sink, target, grid, how, on_progress)
    return form.shape


def restore_folder(
    archive: Archive,
    target: Path,
    how: Restoring | None = None,
    *,
    on_progress: Progress = no_progress,
) -> int:
    """Write a new folder of files; how many.

    They are those that the models came from, with their names, arrays and numbers of models, where
    the archive remembers them (its fields `file`, `array` and `row`) and `per_file` is None. Raises
    as `restore_file`, OptionError where two files have the same name, and MixedShapesError where
    the models of one array do not stack.
    """
    how = how or Restoring()
    grid = check_resolution(how.res, len(archive), how.allow_large)
    files = _files(archive, grid, how)
    array = how.array or ARRAY
    with open_folder_sink(target, files, format=how.format, array=array) as sink:
        _fill(archive, sink, target, grid, how, on_progress)
    return len({name for name, _ in files})


def restore_stream(
    archive: Archive,
    target: BinaryIO,
    how: Restoring | None = None,
    count: int | None = None,
    on_progress: Progress = no_progress,
) -> tuple[int, ...]:
    """Write every model to a binary stream, as `.npy` or as raw samples; the shape of the array.

    Of an archive that is itself a stream, `.npy` needs the `count` of models, or a target that can
    be written to at any place: its head is put right at the end. Raises as `restore_file`, and
    OptionError for another format or a count that is not kept.
    """
    how = how or Restoring()
    name = how.format_of(None)
    if name not in STREAMED_FORMATS:
        raise OptionError(f"format {name}: cannot be written to a stream, expected npy or raw")
    streamed = isinstance(archive, StreamedArchive)
    count = count if streamed else len(archive)
    grid = check_resolution(how.res, len(archive), how.allow_large)
    if not streamed:
        check_stackable(archive.layouts_in_use, grid is None)
    writer: NpyWriter | _RawWriter | None = None
    first: Layout | None = None
    done = 0
    for block in archive.blocks(grid):
        check_resolution(how.res, len(archive), how.allow_large)
        layout = archive.layout(block[0])
        first = first or layout
        check_stackable([first, layout], grid is None)
        _check_direction(first, layout, block[0])
        if writer is None:
            shape = _shape(layout, count, len(archive) > 1, grid)
            writer = (
                _RawWriter(target, shape, layout.dtype)
                if name == "raw"
                else NpyWriter(target, shape, layout.dtype)
            )
        done = block.stop
        if count is not None and done > count:
            raise OptionError(f"count: found more than the {count} models that were announced")
        models = archive.decode(block, grid, average=how.average, allow_large=how.allow_large)
        if layout.z_up:  # as they came
            models = np.flip(
                models, models.ndim - 1 if layout.axes.endswith("xz") else models.ndim - 2
            )
        writer.add(models)
        on_progress(done, count or len(archive), "render")
    if writer is None:
        raise OptionError("models: found none in the archive, expected one at least")
    if count not in (None, done):
        raise OptionError(f"count: found {done} models, {count} were announced")
    writer.close()
    return writer.shape


def _shape(
    layout: Layout, count: int | None, several: bool, grid: tuple[int, int] | None
) -> tuple[int | None, ...]:
    """Shape of the array, axes as they came; None stands for a count that is not known."""
    axes = layout.axes if "n" in layout.axes or not several else f"n{layout.axes}"
    nz, nx = grid or (layout.nz, layout.nx)
    sizes = {"n": count, "1": 1, "z": nz, "x": nx}
    return tuple(sizes[axis] for axis in axes)


class _RawWriter:
    """Samples and nothing else, as `NpyWriter` writes them."""

    def __init__(self, stream: BinaryIO, shape: tuple[int | None, ...], dtype: str) -> None:
        self._stream, self._shape, self._dtype = stream, shape, np.dtype(dtype)
        self._models = 0

    def add(self, models: NDArray[Any]) -> None:
        self._models += len(models)
        self._stream.write(np.ascontiguousarray(models, dtype=self._dtype).tobytes())

    def close(self) -> None:
        """Nothing comes last."""

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self._models if size is None else size for size in self._shape)


def _files(
    archive: Archive, grid: tuple[int, int] | None, how: Restoring
) -> list[tuple[str, Form]]:
    suffix = how.suffix
    names = archive.fields.get(FILE_FIELD)
    if names is None or how.per_file is not None:
        check_stackable(archive.layouts_in_use, grid is None)
        form = form_of(archive, range(len(archive)), grid)
        if "n" not in form.axes:
            form = replace(form, axes=f"n1{form.order}")
        per_file = {} if how.per_file is None else {"per_file": how.per_file}
        return split_files(form, name=f"model{{}}{suffix}", **per_file)
    found: list[tuple[str, Form]] = []
    seen: dict[str, set[str]] = {}
    for file, array, numbers in _origins(archive, names.tolist()):
        if not file:
            raise OptionError(f"model {numbers.start}: no file is known; {OTHERWISE}")
        name = file
        if how.format is not None and told_format(Path(name)) != how.format:
            name = str(PurePosixPath(name).with_suffix(suffix))
        arrays = seen.setdefault(name, set())
        if arrays and (array in arrays or found[-1][0] != name or not array):
            raise OptionError(
                f"model {numbers.start}: file {name}: another had that name; {OTHERWISE}"
            )
        if arrays and (how.array is not None or how.format_of(Path(name)) != "npz"):
            raise OptionError(
                f"model {numbers.start}: file {name}: array {array}: found several arrays, which "
                f"only an .npz file has, under their own names; {OTHERWISE}"
            )
        arrays.add(array)
        if len(archive.layouts) > 1:
            layouts = dict.fromkeys(archive.layout(number) for number in numbers)
            check_stackable(list(layouts), grid is None)
        form = form_of(archive, numbers, grid)
        found.append((name, replace(form, array=how.array or array or None)))
    return found


def _origins(archive: Archive, files: Sequence[str]) -> Iterator[tuple[str, str, range]]:
    """File, array and numbers of models that lay in one array, one behind the other."""
    count = len(archive)
    arrays = _texts_of(archive, ARRAY_FIELD)
    rows = archive.fields.get(ROW_FIELD)
    if rows is None or rows.dtype.kind not in "iuf":
        rows = np.arange(count)
    unknown = np.isnan(rows)  # of models that were stored without one
    first = 0
    for number in range(1, count + 1):
        if (
            number == count
            or files[number] != files[first]
            or arrays[number] != arrays[first]
            or not (rows[number] > rows[number - 1] or unknown[number - 1 : number + 1].all())
        ):
            yield str(files[first]), arrays[first], range(first, number)
            first = number


def _texts_of(archive: Archive, name: str) -> Sequence[str]:
    column = archive.fields.get(name)
    if column is None or column.dtype != object:
        return [""] * len(archive)
    return column.tolist()


def form_of(archive: Archive, numbers: Sequence[int], grid: tuple[int, int] | None) -> Form:
    """How these models, which stack, lie in a file; at another grid, where its samples lie."""
    layout = archive.layout(numbers[0])
    nz, nx = grid or (layout.nz, layout.nx)
    keys = tuple(archive.keys[n] for n in numbers) if archive.has_keys else None
    axes = layout.axes
    if len(numbers) > 1 and "n" not in axes:
        axes = f"n{axes}"
    form = Form(len(numbers), nz, nx, axes, layout.dtype, layout.units, keys=keys, z_up=layout.z_up)
    alike = len(archive.layouts) < 2 and not set(GROUND_FIELDS) & set(archive.fields)
    layouts = [layout] * len(numbers) if alike else [archive.layout(n) for n in numbers]
    grounds = {each: _ground(each, nz, nx) for each in set(layouts)}
    for number, each in zip(numbers, layouts, strict=True):
        _check_direction(layout, each, number)
    return form.on(tuple(grounds[each] for each in layouts))


def _ground(layout: Layout, nz: int, nx: int) -> Ground:
    """Where the samples of a model of this layout lie at another grid."""
    own = (layout.nz, layout.nx, layout.dx_m, layout.dz_m, layout.origin_x_m, layout.origin_z_m)
    z, x = Geometry(*own).axes(nz, nx)
    return Ground(
        layout.dx_m * layout.nx / nx, layout.dz_m * layout.nz / nz, float(x[0]), float(z[0])
    )


def _check_direction(first: Layout, layout: Layout, number: int) -> None:
    """Raises MixedShapesError for rows that go up beside others that go down, in one file."""
    if layout.z_up is not first.z_up:
        way = "up" if layout.z_up else "down"
        raise MixedShapesError(
            f"model {number}: its rows go {way}, those of the first model do not, so that they do "
            "not stack"
        )


def _fill(
    archive: Archive,
    sink: Sink,
    target: Path,
    grid: tuple[int, int] | None,
    how: Restoring,
    on_progress: Progress,
) -> None:
    for block in archive.blocks(grid):
        models = archive.decode(block, grid, average=how.average, allow_large=how.allow_large)
        with naming(target):
            sink.add(_depth_first(models, archive.layout(block[0])))
        on_progress(block.stop, len(archive), "render")


def _depth_first(models: NDArray[Any], layout: Layout) -> NDArray[Any]:
    found: NDArray[Any] = models.swapaxes(1, 2) if layout.axes.endswith("xz") else models
    return np.ascontiguousarray(found)


def open_pipe(
    source: BinaryIO,
    target: Path | None,
    how: Restoring,
    *,
    folder: bool = False,
    count: int | None = None,
    decoder: str | Path | Decoder | None = None,
    device: str = "cpu",
) -> Archive:
    """The archive that a pipe brings, to restore it to a file or a `folder`, or without a target to
    a stream.

    It is decoded as it comes where that can be; where the number of models must be known first and
    is not, or their files and keys, the archive is kept in a temporary file.
    """
    fits = how.fits_stream(target) and not folder
    if fits and (target or count is not None or how.format_of(None) == "raw"):
        return stream(source, decoder=decoder, device=device)
    return Archive(spooled(source), decoder=decoder, device=device)
