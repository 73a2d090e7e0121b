"""Pages of the index: small, exact, and never a way to make a reader allocate what is not there."""

from __future__ import annotations

import tracemalloc
from typing import Any

import msgpack
import numpy as np
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from velcodec.formats.container.columns import as_column
from velcodec.formats.container.framing import Belongs, pack_entry
from velcodec.formats.container.page import Page, Run, StoredPage
from velcodec.formats.errors import CorruptError
from velcodec.formats.storage.varint import encode_varint

LENGTHS = st.lists(st.integers(0, 2**31 - 1) | st.integers(0, 200), min_size=1, max_size=20)


def page(lengths: list[int], **columns: Any) -> Page:
    runs = columns.pop("runs", (Run(0, len(lengths), 0),))
    return Page(np.array(lengths, dtype=np.int64), runs, **columns)


def check_round_trip(own: Page) -> None:
    found = StoredPage(own.to_bytes(), len(own), "a.vlat: index").whole()
    assert found.lengths.tolist() == own.lengths.tolist()
    assert (found.runs, found.keys) == (own.runs, own.keys)
    assert (found.quality is None) == (own.quality is None)
    if own.quality is not None:
        assert np.array_equal(found.quality, own.quality)
    assert list(found.fields) == list(own.fields)
    for name, column in own.fields.items():
        assert found.fields[name].dtype == column.dtype
        assert np.array_equal(found.fields[name], column)


@settings(deadline=None, max_examples=20)
@given(LENGTHS, st.data())
def test_any_page_comes_back(lengths: list[int], data: st.DataObject) -> None:
    n = len(lengths)
    texts = st.text(st.characters(codec="utf-8"), max_size=20)
    keys = data.draw(st.lists(texts, min_size=n, max_size=n, unique=True))
    quality = np.array(data.draw(st.lists(st.binary(min_size=4, max_size=4).map(list),
                                          min_size=n, max_size=n)), dtype=np.uint8).T  # fmt: skip
    first = data.draw(st.integers(1, n))
    runs = (Run(0, first, 2),) + ((Run(17, n - first, 0),) if first < n else ())
    fields = {
        "family": as_column(data.draw(st.lists(texts, min_size=n, max_size=n)), n, "family"),
        "depth": as_column(np.arange(n) / 3, n, "depth"),
        "salt": as_column(np.arange(n) % 2 == 0, n, "salt"),
    }
    check_round_trip(page(lengths))
    check_round_trip(page(lengths, runs=runs, keys=tuple(keys), quality=quality, fields=fields))


@pytest.mark.parametrize("n", [15, 16, 2**16 - 1, 2**16])
def test_keys_of_every_count_come_back(n: int) -> None:
    check_round_trip(page([5] * n, keys=tuple(f"model-{i}" for i in range(n))))


@settings(deadline=None, max_examples=50)
@given(LENGTHS)
def test_entries_are_as_long_as_their_parts(lengths: list[int]) -> None:
    found = page(lengths).entry_bytes
    expected = [len(encode_varint(n + 1)) + n + (2 if n < 1024 else 4) for n in lengths]
    assert found.tolist() == expected


@pytest.mark.parametrize("n", [0, 126, 127, 1023, 1024, 20_000])
def test_entries_are_packed_as_long_as_pages_say(n: int) -> None:
    assert page([n]).entry_bytes.tolist() == [len(pack_entry(Belongs(b"seal", 7, 9), bytes(n)))]


def test_records_stand_behind_the_sections_between_them() -> None:
    own = page([5, 6, 7], runs=(Run(0, 1, 0), Run(20, 2, 1)))
    assert own.places.tolist() == [0, 8 + 20, 8 + 20 + 9]
    assert own.headers.tolist() == [0, 1, 1]
    assert own.span == 8 + 20 + 9 + 10


def test_equal_lengths_and_fields_take_next_to_nothing() -> None:
    n = 10_000
    fields = {"family": as_column(["flatvel_a"] * n, n, ""), "dx_m": as_column([10.0] * n, n, "")}
    assert len(page([160] * n).to_bytes()) < 50
    assert len(page([160] * n, fields=fields).to_bytes()) < 200


def column(data: bytes) -> bytes:
    return b"\x01" + zstandard.ZstdCompressor().compress(data)


