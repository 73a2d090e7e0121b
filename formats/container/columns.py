"""Columns: one value for each of some records, as few bytes as they take.

Byte columns are compressed with zstd where that is shorter; numbers are stored byte plane by byte
plane, texts as numbers of the distinct ones. What a column is for is `page`'s business.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgpack
import numpy as np
import zstandard
from numpy.typing import NDArray

from velcodec.formats.errors import CorruptError, OptionError, UnknownFeatureError
from velcodec.formats.storage.checked_msgpack import integer, sequence, unpack_texts

COMPRESSION_LEVEL = 19
MAX_TEXT_BYTES = 4096
MAX_TEXTS_BYTES = 1 << 26
NUMBERS = ("<f8", "<f4", "<i8", "<i4", "<i2", "<u8", "<u4", "<u2", "|i1", "|u1", "|b1")
TEXT = "t"

Column = NDArray[Any]
"""Numbers of one of the dtypes NUMBERS, or an object array of texts."""


def squeeze(data: bytes) -> bytes:
    """One byte that says whether the rest is zstd, and the rest."""
    small = zstandard.ZstdCompressor(level=COMPRESSION_LEVEL).compress(data)
    return b"\x01" + small if len(small) < len(data) else b"\x00" + data


def expand(data: Any, most: int, place: str) -> bytes:
    """The inverse of `squeeze`; refuses more than `most` bytes before it allocates them.

    Raises CorruptError, UnknownFeatureError.
    """
    if not isinstance(data, bytes) or not data:
        raise CorruptError(f"{place}: column: found {type(data).__name__}, expected some bytes")
    if data[0] > 1:
        raise UnknownFeatureError(f"{place}: column: found compression {data[0]}, expected 0 or 1")
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


def as_column(values: Sequence[Any] | NDArray[Any], count: int, name: str) -> Column:
    """Checked values of a column of `count` records, little-endian numbers or texts.

    Raises OptionError for what no archive holds.
    """
    if not isinstance(values, np.ndarray) and any(isinstance(value, str) for value in values):
        # NumPy's own texts would lose zero bytes at their ends, and make numbers into texts.
        found = np.empty(len(values), dtype=object)
        found[:] = list(values)
    else:
        try:
            found = np.asarray(values)
        except ValueError as error:
            raise OptionError(f"field {name!r}: expected texts or numbers: {error}") from error
    if found.shape != (count,):
        raise OptionError(f"field {name!r}: found shape {found.shape}, expected ({count},)")
    if found.dtype.kind in "UO":
        texts = np.array([str(v) if isinstance(v, str) else v for v in found], dtype=object)
        for text in texts:
            if not isinstance(text, str):
                raise OptionError(f"field {name!r}: found {text!r}, expected texts or numbers")
            _check_text(text, name)
        return texts
    plain = found.astype(found.dtype.newbyteorder("<"), copy=False)
    if plain.dtype.str not in NUMBERS:
        raise OptionError(f"field {name!r}: found dtype {found.dtype}, expected numbers or texts")
    return plain


def is_text(value: str) -> bool:
    """Whether UTF-8 can hold it."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _check_text(text: str, name: str) -> None:
    if not is_text(text):
        raise OptionError(f"field {name!r}: found {text!r}, expected text that UTF-8 can hold")
    if len(text) * 4 > MAX_TEXT_BYTES and len(text.encode()) > MAX_TEXT_BYTES:
        raise OptionError(
            f"field {name!r}: found {len(text.encode())} bytes of text, "
            f"expected at most {MAX_TEXT_BYTES}"
        )


def pack_column(column: Column) -> list[Any]:
    """A column as msgpack holds it: [dtype, planes], or ["t", number of texts, texts, codes]."""
    if column.dtype != object:
        planes = np.frombuffer(np.ascontiguousarray(column).tobytes(), dtype=np.uint8)
        shuffled = planes.reshape(-1, column.dtype.itemsize).T
        return [column.dtype.str, squeeze(shuffled.tobytes())]
    # In order of first use, so that the same texts always give the same bytes.
    number: dict[str, int] = {}
    codes = np.array([number.setdefault(text, len(number)) for text in column], dtype=np.int64)
    width = _code_width(len(number))
    texts = msgpack.packb(list(number))
    return [TEXT, len(number), squeeze(texts), squeeze(codes.astype(f"<u{width}").tobytes())]


