"""Columns come back as they went in, and hostile ones cost no memory."""

from __future__ import annotations

import tracemalloc
from typing import Any

import msgpack
import numpy as np
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hn

from velcodec.formats.container.columns import (
    MAX_TEXT_BYTES,
    NUMBERS,
    Column,
    as_column,
    expand,
    joined,
    pack_column,
    squeeze,
    unpack_column,
)
from velcodec.formats.errors import CorruptError, OptionError

TEXTS = st.lists(st.text(st.characters(codec="utf-8"), max_size=12), max_size=30)


def check_round_trip(column: Column) -> None:
    stored = msgpack.unpackb(msgpack.packb(pack_column(column)))
    found = unpack_column(stored, len(column), "here")
    assert found.dtype == column.dtype
    assert found.shape == column.shape
    if column.dtype == object:
        assert found.tolist() == column.tolist()
    else:  # bit for bit, whatever kind of no number there is
        assert found.tobytes() == column.tobytes()


@given(st.binary(max_size=300) | st.binary(max_size=9).map(lambda data: data * 100))
def test_bytes_come_back(data: bytes) -> None:
    assert expand(squeeze(data), len(data), "here") == data
    assert len(squeeze(data)) <= len(data) + 1


@settings(deadline=None)
@given(st.sampled_from(NUMBERS).flatmap(lambda d: hn.arrays(np.dtype(d), st.integers(0, 40))))
def test_numbers_come_back(column: Column) -> None:
    check_round_trip(as_column(column, len(column), "f"))


@settings(deadline=None)
@given(TEXTS)
def test_texts_come_back(texts: list[str]) -> None:
    column = as_column(texts, len(texts), "f") if texts else np.zeros(0, dtype=object)
    assert column.tolist() == texts
    check_round_trip(column)


@pytest.mark.parametrize("count", [1, 255, 256, 257, 2**16, 2**16 + 1])
def test_any_number_of_distinct_texts_comes_back(count: int) -> None:
    check_round_trip(as_column([f"t{i}" for i in range(count)], count, "f"))


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        ([1, 2], "<i8"),
        ([1.5, 2], "<f8"),
        ([True, False], "|b1"),
        (np.array([1, 2], ">i4"), "<i4"),
        (np.array([1, 2], ">f4"), "<f4"),
        (np.array([1, 2], np.uint8), "|u1"),
        (np.array(["a", "b"]), "|O"),
        (("a", "b\0"), "|O"),
        (np.array(["a", "b"], dtype=object), "|O"),
    ],
)
def test_values_are_kept_as_they_are(values: Any, dtype: str) -> None:
    found = as_column(values, 2, "f")
    assert found.dtype == np.dtype(dtype)
    assert found.tolist() == list(values)


ODD: list[Any] = [
    [1],
    [1, 2, 3],
    [[1, 2], [3, 4]],
    [[1], [2, 3]],
    [1, "a"],
    [None, "a"],
    [None, 1],
    [b"a", b"b"],
    [1j, 2],
    [2**70, 1],
    ["a", "\ud800"],
    ["a", "x" * (MAX_TEXT_BYTES + 1)],
    ["a", "é" * (MAX_TEXT_BYTES // 2 + 1)],
    np.array([1, 2], np.float16),
    np.array(["2026-01-01", "2026-01-02"], "M8[D]"),
    np.array([{}, {}]),
]


@pytest.mark.parametrize("values", ODD, ids=lambda values: repr(values)[:40])
def test_what_no_archive_holds_is_refused(values: Any) -> None:
    with pytest.raises(OptionError, match=r"^field 'f': "):
        as_column(values, 2, "f")


def test_equal_values_take_next_to_nothing() -> None:
    for values in (["curvefault_a"] * 4096, [10.0] * 4096, [True] * 4096):
        column = as_column(values, 4096, "f")
        assert len(msgpack.packb(pack_column(column))) < 100


def test_columns_of_pages_are_joined() -> None:
    numbers, texts = np.array([1, 2]), np.array(["a", "b"], dtype=object)
    assert joined([(2, numbers), (2, numbers)]).tolist() == [1, 2, 1, 2]
    assert joined([(2, numbers), (2, numbers)]).dtype == np.int64
    found = joined([(2, numbers), (1, None)])
    assert found[:2].tolist() == [1.0, 2.0]
    assert np.isnan(found[2])
    assert joined([(1, None), (2, texts)]).tolist() == ["", "a", "b"]
    assert joined([(2, numbers), (2, texts)]).tolist() == ["1", "2", "a", "b"]
    assert len(joined([])) == 0


def bomb(size: int) -> bytes:
    return b"\x01" + zstandard.ZstdCompressor().compress(bytes(size))


BOMB = bomb(1 << 26)
TWO = b"\x00\x92\xa1a\xa1b"
REFUSED: dict[str, Any] = {
    "nothing": None,
    "an empty array": [],
    "a mapping": {"t": 1},
    "a text": "<f4",
    "a dtype of bytes": [b"<f4", b"\x00" + bytes(8)],
    "an unhashable dtype": [["<f4"], b"\x00" + bytes(8)],
    "no planes": ["<f4"],
    "too much": ["<f4", b"\x00" + bytes(8), b""],
    "planes that are a text": ["<f4", "\x00"],
    "one number": ["<f4", b"\x00" + bytes(4)],
    "three numbers": ["<f4", b"\x00" + bytes(12)],
    "a bomb of numbers": ["<f8", BOMB],
    "a frame that does not say its size": [
        "<f8",
        b"\x01" + zstandard.ZstdCompressor(write_content_size=False).compress(bytes(16)),
    ],
    "a truth of two": ["|b1", b"\x00\x02\x00"],
    "a bomb of texts": ["t", 1, BOMB, b"\x00\x00\x00"],
    "a bomb of codes": ["t", 1, b"\x00\x91\xa1a", BOMB],
    "more texts than records": ["t", 3, b"\x00\x93\xa1a\xa1b\xa1c", b"\x00\x00\x01"],
    "a negative count": ["t", -1, b"\x00\x90", b"\x00\x00\x00"],
    "a true count": ["t", True, b"\x00\x91\xa1a", b"\x00\x00\x00"],
    "a huge count": ["t", 1 << 62, b"\x00\x91\xa1a", b"\x00\x00\x00"],
    "no text at all": ["t", 0, b"\x00\x90", b"\x00\x00\x00"],
    "fewer texts than said": ["t", 2, b"\x00\x91\xa1a", b"\x00\x00\x00"],
    "bytes for texts": ["t", 1, b"\x00\x91\xc4\x01a", b"\x00\x00\x00"],
    "a long text": ["t", 1, b"\x00" + msgpack.packb(["x" * 4097]), b"\x00\x00\x00"],
    "a text that is not there": ["t", 2, TWO, b"\x00\x02\x00"],
    "one code": ["t", 2, TWO, b"\x00\x00"],
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_column_that_cannot_be_is_refused_in_little_memory(case: str) -> None:
    tracemalloc.start()
    with pytest.raises(CorruptError, match=r"^here: "):
        unpack_column(REFUSED[case], 2, "here")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1 << 20
