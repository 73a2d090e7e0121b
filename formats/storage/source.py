"""Bytes at an offset of a file, a bytes object, a seekable stream or a URL.

Reads what is asked for, or a little more where requests are expensive; never interprets a byte.
"""

from __future__ import annotations

import io
import os
import re
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from velcodec.formats.errors import (
    ChangedFileError,
    InputFileError,
    MissingExtraError,
    OptionError,
    TruncatedError,
    VelcodecError,
)
from velcodec.formats.extras import needed
from velcodec.formats.storage.locks import ForkableLock
from velcodec.formats.storage.positional import BINARY, read_at
from velcodec.formats.storage.remote_version import Version, fetch_range
from velcodec.formats.storage.retry import TRANSIENT_ERRORS, with_retries
from velcodec.formats.storage.special_files import check_readable

REMOTE_START_BYTES = 1 << 12
REMOTE_END_BYTES = 1 << 16
"""Bytes of a remote file fetched when it is opened: header, index and tail are there."""

REMOTE_SPANS_KEPT = 32
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://.")


class _Bytes(Protocol):
    """What a `ByteSource` reads from."""

    size: int

    def read(self, offset: int, count: int) -> bytes:
        """Up to `count` bytes from `offset`. Raises OSError if that fails."""
        ...

    def fetch(self, spans: Sequence[tuple[int, int]]) -> None:
        """Announces that these spans (begin, end) are about to be read."""
        ...

    def close(self) -> None: ...


def is_url(source: object) -> bool:
    """Whether this names a file by a scheme, such as `s3://...`."""
    return isinstance(source, str) and _URL.match(source) is not None


def stream_name(stream: object) -> str:
    """The stream's name in errors: its own, unless that is a number or it has none."""
    name = getattr(stream, "name", None)
    return name if isinstance(name, str) else "archive"


class ByteSource:
    """Reads ranges of an archive; safe to share between threads.

    Raises InputFileError; OptionError if the source is neither a path nor bytes nor a binary
    stream; MissingExtraError for a URL without fsspec; ChangedFileError if a remote file is
    replaced.
    """

    def __init__(self, source: str | os.PathLike[str] | bytes | BinaryIO) -> None:
        self._bytes: _Bytes
        if isinstance(source, (bytes, bytearray, memoryview)):
            self.name, self._bytes = "archive", _Stream("archive", io.BytesIO(source))
        elif isinstance(source, str) and is_url(source):
            self.name, self._bytes = source, _Remote(source)
        elif isinstance(source, (str, os.PathLike)):
            self.name, self._bytes = str(source), _file(Path(source))
        elif not _is_binary_stream(source):
            raise OptionError(
                f"archive: found {type(source).__name__}, expected a path, bytes or a binary file"
            )
        else:
            self.name = stream_name(source)
            self._bytes = _Stream(self.name, source)
        self.size = self._bytes.size

    def read_at(self, offset: int, count: int, place: str) -> bytes:
        """Exactly `count` bytes from `offset`. Raises `TruncatedError` if the file ends before."""
        if offset < 0 or count < 0 or offset + count > self.size:
            raise TruncatedError(
                f"{self.name}: {place}: found the end at byte {self.size}, "
                f"expected {count} bytes from byte {offset}"
            )
        try:
            data = self._bytes.read(offset, count)
        except OSError as error:
            raise InputFileError(f"{self.name}: {place}: {error.strerror or error}") from error
        if len(data) != count:
            raise TruncatedError(f"{self.name}: {place}: found {len(data)} bytes, expected {count}")
        return data

    def fetch(self, spans: Sequence[tuple[int, int]]) -> None:
        """Prepare to read these spans (begin, end): remote files request all of them at once."""
        try:
            self._bytes.fetch([span for span in spans if 0 <= span[0] < span[1] <= self.size])
        except OSError as error:
            raise InputFileError(f"{self.name}: {error.strerror or error}") from error

    def close(self) -> None:
        """Close the file, if this object opened it."""
        self._bytes.close()


class _File:
    """A local file, read without a position that threads and forked processes would share."""

    _handle = -1

    def __init__(self, path: Path) -> None:
        self._handle = os.open(path, os.O_RDONLY | BINARY)
        self.size = os.lseek(self._handle, 0, os.SEEK_END)

    def read(self, offset: int, count: int) -> bytes:
        if self._handle < 0:
            raise OSError("it was closed")
        parts = []
        while count > 0:
            part = read_at(self._handle, count, offset)
            if not part:
                break
            parts.append(part)
            offset, count = offset + len(part), count - len(part)
        return b"".join(parts)

    def fetch(self, spans: Sequence[tuple[int, int]]) -> None:
        """Nothing to do: the system reads ahead by itself."""

    def close(self) -> None:
        if self._handle >= 0:
            os.close(self._handle)
        self._handle = -1

    def __del__(self) -> None:
        self.close()


