"""The index at an archive's end: lengths of the records, and columns beside them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgpack
import numpy as np
import zstandard
from numpy.typing import NDArray

from .errors import CorruptError, OptionError
from .packed import integer, unpack_mapping, unpack_texts
from .quality import COLUMNS, Quality, pack_quality, unpack_quality

MIN_RECORD_BYTES = 3
MAX_KEY_BYTES = 1024
MAX_RECORD_BYTES = 1 << 31
MAX_KEYS_BYTES = 1 << 28
COMPRESSION_LEVEL = 19


@dataclass(frozen=True)
class Footer:
    """Payload lengths of all records; keys and quality for all of them or for none."""

    lengths: tuple[int, ...]
    keys: tuple[str, ...] = ()
    quality: tuple[Quality, ...] = ()

    def __post_init__(self) -> None:
        for name, column in (("keys", self.keys), ("quality", self.quality)):
            if column and len(column) != len(self.lengths):
                raise ValueError(f"{name}: {len(column)} given for {len(self.lengths)} records")
        if len(set(self.keys)) != len(self.keys):
            raise ValueError("keys: found one twice, expected each once")

    def entry_bytes(self, checksum_bytes: int) -> NDArray[np.int64]:
        """Bytes that each record takes: length prefix, payload, checksum."""
        lengths = np.asarray(self.lengths, dtype=np.int64)
        prefix = np.ones_like(lengths)
        for k in range(1, 5):
            prefix += lengths + 1 >= 1 << (7 * k)
        return prefix + lengths + checksum_bytes

    def to_bytes(self) -> bytes:
        """Msgpack with short keys; byte columns compressed where that is shorter.

        Raises `OptionError` for more text in keys than a reader takes.
        """
        longest = max(self.lengths, default=0)
        width = 1 if longest < 2**8 else 2 if longest < 2**16 else 4
        column = np.asarray(self.lengths, dtype=f"<u{width}")
        data: dict[str, Any] = {"n": len(self.lengths), "w": width, "x": _squeeze(column.tobytes())}
        if self.keys:
            keys = msgpack.packb(list(self.keys))
            if len(keys) > MAX_KEYS_BYTES:
                raise OptionError(
                    f"keys: found {len(keys)} bytes, expected at most {MAX_KEYS_BYTES}"
                )
            data["k"] = _squeeze(keys)
        if self.quality:
            data["q"] = _squeeze(pack_quality(self.quality))
        packed: bytes = msgpack.packb(data)
        return packed

    @classmethod
    def from_bytes(cls, body: bytes, most: int, name: str) -> Footer:
        """The inverse of `to_bytes`; at most `most` records can be there. Raises `CorruptError`."""
        place = f"{name}: index"
        data = unpack_mapping(body, place)
        try:
            count, width = integer(data["n"]), integer(data["w"])
            if not (0 <= count <= most and width in (1, 2, 4)):
                raise CorruptError(
                    f"{place}: found {count} records with lengths of {width} bytes, "
                    f"expected at most {most} with lengths of 1, 2 or 4"
                )
            raw = _expand(data["x"], count * width, place)
            lengths = np.frombuffer(raw, dtype=f"<u{width}").astype(np.int64)
            if len(lengths) != count or (count and lengths.max() >= MAX_RECORD_BYTES):
                raise CorruptError(f"{place}: found {len(lengths)} lengths, expected {count}")
            keys = _keys(data.get("k"), count, place)
            quality = _quality(data.get("q"), count, place)
            return cls(tuple(lengths.tolist()), keys, quality)
        except (KeyError, TypeError, ValueError) as error:
            raise CorruptError(f"{place}: {error}") from error


def _squeeze(data: bytes) -> bytes:
    """One byte that says whether the rest is zstd, and the rest."""
    small = zstandard.ZstdCompressor(level=COMPRESSION_LEVEL).compress(data)
    return b"\x01" + small if len(small) < len(data) else b"\x00" + data


def _expand(data: bytes, most: int, place: str) -> bytes:
    """The inverse of `_squeeze`; refuses more than `most` bytes before it allocates them."""
    if not isinstance(data, bytes) or data[:1] not in (b"\x00", b"\x01"):
        raise CorruptError(f"{place}: column: found no known compression")
    if data[:1] == b"\x00":
        raw = data[1:]
    else:
        try:
            size = zstandard.get_frame_parameters(data[1:]).content_size
            if size > most:
                raise CorruptError(f"{place}: column: found {size} bytes, expected at most {most}")
            raw = zstandard.ZstdDecompressor().decompress(data[1:], allow_extra_data=False)
        except zstandard.ZstdError as error:
            raise CorruptError(f"{place}: column: {error}") from error
    if len(raw) > most:
        raise CorruptError(f"{place}: column: found {len(raw)} bytes, expected at most {most}")
    return raw


def _keys(data: Any, count: int, place: str) -> tuple[str, ...]:
    if data is None:
        return ()
    raw = _expand(data, min(count * (MAX_KEY_BYTES + 5) + 5, MAX_KEYS_BYTES), place)
    return unpack_texts(raw, count, MAX_KEY_BYTES, f"{place}: keys")


def _quality(data: Any, count: int, place: str) -> tuple[Quality, ...]:
    if data is None:
        return ()
    raw = _expand(data, COLUMNS * count, place)
    if len(raw) != COLUMNS * count:
        raise CorruptError(f"{place}: quality: found {len(raw)} bytes, expected {COLUMNS * count}")
    return unpack_quality(raw)
