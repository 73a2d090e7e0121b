"""Archives from a pipe: read from front to back, decoded as records arrive.

The index of an archive is at its end, so a pipe gives no keys, fields or measured quality, and the
number of models is known only at the end.
"""

from __future__ import annotations

import shutil
import tempfile
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NoReturn

import numpy as np
from numpy.typing import NDArray

from velcodec.archive.archive import Archive
from velcodec.archive.numbers import block_size
from velcodec.formats.container.columns import Column
from velcodec.formats.container.header import Header
from velcodec.formats.container.page import QualityCodes
from velcodec.formats.container.quality import StoredQuality
from velcodec.formats.container.record_reader import Columns
from velcodec.formats.container.scan import FoundHeader, FoundRecord, walk
from velcodec.formats.container.sections import DECODER
from velcodec.formats.errors import ModelNumberError, OptionError, TruncatedError
from velcodec.formats.storage.source import stream_name
from velcodec.resolution import Resolution, check_resolution

if TYPE_CHECKING:
    from velcodec.decoder import Decoder


class StreamedArchive(Archive):
    """An archive from a binary stream that cannot seek.

    `blocks` reads on; only models of its latest block can be decoded. The length is the number of
    models read so far.
    """

    _reader: _Window

    def _open(self, source: Any) -> _Window:
        return _Window(source, stream_name(source))

    def blocks(self, res: Resolution | None = None) -> Iterator[range]:
        """As `Archive.blocks`; has read one model beyond the block, if there is one."""
        grid, window, first = check_resolution(res, 0, True), self._reader, 0
        while window.reaches(first):
            layout, end = self.layout(first), first + 1
            most = block_size(layout, grid)
            while window.reaches(end) and end - first < most and self.layout(end) == layout:
                end += 1
            yield range(first, end)
            window.drop(end)
            first = end

    def _repr_html_(self) -> None:
        """A stream is read once, and not for a picture."""

    def __iter__(self) -> Iterator[NDArray[np.generic]]:
        return (model for block in self.blocks() for model in self._arrays(block))


def stream(
    source: BinaryIO, *, decoder: str | Path | Decoder | None = None, device: str = "cpu"
) -> StreamedArchive:
    """Read an archive from front to back, such as from `sys.stdin.buffer`, in bounded memory.

    Iterating gives the models. `blocks` gives ranges of them, each valid for `decode` until the
    next. Arguments as for `velcodec.open`. Raises NotVlatError, VersionError, TruncatedError,
    CorruptError; if the stream ends too early, TruncatedError after its last whole model.
    """
    return StreamedArchive(source, decoder=decoder, device=device)


def spooled(source: BinaryIO) -> BinaryIO:
    """Copy a stream to a temporary file, which can seek."""
    kept = tempfile.TemporaryFile()  # noqa: SIM115 - the caller closes it
    shutil.copyfileobj(source, kept)
    kept.seek(0)
    return kept


class _Window:
    """A `RecordReader` of the records read and not yet dropped."""

    def __init__(self, stream: BinaryIO, name: str) -> None:
        self.name = name
        self._found = walk(stream, name)
        self._records: deque[tuple[FoundRecord, int]] = deque()
        self._first = 0
        self._headers: list[Header] = []
        self._decoders: list[bytes] = []
        self._size = 0
        self.reaches(0)
        if not self._headers:
            raise TruncatedError(f"{name}: found no header")

    def reaches(self, number: int) -> bool:
        """Read up to this record; False if the stream ends before it."""
        while number >= len(self):
            found = next(self._found, None)
            if found is None:
                return False
            if isinstance(found, FoundRecord):
                self._size += len(found.payload)
                self._records.append((found, found.header_number))
            elif isinstance(found, FoundHeader):
                self._headers.append(found.header)
            elif found.kind == DECODER:
                self._decoders.append(found.body)
        return True

    def drop(self, before: int) -> None:
        """Forget the records before this one."""
        while self._records and self._first < before:
            self._records.popleft()
            self._first += 1

    def _record(self, number: int) -> tuple[FoundRecord, int]:
        if not self._first <= number < len(self):
            raise ModelNumberError(
                f"{self.name}: model {number}: is not available: a stream is read once, in order"
            )
        return self._records[number - self._first]

    def __len__(self) -> int:
        return self._first + len(self._records)

    @property
    def header(self) -> Header:
        return self._headers[0]

    def headers(self) -> list[Header]:
        return self._headers

    def payload(self, number: int) -> bytes:
        return self._record(number)[0].payload

    def payload_part(self, number: int, start: int, size: int) -> bytes:
        return self.payload(number)[start : start + size]

    def header_of(self, number: int) -> Header:
        return self._record(number)[0].header

    def header_number(self, number: int) -> int:
        return self._record(number)[1]

    def embedded_decoders(self) -> list[bytes]:
        return self._decoders

    def fields_of(self, numbers: Sequence[int]) -> list[dict[str, Any]]:
        return [{} for _ in numbers]

    @property
    def size(self) -> int:
        return self._size

    @property
    def unfinished(self) -> int:
        return 0

    def close(self) -> None:
        """The stream is not ours to close."""

    # At the end of the stream

    def _unknown(self) -> NoReturn:
        raise OptionError(
            f"{self.name}: is read as a stream: keys, fields and quality are at its end; save it "
            "to a file and open that"
        )

    def ancillary(self) -> list[tuple[bytes, bytes]]:
        self._unknown()

    def columns_of(self, numbers: Sequence[int]) -> Columns:
        self._unknown()

    def key_index(self, key: str) -> int:
        self._unknown()

    @property
    def has_keys(self) -> bool:
        return False

    @property
    def keys(self) -> tuple[str, ...] | None:
        self._unknown()

    @property
    def quality_codes(self) -> QualityCodes | None:
        self._unknown()

    @property
    def quality(self) -> tuple[StoredQuality, ...] | None:
        self._unknown()

    @property
    def lengths(self) -> NDArray[np.int64]:
        self._unknown()

    @property
    def fields(self) -> Mapping[str, Column]:
        self._unknown()


__all__ = ["StreamedArchive", "spooled", "stream"]
