"""Integers of seven bits a byte."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from velcodec.formats.errors import CorruptError, TruncatedError
from velcodec.formats.storage.varint import decode_varint, encode_varint


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**63 - 1), st.binary(max_size=3), st.binary(max_size=3))
def test_any_integer_comes_back_and_ends_where_it_ends(
    value: int, before: bytes, after: bytes
) -> None:
    data = before + encode_varint(value) + after
    assert decode_varint(data, len(before), "here") == (value, len(data) - len(after))


@pytest.mark.parametrize(
    ("value", "data"), [(0, "00"), (127, "7f"), (128, "8001"), (300, "ac02"), (16384, "808001")]
)
def test_bytes_are_those_of_the_specification(value: int, data: str) -> None:
    assert encode_varint(value).hex() == data


def test_a_cut_integer_is_refused_with_its_place() -> None:
    for cut in range(3):
        with pytest.raises(TruncatedError, match=r"tiles: found the end"):
            decode_varint(b"\x80\x80\x01"[:cut], 0, "tiles")


def test_an_integer_without_end_is_refused() -> None:
    with pytest.raises(CorruptError, match="over 9 bytes"):
        decode_varint(b"\xff" * 1000, 0, "tiles")