def unpack_column(data: Any, count: int, place: str) -> Column:
    """The inverse of `pack_column` for `count` records.

    Raises CorruptError, UnknownFeatureError.
    """
    try:
        kind, *parts = sequence(data)
        if kind == TEXT:
            distinct, texts, codes = parts
            return _texts(integer(distinct), texts, codes, count, place)
        if not isinstance(kind, str):
            raise TypeError(f"found {kind!r}, expected a dtype")
        if kind not in NUMBERS:
            raise UnknownFeatureError(f"{place}: found dtype {kind!r}, expected one of {NUMBERS}")
        (planes,) = parts
    except (TypeError, ValueError) as error:
        raise CorruptError(f"{place}: {error}") from error
    dtype = np.dtype(kind)
    raw = expand(planes, count * dtype.itemsize, place)
    if len(raw) != count * dtype.itemsize:
        raise CorruptError(f"{place}: found {len(raw)} bytes for {count} numbers")
    shuffled = np.frombuffer(raw, dtype=np.uint8).reshape(dtype.itemsize, count)
    if dtype.kind == "b" and shuffled.size and shuffled.max() > 1:
        raise CorruptError(f"{place}: found a truth value of {shuffled.max()}")
    return np.frombuffer(shuffled.T.tobytes(), dtype=dtype)


def _texts(distinct: int, texts: Any, codes: Any, count: int, place: str) -> Column:
    if not 0 <= distinct <= count:
        raise CorruptError(f"{place}: found {distinct} texts for {count} records")
    raw = expand(texts, min(distinct * (MAX_TEXT_BYTES + 5) + 5, MAX_TEXTS_BYTES), place)
    known = np.array(unpack_texts(raw, distinct, MAX_TEXT_BYTES, place), dtype=object)
    width = _code_width(distinct)
    plain = np.frombuffer(expand(codes, count * width, place), dtype=np.uint8)
    if len(plain) != count * width:
        raise CorruptError(f"{place}: found {len(plain)} bytes for {count} texts")
    numbers = plain.view(f"<u{width}").astype(np.int64)
    if count and int(numbers.max()) >= distinct:
        raise CorruptError(f"{place}: found text number {numbers.max()} of {distinct}")
    return known[numbers] if count else np.zeros(0, dtype=object)


def _code_width(distinct: int) -> int:
    return 1 if distinct <= 2**8 else 2 if distinct <= 2**16 else 4


def joined(parts: Sequence[tuple[int, Column | None]]) -> Column:
    """Columns of neighbouring pages as one; (count, None) where a page has no such column.

    What is missing is an empty text or not a number; integers beside it become float64.
    """
    there = [column for _, column in parts if column is not None]
    if any(column.dtype == object for column in there):
        whole = [
            np.full(count, "", dtype=object) if column is None else _as_texts(column)
            for count, column in parts
        ]
    elif len(there) < len(parts):
        whole = [
            np.full(count, np.nan) if column is None else column.astype(np.float64)
            for count, column in parts
        ]
    else:
        whole = there
    return np.concatenate(whole) if whole else np.zeros(0)


def _as_texts(column: Column) -> Column:
    if column.dtype == object:
        return column
    return np.array([str(value) for value in column.tolist()], dtype=object)


LISTED_VALUES = 8


def column_figures(column: Column) -> dict[str, Any]:
    """What a column holds, in short and JSON-able: its kind, how many records have no value, and
    the range of numbers, or how many distinct texts there are, and those where they are few.
    """
    if column.dtype == object:
        texts = [text for text in column.tolist() if text != ""]
        distinct = dict.fromkeys(texts)
        values = list(distinct) if len(distinct) <= LISTED_VALUES else None
        missing = len(column) - len(texts)
        return {"kind": "text", "missing": missing, "distinct": len(distinct), "values": values}
    if column.dtype == bool:
        return {"kind": "truth", "missing": 0, "true": int(column.sum())}
    known = column[column == column]
    least, greatest = (known.min().item(), known.max().item()) if len(known) else (None, None)
    missing = len(column) - len(known)
    return {"kind": "number", "missing": missing, "least": least, "greatest": greatest}


def take_fields(fields: Mapping[str, Column], rows: Any) -> dict[str, Column]:
    """Some rows of every column."""
    return {name: column[rows] for name, column in fields.items()}