BOMB = column(bytes(1 << 26))
UNSIZED = b"\x01" + zstandard.ZstdCompressor(write_content_size=False).compress(b"\x05\x05")
GOOD: dict[str, Any] = {"x": b"\x00\x05\x05"}
TWO_KEYS = msgpack.packb(["a", "b"])
ODD: dict[str, dict[str, Any]] = {
    "width": {"w": 3},
    "width true": {"w": True},
    "bomb of lengths": {"x": BOMB},
    "half a length": {"w": 2, "x": b"\x00\x05"},
    "too many lengths": {"x": b"\x00\x05\x05\x05"},
    "lengths beyond 2 GiB": {"w": 4, "x": b"\x00" + b"\xff" * 8},
    "text for lengths": {"x": "\x00\x05\x05"},
    "empty column": {"x": b""},
    "no zstd": {"x": b"\x01\x05\x05"},
    "cut zstd": {"x": column(b"\x05\x05")[:-3]},
    "zstd and more": {"x": column(b"\x05\x05") + b"more"},
    "zstd of unknown size": {"x": UNSIZED},
    "bomb of keys": {"k": BOMB},
    "one key": {"k": b"\x00" + msgpack.packb(["a"])},
    "three keys": {"k": b"\x00" + msgpack.packb(["a", "b", "c"])},
    "equal keys": {"k": b"\x00" + msgpack.packb(["a", "a"])},
    "keys of bytes": {"k": b"\x00" + msgpack.packb([b"a", b"b"])},
    "keys of numbers": {"k": b"\x00" + msgpack.packb([1, 2])},
    "nested keys": {"k": b"\x00\x92" + b"\xdd\x00\xff\xff\xff" * 300},
    "keys that are no UTF-8": {"k": b"\x00\x92\xa1a\xa1\xff"},
    "long keys": {"k": b"\x00" + msgpack.packb(["a", "b" * 1025])},
    "cut keys": {"k": b"\x00" + TWO_KEYS[:-1]},
    "keys and more": {"k": b"\x00" + TWO_KEYS + b"\xa1"},
    "no list of keys": {"k": b"\x00\x81\xa1a\xa1b"},
    "keys uncompressed": {"k": ["a", "b"]},
    "bomb of quality": {"q": [BOMB] * 4},
    "three kinds of quality": {"q": [b"\x00\x05\x05"] * 3},
    "quality of one column": {"q": BOMB},
    "no record": {"x": b"\x00"},
    "runs of too many": {"r": [0, 3, 0]},
    "runs of too few": {"r": [0, 1, 0]},
    "a run of none": {"r": [0, 0, 0, 0, 2, 0]},
    "a run cut short": {"r": [0, 2]},
    "a gap backwards": {"r": [-1, 2, 0]},
    "a header below zero": {"r": [0, 2, -1]},
    "runs of texts": {"r": ["0", "2", "0"]},
    "fields of no mapping": {"f": [1]},
    "a field of no array": {"f": {"a": 1}},
    "a field of another length": {"f": {"a": ["<f4", b"\x00ab"]}},
    "bomb of a field": {"f": {"a": ["<f4", BOMB]}},
    "bomb of texts": {"f": {"a": ["t", 1, BOMB, b"\x00\x00\x00"]}},
    "more texts than records": {"f": {"a": ["t", 3, b"\x00\x93\xa0\xa0\xa0", b"\x00\x00\x01"]}},
    "a text that is not there": {"f": {"a": ["t", 1, b"\x00\x91\xa0", b"\x00\x00\x01"]}},
    "a truth of two": {"f": {"a": ["|b1", b"\x00\x02\x00"]}},
    "half a quality": {"q": [b"\x00\x05"] * 4},
}


def read_all(body: bytes, most: int) -> None:
    StoredPage(body, most, "a.vlat: index").whole()


@pytest.mark.parametrize("case", ODD)
def test_a_page_that_cannot_be_is_refused_in_little_memory(case: str) -> None:
    body = msgpack.packb(GOOD | ODD[case])
    tracemalloc.start()
    with pytest.raises(CorruptError, match=r"a\.vlat: index"):
        read_all(body, 2)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1 << 20


def test_a_page_without_lengths_is_refused() -> None:
    with pytest.raises(CorruptError, match="index"):
        read_all(msgpack.packb({"w": 1}), 2)


@settings(deadline=None, max_examples=150)
@given(st.binary(max_size=60))
def test_arbitrary_bytes_are_refused(body: bytes) -> None:
    with pytest.raises(CorruptError):
        read_all(body, 100)
