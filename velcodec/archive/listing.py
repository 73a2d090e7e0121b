"""What an archive says of each of some models, without decoding them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from velcodec.archive.archive import Archive
from velcodec.decode.stored import layout_and_way
from velcodec.formats.container.copying import runs_of_headers
from velcodec.formats.container.page import entry_bytes
from velcodec.formats.container.quality import Quality, quality_rows
from velcodec.formats.errors import OptionError


@dataclass(frozen=True)
class Row:
    """One model: number and key, samples down and across, how it is stored, the bytes of its
    record, what was measured of it, its fields.
    """

    number: int
    key: str
    nz: int
    nx: int
    stored: str
    bytes: int
    quality: Quality | None
    fields: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """JSON-able but for not-a-number, infinity and NumPy's scalars."""
        measured = {} if self.quality is None else self.quality._asdict()
        return {
            "number": self.number,
            "key": self.key,
            "nz": self.nz,
            "nx": self.nx,
            "stored": self.stored,
            "bytes": self.bytes,
            **measured,
            "fields": self.fields,
        }


def rows_of(archive: Archive, numbers: Sequence[int]) -> Iterator[Row]:
    """A row for each of these models, some read at a time. Raises CorruptError."""
    reader = archive.reader
    for block in runs_of_headers(reader, numbers):
        columns = reader.columns_of(block)
        sizes = entry_bytes(columns.lengths).tolist()
        measured = None if columns.quality is None else quality_rows(columns.quality)
        for row, number in enumerate(block):
            layout, stored = layout_and_way(reader, number)
            yield Row(
                number,
                str(number) if columns.keys is None else columns.keys[row],
                layout.nz,
                layout.nx,
                stored,
                sizes[row],
                None if measured is None else measured[row],
                {name: column[row] for name, column in columns.fields.items()},
            )


def check_fields(archive: Archive, names: Sequence[str]) -> None:
    """Raise OptionError for a field that the archive does not have."""
    for name in names:
        if name not in archive.fields:
            known = ", ".join(sorted(archive.fields)) or "none"
            raise OptionError(f"field {name!r}: found no such field; the archive has {known}")
