"""Index pages: small, exact, and no page makes a reader allocate for content that is not there."""

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
from velcodec.formats.container.page import Page, Run, StoredPage
from velcodec.formats.errors import CorruptError

SIZES = st.lists(st.integers(6, 2**31 - 1) | st.integers(20, 200), min_size=1, max_size=20)


def page(sizes: list[int], counts: list[int] | None = None, **columns: Any) -> Page:
    runs = columns.pop("runs", (Run(0, len(sizes), 0),))
    each = [1] * len(sizes) if counts is None else counts
    return Page(np.array(sizes, np.int64), np.array(each, np.int64), runs, **columns)


def check_round_trip(own: Page) -> None:
    found = StoredPage(own.to_bytes(), len(own), "a.vlat: index").whole()
    assert found.sizes.tolist() == own.sizes.tolist()
    assert found.counts.tolist() == own.counts.tolist()
    assert (found.runs, found.keys) == (own.runs, own.keys)
    assert (found.quality is None) == (own.quality is None)
    if own.quality is not None:
        assert np.array_equal(found.quality, own.quality)
    assert list(found.fields) == list(own.fields)
    for name, column in own.fields.items():
        assert found.fields[name].dtype == column.dtype
        assert np.array_equal(found.fields[name], column)


@settings(deadline=None, max_examples=20)
@given(SIZES, st.data())
def test_any_page_round_trips(sizes: list[int], data: st.DataObject) -> None:
    counts = [data.draw(st.integers(1, 64)) if size >= 20 else 1 for size in sizes]
    n, blocks = sum(counts), len(sizes)
    text = data.draw(st.text(st.characters(codec="utf-8"), max_size=20))
    keys = [f"{text}{i}" for i in range(n)]
    random = np.random.default_rng(data.draw(st.integers(0, 1000)))
    quality = random.integers(0, 256, (4, n)).astype(np.uint8)
    first = data.draw(st.integers(1, blocks))
    runs = (Run(0, first, 2),) + ((Run(17, blocks - first, 0),) if first < blocks else ())
    fields = {
        "family": as_column(keys[::-1], n, "family"),
        "depth": as_column(np.arange(n) / 3, n, "depth"),
        "salt": as_column(np.arange(n) % 2 == 0, n, "salt"),
    }
    check_round_trip(page(sizes, counts))
    check_round_trip(
        page(sizes, counts, runs=runs, keys=tuple(keys), quality=quality, fields=fields)
    )


@pytest.mark.parametrize("n", [15, 16, 2**16 - 1, 2**16])
def test_keys_of_every_count_come_back(n: int) -> None:
    check_round_trip(page([8] * n, keys=tuple(f"model-{i}" for i in range(n))))


def test_blocks_follow_the_sections_between_them() -> None:
    own = page([8, 60, 10], [1, 40, 3], runs=(Run(0, 1, 0), Run(20, 2, 1)))
    assert own.places.tolist() == [0, 8 + 20, 8 + 20 + 60]
    assert own.headers.tolist() == [0, 1, 1]
    assert own.rows.tolist() == [0, 1, 41]
    assert (len(own), own.span) == (44, 8 + 20 + 60 + 10)


def test_equal_sizes_and_fields_take_few_bytes() -> None:
    n = 10_000
    fields = {"family": as_column(["flatvel_a"] * n, n, ""), "dx_m": as_column([10.0] * n, n, "")}
    assert len(page([160] * n).to_bytes()) < 50
    assert len(page([160] * n, fields=fields).to_bytes()) < 200


def column(data: bytes) -> bytes:
    return b"\x01" + zstandard.ZstdCompressor().compress(data)


BOMB = column(bytes(1 << 26))
UNSIZED = b"\x01" + zstandard.ZstdCompressor(write_content_size=False).compress(b"\x05\x05")
GOOD: dict[str, Any] = {"x": b"\x00\x08\x08"}
TWO_KEYS = msgpack.packb(["a", "b"])
ODD: dict[str, dict[str, Any]] = {
    "width": {"w": 3},
    "width true": {"w": True},
    "bomb of sizes": {"x": BOMB},
    "half a size": {"w": 2, "x": b"\x00\x08"},
    "too many sizes": {"x": b"\x00\x08\x08\x08"},
    "sizes beyond 2 GiB": {"w": 4, "x": b"\x00" + b"\xff" * 8},
    "a size of no block": {"x": b"\x00\x08\x05"},
    "text for sizes": {"x": "\x00\x08\x08"},
    "bomb of counts": {"c": BOMB},
    "one count": {"c": b"\x00\x01"},
    "a count of none": {"c": b"\x00\x01\x00"},
    "a count of many": {"x": b"\x00\x08\xff", "c": b"\x00\x01\x41"},
    "more records than bits": {"c": b"\x00\x01\x09"},
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
    "three columns of quality": {"q": b"\x0a\x0f" * 3},
    "five columns of quality": {"q": b"\x0a\x0f" * 5},
    "an unknown column of quality": {"q": b"\x0a\x09" * 4},
    "quality below 0": {"q": b"\x1f\x0f" * 4},
    "quality in a list": {"q": [b"\x0a\x0f"] * 4},
    "a column of no end": {"q": b"\x0a\x00\xff\xff"},
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
}


def read_all(body: bytes, most: int) -> None:
    StoredPage(body, most, "a.vlat: index").whole()


@pytest.mark.parametrize("case", ODD)
def test_an_impossible_page_is_refused_with_little_memory(case: str) -> None:
    body = msgpack.packb(GOOD | ODD[case])
    tracemalloc.start()
    with pytest.raises(CorruptError, match=r"a\.vlat: index"):
        read_all(body, 2)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1 << 20


def test_a_page_without_sizes_is_refused() -> None:
    with pytest.raises(CorruptError, match="index"):
        read_all(msgpack.packb({"w": 1}), 2)


@settings(deadline=None, max_examples=150)
@given(st.binary(max_size=60))
def test_arbitrary_bytes_are_refused(body: bytes) -> None:
    with pytest.raises(CorruptError):
        read_all(body, 100)
