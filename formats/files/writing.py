"""Write models to a file or a folder of files; atomic."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice, takewhile
from pathlib import Path, PurePosixPath
from typing import Any

from numpy.typing import NDArray

from velcodec.formats.errors import InputShapeError, OptionError, OutputPathError
from velcodec.formats.files.attributes import AXIS_NAMES, GRID_FACTS, KEYS
from velcodec.formats.files.form import Form
from velcodec.formats.files.npz import NpzSink, told_of_all
from velcodec.formats.files.sinks import FileSink, ReadBox, Sink
from velcodec.formats.files.table import FileFormat, format_by_suffix, named_format
from velcodec.formats.storage.atomic import atomic_folder, atomic_path, naming

OPENFWI_PER_FILE = 500
ARRAY = "velocity"
TAKEN = {*AXIS_NAMES.values(), *GRID_FACTS, KEYS}


@contextmanager
def open_sink(
    target: str | Path, form: Form, *, format: str | None = None, array: str = ARRAY,
    force: bool = False,
) -> Iterator[Sink]:  # fmt: skip
    """A file for models of one form; it appears if the block ends without an exception.

    The name gives the format unless `format` is given; `array` is the models' name in formats with
    array names. Raises OptionError, OutputExistsError, OutputPathError, MissingExtraError;
    InputShapeError if the number of models added is not the form's.
    """
    target = Path(target)
    file_format = _format(target, format)
    _check_array(array)
    whole = atomic_folder(target) if file_format.folder else atomic_path(target, force=force)
    with whole as path, naming(target), file_format.write(path, form, array) as sink:
        yield sink


@contextmanager
def open_folder_sink(
    target: str | Path, files: Sequence[tuple[str, Form]], *, format: str | None = None,
    array: str = ARRAY,
) -> Iterator[Sink]:  # fmt: skip
    """A new folder of files, filled in order; it appears if the block ends without an exception.

    Files are (path in the folder, form), such as `split_files` gives or an archive remembers; no
    path may leave the folder. Arrays are named as in their forms, or `array`; several arrays of one
    `.npz` file follow each other under its path. Raises what `open_sink` does.
    """
    target = Path(target)
    for file, _ in files:
        _check_path(file)
    formats = [_format(Path(file), format) for file, _ in files]
    _check_distinct(files, formats)
    _check_array(array)
    for (file, form), file_format in zip(files, formats, strict=True):
        if form.array is not None and file_format.named_arrays:
            _check_inner_array(file, form.array, file_format)
    with (
        atomic_folder(target) as folder,
        naming(target),
        _FolderSink(folder, files, formats, array) as sink,
    ):
        yield sink


def split_files(
    form: Form, *, per_file: int = OPENFWI_PER_FILE, name: str = "model{}.npy", first: int = 1
) -> list[tuple[str, Form]]:
    """Files of `per_file` models each, the rest in the last; `{}` is the file's number.

    For axes n1zx the defaults give OpenFWI's own layout.
    """
    if per_file < 1 or name.count("{}") != 1:
        raise OptionError(f"files: found {per_file} models each, named {name!r}, expected a {{}}")
    files = []
    for number, start in enumerate(range(0, form.count, per_file), first):
        count = min(per_file, form.count - start)
        files.append((name.replace("{}", str(number)), form.part(start, start + count)))
    return files


class _FolderSink:
    """Passes models on to one file after the other."""

    def __init__(
        self, folder: Path, files: Sequence[tuple[str, Form]], formats: Sequence[FileFormat],
        array: str,
    ) -> None:  # fmt: skip
        self._folder, self._array, self._formats = folder, array, formats
        self._files, self._next = files, 0
        self._sink: FileSink | None = None

    def add(self, models: NDArray[Any]) -> None:
        while len(models):
            sink = self._sink or self._open()
            left = sink.form.count - sink.written
            sink.add(models[:left])
            models = models[left:]
            if sink.full:
                sink.__exit__(None, None, None)
                self._sink = None

    def add_volume(self, read: ReadBox, edges: Sequence[int]) -> None:
        sink = self._sink or self._open()
        sink.add_volume(read, edges)
        if sink.full:
            sink.__exit__(None, None, None)
            self._sink = None

    def _open(self) -> FileSink:
        if self._next == len(self._files):
            raise InputShapeError(f"models: found more than {len(self._files)} files hold")
        file, form = self._files[self._next]
        path = self._folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        array, write = form.array or self._array, self._formats[self._next].write
        beside = [name for name, _ in self._files[max(0, self._next - 1) : self._next + 2]]
        if beside.count(file) > 1:  # several arrays of a file, so an .npz
            rest = takewhile(lambda each: each[0] == file, islice(self._files, self._next, None))
            told = {} if path.exists() else told_of_all([each for _, each in rest])
            self._sink = NpzSink(path, form, array, alone=False, told=told)
        else:
            self._sink = write(path, form, array)
        self._next += 1
        return self._sink

    def __enter__(self) -> _FolderSink:
        return self

    def __exit__(self, *error: Any) -> None:
        if self._sink is not None:
            self._sink.__exit__(*error)
        if error[0] is None and self._next < len(self._files):
            raise InputShapeError(
                f"models: found those of {self._next} files, expected {len(self._files)}"
            )


def _format(path: Path, name: str | None) -> FileFormat:
    found = named_format(name) if name is not None else format_by_suffix(path)
    if found is None:
        raise OptionError(f"{path}: the name tells no format; name it with --format")
    return found


def _check_array(array: str) -> None:
    """Names become paths in zip files and stores, beside the names that describe the models."""
    if not array or not all(c.isalnum() or c in "_-" for c in array):
        raise OptionError(f"array: found {array!r}, expected letters, digits, _ and -")
    if array in TAKEN:
        raise OptionError(f"array: found {array!r}, a name that means something else")


def _check_inner_array(file: str, array: str, file_format: FileFormat) -> None:
    """Like `_check_array`, but allows names with groups if the format has them."""
    groups = file_format.name in ("npz", "hdf5", "zarr")
    try:
        for piece in array.split("/") if groups else [array]:
            _check_array(piece)
    except OptionError as error:
        raise OptionError(f"{file}: {error}; name the arrays with --array") from error


def _check_path(file: str) -> None:
    """Raise OutputPathError for a path that would leave the folder."""
    pieces = PurePosixPath(file).parts
    if not pieces or pieces[0] == "/" or ".." in pieces or "\\" in file or "\0" in file:
        raise OutputPathError(f"{file!r}: expected a path within the folder")


def _check_distinct(files: Sequence[tuple[str, Form]], formats: Sequence[FileFormat]) -> None:
    """Raise OutputPathError for a repeated path, except for the arrays of one file."""
    seen: dict[PurePosixPath, set[str | None]] = {}
    last = None
    for (file, form), file_format in zip(files, formats, strict=True):
        path = PurePosixPath(file)
        arrays = seen.setdefault(path, set())
        if arrays and (path != last or None in {*arrays, form.array} or form.array in arrays):
            raise OutputPathError(f"files: found a name twice ({file}), expected different ones")
        if arrays and file_format.name != "npz":
            raise OutputPathError(
                f"{file}: found several arrays, expected one: only an .npz file has more"
            )
        arrays.add(form.array)
        last = path
