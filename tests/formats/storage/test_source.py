"""Bytes at an offset: exactly those asked for, or a typed error."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest

from velcodec.formats.errors import InputFileError, TruncatedError
from velcodec.formats.storage.source import ByteSource


@pytest.mark.parametrize("kind", ["bytes", "path", "stream"])
def test_ranges_are_exact(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"0123456789")
    with path.open("rb") as stream:
        sources: dict[str, Any] = {"bytes": b"0123456789", "path": path, "stream": stream}
        own = ByteSource(sources[kind])
        assert own.size == 10
        assert own.read_at(3, 4, "here") == b"3456"
        assert own.read_at(10, 0, "here") == b""
        assert own.read_at(0, 10, "here") == b"0123456789"
        own.close()
        assert not stream.closed


@pytest.mark.parametrize(("offset", "count"), [(0, 11), (10, 1), (-1, 2), (5, -1), (2**70, 1)])
def test_a_range_outside_is_refused_before_it_is_read(offset: int, count: int) -> None:
    with pytest.raises(TruncatedError, match="archive: here: found the end at byte 10"):
        ByteSource(b"0123456789").read_at(offset, count, "here")


def test_a_file_that_shrinks_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"0123456789")
    own = ByteSource(path)
    path.write_bytes(b"0123")
    with pytest.raises(TruncatedError, match="here: found 2 bytes, expected 4"):
        own.read_at(2, 4, "here")
    own.close()


def test_a_device_that_fails_is_named() -> None:
    class Failing(io.BytesIO):
        name = "tape"

        def read(self, size: int | None = -1, /) -> bytes:
            raise OSError(5, "Input/output error")

    with pytest.raises(InputFileError, match="tape: here: Input/output error"):
        ByteSource(Failing(b"0123")).read_at(0, 2, "here")