class _Stream:
    """A seekable binary stream, one reader at a time; `close` leaves it open."""

    def __init__(self, name: str, stream: BinaryIO) -> None:
        self._stream, self._lock = stream, ForkableLock()
        try:
            self.size = self._stream.seek(0, os.SEEK_END)
        except OSError as error:
            raise InputFileError(f"{name}: expected a seekable file") from error

    def read(self, offset: int, count: int) -> bytes:
        with self._lock:
            self._stream.seek(offset)
            return self._stream.read(count)

    def fetch(self, spans: Sequence[tuple[int, int]]) -> None:
        """Nothing to do: reading earlier gains nothing."""

    def close(self) -> None:
        """Nothing to do: the stream belongs to the caller."""


class _Remote:
    """A file that fsspec reaches. Start and end are fetched at once, other ranges when needed; all
    are of one version.
    """

    def __init__(self, url: str) -> None:
        self._fs, self._path = _filesystem(url)
        self._url = url
        try:
            info = with_retries(url, lambda: self._fs.info(self._path))
            size = info["size"]
        except Exception as error:
            raise InputFileError(f"{url}: {_cause(error)}") from error
        if size is None:
            raise InputFileError(f"{url}: the server does not say the file's size")
        self.size = int(size)
        self._version = Version(url, info)
        self._lock = ForkableLock()
        self._spans: list[tuple[int, bytes]] = []
        start, end = min(REMOTE_START_BYTES, self.size), max(0, self.size - REMOTE_END_BYTES)
        try:
            self.fetch([(0, self.size)] if end <= start else [(0, start), (end, self.size)])
        except OSError as error:
            raise InputFileError(f"{url}: {error}") from error

    def read(self, offset: int, count: int) -> bytes:
        with self._lock:
            for at, data in self._spans:
                if at <= offset and offset + count <= at + len(data):
                    return data[offset - at : offset - at + count]
        return self._get(offset, offset + count)

    def _get(self, begin: int, end: int) -> bytes:
        if begin == end:
            return b""
        try:
            data = with_retries(
                self._url,
                lambda: fetch_range(self._fs, self._path, begin, end, self._version),
                end - begin,
            )
        except ChangedFileError:
            raise
        except Exception as error:  # each fsspec file system has errors of its own
            raise OSError(_cause(error)) from error
        if len(data) == self.size > end - begin:  # a server without ranges sends the whole file
            with self._lock:
                self._spans = [(0, data)]
            return data[begin:end]
        return data

    def fetch(self, spans: Sequence[tuple[int, int]]) -> None:
        for begin, end in spans:
            with self._lock:
                known = any(at <= begin and end <= at + len(data) for at, data in self._spans)
            if not known:
                data = self._get(begin, end)
                with self._lock:
                    self._spans = [*self._spans, (begin, data)][-REMOTE_SPANS_KEPT:]

    def close(self) -> None:
        """Nothing to do: fsspec keeps nothing open between ranges."""


def _filesystem(url: str) -> tuple[Any, str]:
    """fsspec's file system for a URL, and the path in it."""
    fsspec = needed("fsspec", "remote", url)
    try:
        found, path = with_retries(url, lambda: fsspec.core.url_to_fs(url))  # some connect here
    except ImportError as error:  # the scheme needs a package of its own
        raise MissingExtraError(f"{url}: {_cause(error)}") from error
    except VelcodecError:
        raise
    except Exception as error:  # file systems that connect have errors of their own
        raise InputFileError(f"{url}: {_cause(error)}") from error
    return found, path


def _cause(error: BaseException) -> str:
    """The cause in one line. File systems say "not found" of whatever they could not open, so the
    error underneath goes first.
    """
    first: BaseException | None = error
    while first is not None:
        if isinstance(first, ConnectionError | TimeoutError | socket.gaierror):
            return f"no connection: {first.strerror or type(first).__name__}"
        if type(first).__name__ in TRANSIENT_ERRORS:
            return "the connection broke"
        status = getattr(first, "status", None)
        if isinstance(status, int) and status not in (404, 410):
            return f"the server answers {status} {getattr(first, 'message', '')}".rstrip()
        first = first.__cause__
    if isinstance(error, FileNotFoundError):
        return "not found"
    return (str(error).splitlines() or [""])[0] or type(error).__name__


def _is_binary_stream(source: object) -> bool:
    return hasattr(source, "seek") and not isinstance(source, io.TextIOBase)


def _file(path: Path) -> _File:
    try:
        check_readable(path)
        found = _File(path)
    except OSError as error:
        raise InputFileError(f"{path}: {error.strerror}") from error
    if path.is_dir():
        found.close()
        raise InputFileError(f"{path}: Is a directory")
    return found
