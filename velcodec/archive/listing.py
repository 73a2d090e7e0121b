"""Facts about single models of an archive, and columns of facts, without decoding."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from velcodec.archive.archive import Archive
from velcodec.decode.stored import absent_samples, layout_and_storage
from velcodec.formats.container.copying import runs_of_headers
from velcodec.formats.container.quality import (
    StoredQuality,
    is_unknown,
    quality_figures,
    quality_rows,
)
from velcodec.formats.errors import OptionError

FIGURES = ("number", "key", "bytes", *StoredQuality._fields)
"""Columns that every archive has. A field of the same name goes before."""


@dataclass(frozen=True)
class Row:
    """One model: number, key, grid, representation, bytes of its record, measured quality, fields,
    and the share of absent samples (0 to 1).
    """

    number: int
    key: str
    nz: int
    nx: int
    stored: str
    bytes: int
    quality: StoredQuality | None
    fields: dict[str, Any]
    absent: float = 0.0
    ny: int | None = None

    @property
    def sizes(self) -> tuple[int, ...]:
        """(nz, nx) of sections, (nz, ny, nx) of volumes."""
        return (self.nz, self.nx) if self.ny is None else (self.nz, self.ny, self.nx)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able except for NaN, infinity and NumPy scalars."""
        measured = {} if self.quality is None else self.quality._asdict()
        return {
            "number": self.number,
            "key": self.key,
            "nz": self.nz,
            "nx": self.nx,
            **({} if self.ny is None else {"ny": self.ny}),
            "stored": self.stored,
            "bytes": self.bytes,
            **measured,
            "absent": self.absent,
            "fields": self.fields,
        }


def rows_of(archive: Archive, numbers: Sequence[int]) -> Iterator[Row]:
    """A row for each of these models, read in blocks. Raises CorruptError."""
    reader = archive.reader
    for block in runs_of_headers(reader, numbers):
        columns = reader.columns_of(block)
        sizes = columns.lengths.tolist()
        codes = columns.quality
        measured: Sequence[StoredQuality | None] = [None] * len(block)
        if codes is not None:
            pairs = zip(quality_rows(codes), is_unknown(codes), strict=True)
            measured = [None if unknown else quality for quality, unknown in pairs]
        for row, number in enumerate(block):
            layout, stored = layout_and_storage(reader, number)
            yield Row(
                number,
                str(number) if columns.keys is None else columns.keys[row],
                layout.nz,
                layout.nx,
                stored,
                sizes[row],
                measured[row],
                {name: column[row] for name, column in columns.fields.items()},
                absent_samples(reader, number) / layout.samples,
                layout.ny,
            )


def check_fields(archive: Archive, names: Sequence[str]) -> None:
    """Raise OptionError for a field that the archive does not have."""
    for name in names:
        if name not in archive.fields:
            known = ", ".join(sorted(archive.fields)) or "none"
            raise OptionError(f"field {name!r}: found no such field; the archive has {known}")


def column_of(archive: Archive, name: str) -> NDArray[Any]:
    """A field, or one of FIGURES, of every model, (n,): numbers, or texts as objects. A missing
    value, or an error that was not measured, is NaN or an empty text.

    Raises OptionError for another name.
    """
    if name in archive.fields or name not in FIGURES:
        check_fields(archive, [name])
        return archive.fields[name]
    if name == "number":
        return np.arange(len(archive))
    if name == "key":
        return np.array(archive.keys, dtype=object)
    if name == "bytes":
        return np.array(archive.record_bytes)
    codes = archive.reader.quality_codes
    if codes is None:
        return np.full(len(archive), np.nan)
    figures = quality_figures(codes)[StoredQuality._fields.index(name)]
    figures[is_unknown(codes)] = np.nan
    return figures
