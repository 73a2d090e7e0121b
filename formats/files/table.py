"""The table of formats: their names, suffixes, readers and writers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from velcodec.formats.errors import InputFileError, OptionError
from velcodec.formats.facts import NAMES
from velcodec.formats.files.base import Part, reading
from velcodec.formats.files.form import Form, Hints
from velcodec.formats.files.hdf5 import Hdf5Sink, read_hdf5
from velcodec.formats.files.netcdf import NetcdfSink, read_netcdf
from velcodec.formats.files.npy_models import NpySink, read_npy
from velcodec.formats.files.npz import NpzSink, read_npz
from velcodec.formats.files.raw import RawSink, read_raw
from velcodec.formats.files.rsf import RsfSink, read_rsf
from velcodec.formats.files.segy import SegySink, read_segy
from velcodec.formats.files.sinks import FileSink
from velcodec.formats.files.zarr_store import ZarrSink, is_zarr, read_zarr


@dataclass(frozen=True)
class FileFormat:
    """A format: `read` takes (path, hints), `write` (path, form, array).

    `named_arrays` says whether a file may hold several arrays, `folder` whether it is a folder.
    `keeps` are the names in `KEPT` of what a file says of its models.
    """

    name: str
    suffixes: tuple[str, ...]
    read: Callable[[Path, Hints], list[Part]]
    write: Callable[[Path, Form, str], FileSink]
    named_arrays: bool = False
    folder: bool = False
    keeps: frozenset[str] = frozenset()


GROUND, UNITS, DIRECTION, ORDER, KEYS, NO_DATA = (
    "spacing and origin", "units", "direction of depth", "order of axes", "keys", "no-data value",
)  # fmt: skip
KEPT = frozenset((GROUND, UNITS, DIRECTION, ORDER, KEYS, NO_DATA, *NAMES))
"""What a file may say of its models, besides their shape."""

FORMATS = {
    form.name: form
    for form in (
        FileFormat("npy", (".npy",), read_npy, NpySink),
        FileFormat(
            "npz", (".npz",), read_npz, NpzSink, named_arrays=True, keeps=KEPT - {ORDER}
        ),
        FileFormat(
            "hdf5", (".h5", ".hdf5", ".hdf", ".mat"), read_hdf5, Hdf5Sink, named_arrays=True,
            keeps=KEPT,
        ),
        FileFormat(
            "netcdf", (".nc", ".nc4", ".cdf"), read_netcdf, NetcdfSink, named_arrays=True,
            keeps=KEPT,
        ),
        FileFormat(
            "zarr", (".zarr",), read_zarr, ZarrSink, named_arrays=True, folder=True, keeps=KEPT
        ),
        FileFormat(
            "segy", (".sgy", ".segy"), read_segy, SegySink,
            keeps=frozenset((GROUND, DIRECTION, ORDER, NO_DATA)),
        ),
        FileFormat(
            "rsf", (".rsf",), read_rsf, RsfSink,
            keeps=frozenset((GROUND, UNITS, DIRECTION, ORDER, NO_DATA, "vertical")),
        ),
        FileFormat("raw", (".bin", ".raw", ".dat"), read_raw, RawSink),
    )
}  # fmt: skip
MAGIC = {b"\x93NUMPY": "npy", b"PK\x03\x04": "npz", b"\x89HDF\r\n\x1a\n": "hdf5", b"CDF": "netcdf"}


def named_format(name: str) -> FileFormat:
    """The format of this name. Raises OptionError."""
    if name not in FORMATS:
        raise OptionError(f"format: found {name!r}, expected one of {', '.join(FORMATS)}")
    return FORMATS[name]


def format_by_suffix(path: Path) -> FileFormat | None:
    """The format that a file's suffix indicates, or None."""
    suffix = path.suffix.lower()
    return next((form for form in FORMATS.values() if suffix in form.suffixes), None)


def told_format(path: Path) -> str | None:
    """The name of the format that a file's suffix indicates, or None."""
    found = format_by_suffix(path)
    return None if found is None else found.name


def format_of(path: Path) -> FileFormat:
    """The format of an existing file, from its name or its first bytes.

    Raises InputFileError.
    """
    if is_zarr(path):
        return FORMATS["zarr"]
    found = format_by_suffix(path)
    if found is not None:
        return found
    with reading(str(path)), path.open("rb") as stream:
        start = stream.read(8)
    for magic, name in MAGIC.items():
        if start.startswith(magic):
            return FORMATS[name]
    raise InputFileError(
        f"{path}: neither its name nor its first bytes tell the format; name it with --format, "
        f"one of {', '.join(FORMATS)}"
    )
