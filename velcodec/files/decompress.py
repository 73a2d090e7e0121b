"""Decompress an archive to a file of any format, to a folder of files, or to a stream.

Decodes a bounded number of samples at a time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from velcodec.archive.archive import Archive
from velcodec.archive.facts import facts_of
from velcodec.archive.stream import StreamedArchive, spooled, stream
from velcodec.archive.volumes import Part
from velcodec.decode.stored import check_stackable
from velcodec.files.lost import warn_of_lost
from velcodec.files.origin_fields import ARRAY_FIELD, FILE_FIELD, ROW_FIELD
from velcodec.formats.container.header import Layout
from velcodec.formats.errors import MixedShapesError, OptionError
from velcodec.formats.facts import NO_FACTS
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
from velcodec.formats.files.form import depth_first
from velcodec.formats.files.npy import NpyWriter
from velcodec.formats.files.sinks import planes_in_order
from velcodec.formats.no_data import NoData
from velcodec.formats.storage.atomic import atomic_write, naming
from velcodec.formats.storage.source import stream_name
from velcodec.geometry import GROUND_FIELDS, Geometry
from velcodec.progress import Progress, no_progress
from velcodec.resolution import Resolution, check_native, check_resolution, check_written

if TYPE_CHECKING:
    from velcodec.decoder import Decoder

DEFAULT_FORMAT = "npy"
STREAMED_FORMATS = ("npy", "raw")
USE_PER_FILE = "set the number of models per file (--per-file)"


@dataclass(frozen=True)
class Decompression:
    """How to decompress to files.

    `res`, `average` and `allow_large` are those of `Archive.decode`. `format` is by default that of
    the file's suffix, or npy. `array` names the array in formats with names, by default as in the
    original, or velocity. `per_file` is the number of models in each file of a folder, by default
    as in the original files, or OpenFWI's 500.
    """

    res: Resolution | None = None
    format: str | None = None
    array: str | None = None
    per_file: int | None = None
    average: str = "none"
    allow_large: bool = False

    def format_of(self, target: Path | None) -> str:
        """The format of this file (npy without a suffix), or of a stream (None).

        Raises OptionError for an unknown format or suffix.
        """
        if self.format is not None and self.format not in FORMATS:
            known = ", ".join(FORMATS)
            raise OptionError(f"format: found {self.format!r}, expected one of {known}")
        if self.format is not None or target is None:
            return self.format or DEFAULT_FORMAT
        by_suffix = told_format(target)
        if by_suffix is None and target.suffix:
            known = " ".join(suffix for each in FORMATS.values() for suffix in each.suffixes)
            raise OptionError(
                f"{target}: suffix {target.suffix}: found no format of this name, expected one of "
                f"{known}; or give --format (format=)"
            )
        return by_suffix or DEFAULT_FORMAT

    @property
    def suffix(self) -> str:
        """The suffix of files whose names do not tell their format."""
        return FORMATS[self.format_of(None)].suffixes[0]

    def fits_stream(self, target: Path | None) -> bool:
        """Whether the format can be written before the number of models is known."""
        return self.format_of(target) in STREAMED_FORMATS


def decompress_file(
    archive: Archive,
    target: str | Path,
    options: Decompression | None = None,
    *,
    force: bool = False,
    on_progress: Progress = no_progress,
    advise: bool = True,
) -> tuple[int, ...]:
    """Decompress every model to one file; return the shape of its array. With `advise`, log what
    the archive says of its models and the file has no place for.

    Raises MixedShapesError if the models do not stack, OutputExistsError unless `force`,
    OutputPathError, OptionError, MissingExtraError, and what `Archive.decode` raises.
    """
    options, target = options or Decompression(), Path(target)
    if isinstance(archive, StreamedArchive):
        options = replace(options, format=options.format_of(target))
        with atomic_write(target, force=force) as out, naming(target):
            shape, form = _to_stream(archive, out, options, None, on_progress)
        if advise:
            warn_of_lost(archive, target, [(options.format_of(None), form)])
        return shape
    grid = check_resolution(options.res, len(archive), options.allow_large)
    check_stackable(archive.layouts_in_use, grid is None)
    form = form_of(archive, range(len(archive)), grid)
    _check_samples(archive, [form], options)
    name = options.format_of(target)
    with open_sink(target, form, format=name, array=options.array or ARRAY, force=force) as sink:
        _fill(archive, sink, target, grid, options, on_progress)
    if advise:
        warn_of_lost(archive, target, [(name, form)])
    return form.shape


def decompress_folder(
    archive: Archive,
    target: str | Path,
    options: Decompression | None = None,
    *,
    on_progress: Progress = no_progress,
) -> int:
    """Decompress to a new folder of files; return their number.

    Recreates the original files, with their names, arrays and numbers of models, if the archive
    stores them (fields `file`, `array` and `row`) and `per_file` is None. Raises what
    `decompress_file` raises, OptionError if two files have the same name, and MixedShapesError if
    the models of one array do not stack.
    """
    options, target = options or Decompression(), Path(target)
    grid = check_resolution(options.res, len(archive), options.allow_large)
    files = _files(archive, grid, options)
    _check_samples(archive, [form for _, form in files], options)
    array = options.array or ARRAY
    with open_folder_sink(target, files, format=options.format, array=array) as sink:
        _fill(archive, sink, target, grid, options, on_progress)
    warn_of_lost(archive, target, [(options.format_of(Path(name)), form) for name, form in files])
    return len({name for name, _ in files})


def decompress_stream(
    archive: Archive,
    target: BinaryIO,
    options: Decompression | None = None,
    count: int | None = None,
    on_progress: Progress = no_progress,
) -> tuple[int, ...]:
    """Decompress every model to a binary stream, as npy or raw samples; return the array's shape.

    If the archive is a stream too, npy needs the `count` of models, or a seekable target, whose
    header is rewritten at the end. Raises what `decompress_file` raises, and OptionError for
    another format or a wrong `count`.
    """
    options = options or Decompression()
    shape, form = _to_stream(archive, target, options, count, on_progress)
    warn_of_lost(archive, stream_name(target), [(options.format_of(None), form)])
    return shape


def _to_stream(
    archive: Archive,
    target: BinaryIO,
    options: Decompression,
    count: int | None,
    on_progress: Progress,
) -> tuple[tuple[int, ...], Form]:
    """As `decompress_stream`; returns the shape of the array, and what is known of its models."""
    name = options.format_of(None)
    if name not in STREAMED_FORMATS:
        raise OptionError(f"format {name}: cannot be written to a stream, expected npy or raw")
    streamed = isinstance(archive, StreamedArchive)
    count = count if streamed else len(archive)
    grid = check_resolution(options.res, len(archive), options.allow_large)
    if not streamed:
        check_stackable(archive.layouts_in_use, grid is None)
    writer: NpyWriter | _RawWriter | None = None
    first: Layout | None = None
    no_data: NoData | None = None
    done = samples = 0
    for block in archive.blocks(grid):
        check_resolution(options.res, len(archive), options.allow_large)
        layout = archive.layout(block[0])
        size = layout.samples if grid is None else grid[0] * grid[1]
        samples += size * (len(block) if streamed else len(archive))
        check_written(samples, archive.reader.size, archive.reader.name, options.allow_large)
        samples = samples if streamed else 0
        first = first or layout
        check_stackable([first, layout], grid is None)
        _check_direction(first, layout, block[0])
        no_data = _one_no_data(no_data, layout.no_data, block[0])
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
        if layout.is_volume and grid is None:
            for number in block:
                volume = _whole_volume(archive, number, options)
                form = Form(
                    1, layout.nz, layout.nx, layout.axes[-3:], layout.dtype, z_up=layout.z_up,
                    ny=layout.ny,
                )  # fmt: skip
                for _, planes in planes_in_order(volume.read, form, volume.edges):
                    writer.add([planes])
            on_progress(done, count or len(archive), "render")
            continue
        models = archive.decode(
            block, grid, average=options.average, allow_large=options.allow_large
        )
        if layout.z_up:  # rows of the input go up
            models = np.flip(models, layout.axes.index("z") - len(layout.axes))
        writer.add(models)
        on_progress(done, count or len(archive), "render")
    if writer is None:
        raise OptionError("models: found none in the archive, expected one at least")
    if count not in (None, done):
        raise OptionError(f"count: found {done} models, {count} were announced")
    writer.close()
    assert first is not None
    return writer.shape, _form_in_stream(archive, first, no_data)


def _form_in_stream(archive: Archive, layout: Layout, no_data: NoData | None) -> Form:
    """What is known of the models of a stream once all were read, as of one model."""
    facts = NO_FACTS
    for header in archive.reader.headers():
        facts = facts.or_else(header.facts)
    keyed = not isinstance(archive, StreamedArchive) and archive.has_keys
    return Form(
        1, layout.nz, layout.nx, layout.axes, layout.dtype, layout.units, ny=layout.ny,
        z_up=layout.z_up, no_data=no_data, keys=("",) if keyed else None, facts=facts,
    )  # fmt: skip


def _shape(
    layout: Layout, count: int | None, several: bool, grid: tuple[int, int] | None
) -> tuple[int | None, ...]:
    """Shape of the array, with the axes of the input; None for an unknown count."""
    axes = layout.axes if "n" in layout.axes or not several else f"n{layout.axes}"
    nz, nx = grid or (layout.nz, layout.nx)
    sizes = {"n": count, "1": 1, "z": nz, "y": layout.ny, "x": nx}
    return tuple(sizes[axis] for axis in axes)


class _RawWriter:
    """Writes bare samples, with the interface of `NpyWriter`."""

    def __init__(self, stream: BinaryIO, shape: tuple[int | None, ...], dtype: str) -> None:
        self._stream, self._shape, self._dtype = stream, shape, np.dtype(dtype)
        self._samples = 0

    def add(self, parts: Iterable[NDArray[Any]]) -> None:
        for part in parts:
            self._samples += part.size
            self._stream.write(np.ascontiguousarray(part, dtype=self._dtype).tobytes())

    def close(self) -> None:
        """Do nothing: there is no header to complete."""

    @property
    def shape(self) -> tuple[int, ...]:
        models = self._samples // prod(size for size in self._shape if size is not None)
        return tuple(models if size is None else size for size in self._shape)


def _files(
    archive: Archive, grid: tuple[int, int] | None, options: Decompression
) -> list[tuple[str, Form]]:
    suffix = options.suffix
    names = archive.fields.get(FILE_FIELD)
    if names is None or options.per_file is not None or not len(archive):
        check_stackable(archive.layouts_in_use, grid is None)
        form = form_of(archive, range(len(archive)), grid)
        if "n" not in form.axes:
            form = replace(form, axes=f"n1{form.order}")
        per_file = {} if options.per_file is None else {"per_file": options.per_file}
        return split_files(form, name=f"model{{}}{suffix}", **per_file)
    files: list[tuple[str, Form]] = []
    mixed = len(archive.layouts) > 1
    seen: dict[str, set[str]] = {}
    for file, array, numbers in _origins(archive, names.tolist()):
        if not file:
            raise OptionError(f"model {numbers.start}: no file is known; {USE_PER_FILE}")
        name = file
        if options.format is not None and told_format(Path(name)) != options.format:
            name = str(PurePosixPath(name).with_suffix(suffix))
        arrays = seen.setdefault(name, set())
        if arrays and (array in arrays or files[-1][0] != name or not array):
            raise OptionError(
                f"model {numbers.start}: file {name}: another had that name; {USE_PER_FILE}"
            )
        if arrays and (options.array is not None or options.format_of(Path(name)) != "npz"):
            raise OptionError(
                f"model {numbers.start}: file {name}: array {array}: found several arrays, which "
                f"only an .npz file has, under their own names; {USE_PER_FILE}"
            )
        arrays.add(array)
        if mixed:
            layouts = dict.fromkeys(archive.layout(number) for number in numbers)
            check_stackable(list(layouts), grid is None)
        form = form_of(archive, numbers, grid)
        files.append((name, replace(form, array=options.array or array or None)))
    return files


def _origins(archive: Archive, files: Sequence[str]) -> Iterator[tuple[str, str, range]]:
    """File, array and numbers of each run of models that were consecutive in one array."""
    count = len(archive)
    arrays = _texts_of(archive, ARRAY_FIELD)
    rows = archive.fields.get(ROW_FIELD)
    if rows is None or rows.dtype.kind not in "iuf":
        rows = np.arange(count)
    unknown = np.isnan(rows)  # models stored without a row
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
    """The form of a file of these models, which must stack, at `grid` or the native grid."""
    if not numbers:
        raise OptionError("models: found none in the archive, expected one at least")
    layout = archive.layout(numbers[0])
    nz, nx = grid or (layout.nz, layout.nx)
    keys = tuple(archive.keys[n] for n in numbers) if archive.has_keys else None
    axes = layout.axes
    if len(numbers) > 1 and "n" not in axes:
        axes = f"n{axes}"
    form = Form(
        len(numbers), nz, nx, axes, layout.dtype, layout.units, keys=keys, z_up=layout.z_up,
        no_data=_no_data(archive, numbers), ny=layout.ny,
        facts=facts_of(archive.reader, numbers),
    )  # fmt: skip
    alike = len(archive.layouts) < 2 and not set(GROUND_FIELDS) & set(archive.fields)
    layouts = [layout] * len(numbers) if alike else [archive.layout(n) for n in numbers]
    grounds = {each: _ground(each, nz, nx) for each in set(layouts)}
    for number, each in zip(numbers, layouts, strict=True):
        _check_direction(layout, each, number)
    return form.on(tuple(grounds[each] for each in layouts))


def _no_data(archive: Archive, numbers: Sequence[int]) -> NoData | None:
    """The no-data value of these models. Raises MixedShapesError if they have two."""
    no_data = archive.layout(numbers[0]).no_data
    if len(archive.layouts) > 1:
        for number in numbers:
            no_data = _one_no_data(no_data, archive.layout(number).no_data, number)
    return no_data


def _one_no_data(before: NoData | None, value: NoData | None, number: int) -> NoData | None:
    """The common no-data value of the models so far and of model `number`; None if neither has
    one.
    """
    if None not in (before, value) and before != value:
        raise MixedShapesError(
            f"model {number}: its absent samples are {value}, those of models before it {before}, "
            "so that they do not stack: no file says both"
        )
    return value if before is None else before


def _ground(layout: Layout, nz: int, nx: int) -> Ground:
    """Where the samples of a model with this layout lie at the grid (nz, nx)."""
    geometry = Geometry(
        layout.nz, layout.nx, layout.dx_m, layout.dz_m, layout.origin_x_m, layout.origin_z_m
    )
    z, x = geometry.first_sample(nz, nx)
    dx, dz = layout.dx_m * layout.nx / nx, layout.dz_m * layout.nz / nz
    if layout.ny is None:
        return Ground(dx, dz, x, z)
    return Ground(dx, dz, x, z, layout.dy_m, layout.origin_y_m)


def _check_samples(archive: Archive, forms: Sequence[Form], options: Decompression) -> None:
    """Raise ResolutionError for too many samples in one model or in all, without `allow_large`."""
    name = archive.reader.name
    for sizes in {form.sizes for form in forms}:
        check_native(sizes, name, options.allow_large)
    samples = sum(form.count * form.samples for form in forms)
    check_written(samples, archive.reader.size, name, options.allow_large)


def _check_direction(first: Layout, layout: Layout, number: int) -> None:
    """Raise MixedShapesError if the rows of one file would go up in some models, down in others."""
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
    options: Decompression,
    on_progress: Progress,
) -> None:
    for block in archive.blocks(grid):
        layout = archive.layout(block[0])
        if layout.is_volume and grid is None:
            for number in block:
                volume = _whole_volume(archive, number, options)
                with naming(target):
                    sink.add_volume(volume.read, volume.edges)
        else:
            models = archive.decode(
                block, grid, average=options.average, allow_large=options.allow_large
            )
            with naming(target):
                sink.add(np.ascontiguousarray(depth_first(models, layout.axes)))
        on_progress(block.stop, len(archive), "render")


def _whole_volume(archive: Archive, number: int, options: Decompression) -> Part:
    """A volume at its own grid, to be read part by part."""
    return archive.box_in_parts(
        number, [slice(None)] * 3, average=options.average, allow_large=options.allow_large
    )


def open_pipe(
    source: BinaryIO,
    target: Path | None,
    options: Decompression,
    *,
    folder: bool = False,
    count: int | None = None,
    decoder: str | Path | Decoder | None = None,
    device: str = "cpu",
) -> Archive:
    """Open an archive from a pipe, to decompress it to a file or `folder`, or to a stream (None).

    It is decoded as it arrives if possible. If the number of models, their files or their keys must
    be known first, the archive goes to a temporary file.
    """
    fits = options.fits_stream(target) and not folder
    if fits and (target or count is not None or options.format_of(None) == "raw"):
        return stream(source, decoder=decoder, device=device)
    return Archive(spooled(source), decoder=decoder, device=device)
