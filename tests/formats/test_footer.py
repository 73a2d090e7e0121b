"""The index: small, exact, and never a way to make a reader allocate what is not there."""

from __future__ import annotations

import tracemalloc
from typing import Any

import msgpack
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from velcodec.formats.errors import CorruptError
from velcodec.formats.footer import Footer
from velcodec.formats.quality import unpack_quality
from velcodec.formats.varint import encode_varint

LENGTHS = st.lists(st.integers(0, 2**31 - 1) | st.integers(0, 200), max_size=20)
CODES = st.lists(st.integers(0, 254), min_size=4, max_size=4).map(bytes)
QUALITY = CODES.map(lambda codes: unpack_quality(codes)[0])


@settings(deadline=None, max_examples=20)
@given(LENGTHS, st.data())
def test_any_index_comes_back(lengths: list[int], data: st.DataObject) -> None:
    n = len(lengths)
    keys = data.draw(
        st.lists(
            st.text(st.characters(codec="utf-8"), max_size=20), min_size=n, max_size=n, unique=True
        )
    )
    quality = data.draw(st.lists(QUALITY, min_size=n, max_size=n))
    for own in (Footer(tuple(lengths)), Footer(tuple(lengths), tuple(keys), tuple(quality))):
        assert Footer.from_bytes(own.to_bytes(), n, "a.vlat") == own


@pytest.mark.parametrize("n", [15, 16, 2**16 - 1, 2**16])
def test_keys_of_every_count_come_back(n: int) -> None:
    own = Footer((5,) * n, tuple(f"model-{i}" for i in range(n)))
    assert Footer.from_bytes(own.to_bytes(), n, "a.vlat") == own


@settings(deadline=None, max_examples=50)
@given(LENGTHS)
def test_entries_are_as_long_as_their_parts(lengths: list[int]) -> None:
    found = Footer(tuple(lengths)).entry_bytes(2)
    assert found.tolist() == [len(encode_varint(n + 1)) + n + 2 for n in lengths]


def test_equal_lengths_take_next_to_nothing() -> None:
    assert len(Footer((160,) * 10_000).to_bytes()) < 50


def column(data: bytes) -> bytes:
    return b"\x01" + zstandard.ZstdCompressor().compress(data)


BOMB = column(bytes(1 << 26))
UNSIZED = b"\x01" + zstandard.ZstdCompressor(write_content_size=False).compress(b"\x05\x05")
GOOD: dict[str, Any] = {"n": 2, "w": 1, "x": b"\x00\x05\x05"}
TWO_KEYS = msgpack.packb(["a", "b"])
ODD: dict[str, dict[str, Any]] = {
    "count beyond the file": {"n": 10**6, "x": BOMB},
    "negative count": {"n": -1},
    "count true": {"n": True, "x": b"\x00\x05"},
    "count of no integer": {"n": 2.0},
    "width": {"w": 3},
    "width true": {"w": True},
    "bomb of lengths": {"x": BOMB},
    "too few lengths": {"x": b"\x00\x05"},
    "too many lengths": {"x": b"\x00\x05\x05\x05"},
    "lengths beyond 2 GiB": {"w": 4, "x": b"\x00" + b"\xff" * 8},
    "text for lengths": {"x": "\x00\x05\x05"},
    "unknown compression": {"x": b"\x02\x05\x05"},
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
    "bomb of quality": {"q": BOMB},
    "half a quality": {"q": b"\x00" + bytes(12)},
}


@pytest.mark.parametrize("case", ODD)
def test_an_index_that_cannot_be_is_refused_in_little_memory(case: str) -> None:
    body = msgpack.packb(GOOD | ODD[case])
    tracemalloc.start()
    with pytest.raises(CorruptError, match=r"a\.vlat: index"):
        Footer.from_bytes(body, 2, "a.vlat")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1 << 20


@pytest.mark.parametrize("key", ["n", "w", "x"])
def test_an_index_that_lacks_a_field_is_refused(key: str) -> None:
    body = msgpack.packb({name: value for name, value in GOOD.items() if name != key})
    with pytest.raises(CorruptError, match="index"):
        Footer.from_bytes(body, 2, "a.vlat")


@settings(deadline=None, max_examples=150)
@given(st.binary(max_size=60))
def test_arbitrary_bytes_are_refused(body: bytes) -> None:
    with pytest.raises(CorruptError):
        Footer.from_bytes(body, 100, "a.vlat")


def test_columns_of_another_length_are_not_written() -> None:
    with pytest.raises(ValueError, match="keys: 1 given for 2 records"):
        Footer((1, 2), ("a",))
    with pytest.raises(ValueError, match="found one twice"):
        Footer((1, 2), ("a", "a"))
