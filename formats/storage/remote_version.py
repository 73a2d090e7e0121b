"""Read one version of a remote file: every answer must match the first.

A server may replace a file between two requests. What identifies a version (entity tag, date,
length) is compared on each answer, and a web server is asked for that version only.
"""

from __future__ import annotations

from collections.abc import Mapping
from threading import Lock
from typing import Any

from velcodec.formats.errors import ChangedFileError

VERSION_KEYS = (
    "size", "ETag", "etag", "e_tag", "Last-Modified", "LastModified", "last_modified", "mtime",
    "modified", "created", "updated", "generation", "md5Hash", "VersionId", "version_id",
)  # fmt: skip
"""Keys by which fsspec file systems identify a version of a file."""

ETAG, DATE, SIZE = "ETag", "Last-Modified", "size"
PRECONDITION_FAILED = 412
OK, PARTIAL = 200, 206

MAX_WHOLE_FILE_BYTES = 1 << 28
"""From a server without range requests, a file of up to this size is read whole, a larger one not
at all.
"""

READ_AT_ONCE = 1 << 18


class Version:
    """The version of the file `url` that was seen first, from what `info` says of it."""

    def __init__(self, url: str, info: Mapping[str, Any]) -> None:
        self._url, self._lock = url, Lock()
        self._told = {key: info[key] for key in VERSION_KEYS if info.get(key) is not None}

    @property
    def size(self) -> int:
        """Bytes of the file, as first stated; 0 if unknown."""
        return int(self._told.get(SIZE, 0))

    def check(self, told: Mapping[str, Any]) -> None:
        """Raise ChangedFileError if an answer is of another version; facts that were missing so far
        are taken from this answer.
        """
        with self._lock:
            for key in VERSION_KEYS:
                if told.get(key) is None:
                    continue
                found, expected = told[key], self._told.setdefault(key, told[key])
                if _plain(found) != _plain(expected):
                    raise self._changed(f"{key}: found {found}, expected {expected}")

    def _changed(self, what: str) -> ChangedFileError:
        return ChangedFileError(f"{self._url}: was replaced while it was read: {what}")

    def conditions(self) -> dict[str, str]:
        """Headers that ask a web server for this version or none."""
        with self._lock:
            tag, date = self._told.get(ETAG), self._told.get(DATE)
        if tag is not None and not str(tag).startswith("W/"):  # a weak tag never matches
            return {"If-Match": str(tag)}
        return {} if date is None else {"If-Unmodified-Since": str(date)}

    def check_answer(self, status: int, headers: Mapping[str, str], length: int) -> None:
        """Raise ChangedFileError if a web server's answer, of `length` bytes, is of another version
        or says that this one is gone.
        """
        if status == PRECONDITION_FAILED:
            raise self._changed("the server has that version no more")
        told: dict[str, Any] = {ETAG: headers.get(ETAG), DATE: headers.get(DATE)}
        whole = headers.get("Content-Range", "").rpartition("/")[2]
        if status == PARTIAL and whole.isdecimal():
            told[SIZE] = int(whole)
        elif status == OK:
            told[SIZE] = length
        self.check(told)


def _plain(value: Any) -> Any:
    """Servers may call a tag weak in one answer and strong in the next."""
    return value.removeprefix("W/") if isinstance(value, str) else value


def fetch_range(system: Any, path: str, begin: int, end: int, version: Version) -> bytes:
    """The bytes from `begin` to `end` of this version of a file that fsspec's `system` reaches, or
    the whole file if the web server knows no ranges. Never reads more of a longer answer.

    Raises ChangedFileError, OSError for such an answer, and what the file system raises.
    """
    if _is_web(system):
        from fsspec.asyn import sync

        found: bytes = sync(system.loop, _from_web, system, path, begin, end, version)
        return found
    data: bytes = system.cat_file(path, start=begin, end=end)
    system.invalidate_cache()
    version.check(system.info(path))
    return data


def _is_web(system: Any) -> bool:
    protocol = system.protocol
    return "http" in ((protocol,) if isinstance(protocol, str) else protocol)


async def _from_web(system: Any, url: str, begin: int, end: int, version: Version) -> bytes:
    options = dict(system.kwargs)
    about = {"Range": f"bytes={begin}-{end - 1}", "Accept-Encoding": "identity"}
    options["headers"] = {**options.get("headers", {}), **about, **version.conditions()}
    session = await system.set_session()
    async with session.get(system.encode_url(url), **options) as answer:
        if answer.status != PRECONDITION_FAILED:
            system._raise_not_found_for_status(answer, url)
        most = end - begin if answer.status == PARTIAL else version.size
        if most > max(end - begin, MAX_WHOLE_FILE_BYTES):
            raise OSError(f"the server sends all of {most:,} bytes, expected the part asked for")
        data = bytearray()
        async for part in answer.content.iter_chunked(READ_AT_ONCE):
            data += part
            if len(data) > most:
                answer.close()
                if answer.status in (OK, PARTIAL):
                    raise OSError(f"the server sends more than the {most:,} bytes that it should")
                break
        version.check_answer(answer.status, answer.headers, len(data))
        return bytes(data)
