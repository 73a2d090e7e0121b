"""Which version of a remote file is being read: every answer must be of the one that came first.

A server may replace a file between two requests. What it says of a version, its entity tag, its
date and the file's length, is compared on each answer; a web server is asked for that version and
no other.
"""

from __future__ import annotations

from collections.abc import Mapping
from threading import Lock
from typing import Any

from velcodec.formats.errors import ChangedFileError

TOLD = (
    "size", "ETag", "etag", "e_tag", "Last-Modified", "LastModified", "last_modified", "mtime",
    "modified", "created", "updated", "generation", "md5Hash", "VersionId", "version_id",
)  # fmt: skip
"""What file systems of fsspec say of a file that tells one version of it from another."""

ETAG, DATE, SIZE = "ETag", "Last-Modified", "size"
PRECONDITION_FAILED = 412
OK, PARTIAL = 200, 206


class Version:
    """The version of the file `url` that was met first, by what `info` says of it."""

    def __init__(self, url: str, info: Mapping[str, Any]) -> None:
        self._url, self._lock = url, Lock()
        self._told = {key: info[key] for key in TOLD if info.get(key) is not None}

    def check(self, told: Mapping[str, Any]) -> None:
        """Raise ChangedFileError where an answer is of another version; what the first ones left
        out is taken from this one.
        """
        with self._lock:
            for key in TOLD:
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
        if tag is not None and not str(tag).startswith("W/"):  # a weak one never matches
            return {"If-Match": str(tag)}
        return {} if date is None else {"If-Unmodified-Since": str(date)}

    def check_answer(self, status: int, headers: Mapping[str, str], length: int) -> None:
        """Raise ChangedFileError where a web server's answer, of `length` bytes, is of another
        version, or says that there is none.
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
    """Servers may call one tag weak and strong by turns."""
    return value.removeprefix("W/") if isinstance(value, str) else value


def fetch_range(system: Any, path: str, begin: int, end: int, version: Version) -> bytes:
    """Bytes of a file that fsspec's `system` reaches, of this version: from `begin` to `end`, or
    all where a web server knows no ranges.

    Raises ChangedFileError, and what the file system raises.
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
        data: bytes = await answer.read()
        version.check_answer(answer.status, answer.headers, len(data))
        return data
