"""The header round-trips; anything odd is refused before it is used."""

from __future__ import annotations

import dataclasses
import tracemalloc
from typing import Any

import msgpack
import numpy as np
import pytest
from builders import HASH, header
from hypothesis import given, settings
from hypothesis import strategies as st

from velcodec.formats.container.header import (
    AXES,
    DTYPES,
    MAX_HEADER_BYTES,
    UNITS,
    Header,
    Layout,
    Source,
)
from velcodec.formats.errors import CorruptError, OptionError, UnknownFeatureError
from velcodec.formats.latent_coding.coding import TileCoding
from velcodec.formats.latent_coding.tables import TOTAL
from velcodec.formats.storage.checked_msgpack import MAX_DEPTH, unpack_mapping

POSITIVE = st.floats(1e-6, 1e6)
PLACES = st.floats(-1e6, 1e6)
TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
LAYOUTS = st.builds(
    Layout, st.integers(1, 2**16), st.integers(1, 2**16), st.sampled_from(AXES),
    st.sampled_from(DTYPES), st.sampled_from(UNITS), POSITIVE, POSITIVE, PLACES, PLACES,
)  # fmt: skip
USER = st.dictionaries(
    TEXT,
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | TEXT | st.binary(max_size=9),
        lambda inside: st.lists(inside, max_size=20) | st.dictionaries(TEXT, inside, max_size=3),
        max_leaves=20,
    ),
    max_size=20,
)


@settings(deadline=None, max_examples=80)
@given(st.lists(LAYOUTS, min_size=1, max_size=3), TEXT, TEXT, TEXT, USER, st.booleans())
def test_any_header_round_trips(
    layouts: list[Layout],
    name: str,
    provenance: str,
    licence: str,
    user: dict[str, Any],
    tiled: bool,
) -> None:
    own = header(
        TileCoding(-12.5, 0.125, 16, {3: 1, 255: TOTAL - 1}),
        decoder_name=name, layouts=tuple(layouts), provenance=provenance, licence=licence,
        user=user, tiled=tiled, source=Source.of(HASH[::-1]),
    )  # fmt: skip
    assert Header.from_bytes(own.to_bytes()) == own


def test_defaults_take_no_bytes() -> None:
    assert set(unpack_mapping(header().to_bytes(), "header")) == {"h", "n", "l", "c"}
    assert Layout(70, 70, "n1zx").to_dict() == {"s": [70, 70]}


def layout_data(own: Layout) -> dict[str, Any]:
    return unpack_mapping(header(layouts=(own,)).to_bytes(), "header")["l"][0]


@pytest.mark.parametrize(
    ("dtype", "no_data"),
    [("<f4", "nan"), (">f8", "nan"), ("<f4", -9999), ("<f4", 0.5), (">f8", 1e30), ("|u1", 255),
     ("<f4", float(np.float32(1e30))), ("<u8", 2**64 - 1), ("<i8", -(2**63)), ("<f8", -1e300)],
)  # fmt: skip
def test_a_no_data_value_comes_back(dtype: str, no_data: str | float) -> None:
    own = header(layouts=(Layout(70, 70, dtype=dtype, no_data=no_data),))
    assert Header.from_bytes(own.to_bytes()) == own
    assert layout_data(own.layouts[0])["n"] == no_data


@pytest.mark.parametrize(
    ("dtype", "no_data"),
    [("<i2", "nan"), ("<f4", "inf"), ("<f4", float("nan")), ("<f4", float("inf")), ("<f4", True),
     ("<f4", 1e30), ("<f4", 1e300), ("<f4", 0.1), ("|u1", 256), ("|u1", -1), ("<i4", 0.5),
     ("<i8", 2**63), ("<f4", [1]), ("<f4", b"nan"), ("<i2", float("inf")), ("<f8", 2**53 + 1)],
)  # fmt: skip
def test_a_no_data_value_that_the_dtype_cannot_hold_is_refused(dtype: str, no_data: Any) -> None:
    data = unpack_mapping(header(layouts=(Layout(70, 70, dtype=dtype),)).to_bytes(), "header")
    data["l"][0]["n"] = no_data
    with pytest.raises(CorruptError, match="layout: no-data: found"):
        Header.from_bytes(msgpack.packb(data))


DELETE = object()
ODD: list[tuple[tuple[str | int, ...], list[Any]]] = [
    (("h",), [DELETE, None, b"", HASH[:31], HASH * 2, "x" * 32, 0, -1, 2**16, True, 2.0]),
    (("n",), [None, b"tiny", 3, ["tiny"]]),
    (("v",), [None, -1, 10**6, 100.0, "0.1.0", [0, 1, 0], True]),
    (("p",), [None, b"", 3, {}]),
    (("r",), [None, b"", True]),
    (("f",), [b"", HASH[:5], "x" * 32, 0]),
    (("i",), [None, 1, 0, "yes"]),
    (("m",), [None, [], 3, "x"]),
    (("l",), [DELETE, None, [], {}, "zz", b"\x01\x01", [3], [[70, 70]], [None]]),
    (("l", 0, "s"), [DELETE, [70], [70, 70, 1, 1], [70, 0, 70], [0, 70], [70, -1], [True, True],
                     [70.0, 70], b"\x46\x46", "70", [2**40, 2**40], [2**63, 1], None]),
    (("l", 0, "a"), [None, "xyz", 3, ["zx"], b"zx"]),
    (("l", 0, "t"), [None, "<f2", "O", "<c8", "|b1", 4, "<M8[s]"]),
    (("l", 0, "u"), [None, "ft/s", 1]),
    (("l", 0, "d"), [None, [0, 10], [10], [-1.0, 10.0], [float("nan"), 10], [float("inf"), 10],
                     ["10", 10], [True, 10], b"\x0a\x0a", 1e300]),
    (("l", 0, "o"), [None, [0], [float("nan"), 0], [float("-inf"), 0], [1e300, 0], "00"]),
    (("c",), [None, [], "rb", 5]),
    (("c", 0), [DELETE, None, "1500", True, 0.5, float("nan"), float("inf"), 2.0**41, b"1"]),
    (("c", 1), [DELETE, None, "1", 0, -1, 3, 2.0**-30, 2.0**30, float("nan"), float("inf")]),
    (("c", 2), [DELETE, None, -1, 17, 12.0, "12", 2**63]),
    (("c",), [[1500, 1, 12, *steps] for steps in (
        [], [0, 5], [0, TOTAL, 1], [0, 0, 1], [256], [-1], [0, 8192, 0], [0, 8192, 0, 8192],
        ["0"], [0, float(TOTAL - 1), 1], [0, 2**64 - 1, 1], [{"0": TOTAL}], [b"\x01\x02"],
    )]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("path", "value"),
    [pytest.param(p, v, id=f"{p}-{k}") for p, values in ODD for k, v in enumerate(values)],
)
def test_a_field_of_the_wrong_type_or_out_of_range_is_refused(
    path: tuple[str | int, ...], value: Any
) -> None:
    data = unpack_mapping(header().to_bytes(), "header")
    inside = data
    for key in path[:-1]:
        inside = inside[key]
    if value is DELETE:
        del inside[path[-1]]
    else:
        inside[path[-1]] = value
    with pytest.raises((CorruptError, UnknownFeatureError)) as caught:
        Header.from_bytes(msgpack.packb(data))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "data",
    [b"", b"\xc0", b"\x93\x01\x02\x03", b"\x81\xa1h", b"\x81\xa1\xff\x01", b"\x81\xa1p\xa2\xc3\x28",
     b"\x81\x01\x02", b"\xc1", b"\x80\x80", b"\x81\xa1m" + b"\x91" * 5000 + b"\x01",
     b"\x81\xa1m" + b"\x81\xa1m" * 5000 + b"\x01"],
    ids=["empty", "nil", "array", "cut", "bad key", "bad UTF-8", "integer key", "no type", "two",
         "deep arrays", "deep maps"],
)  # fmt: skip
def test_msgpack_that_is_not_a_mapping_is_refused(data: bytes) -> None:
    with pytest.raises(CorruptError, match="header"):
        Header.from_bytes(data)


def test_counts_beyond_the_bytes_are_refused_before_anything_is_allocated() -> None:
    # Each count fits in the bytes that are left; together they do not.
    hungry = b"\x81\xa1m" + (b"\xdd" + (2**20 - 1).to_bytes(4, "big")) * 900 + bytes(2**20)
    tracemalloc.start()
    with pytest.raises(CorruptError, match="found 1048578 values"):
        Header.from_bytes(hungry)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1 << 20


def test_values_are_nested_64_deep_and_no_deeper() -> None:
    # The mapping itself counts as one.
    deep = b"\x81\xa1m" + b"\x91" * (MAX_DEPTH - 1) + b"\x01"
    assert unpack_mapping(deep, "here")
    with pytest.raises(CorruptError, match="nested more than 64 deep"):
        unpack_mapping(deep.replace(b"\x91", b"\x91\x91", 1), "here")
    # Neighbours do not nest.
    assert unpack_mapping(b"\x81\xa1m\xdc\x00\x64" + b"\x91\x01" * 100, "here")


@pytest.mark.parametrize("value", [b"\xd4\x05a", b"\xd8\x05" + b"a" * 16, b"\xc7\x01\x05a"])
def test_extension_types_are_refused(value: bytes) -> None:
    assert isinstance(msgpack.unpackb(value), msgpack.ExtType)
    with pytest.raises(CorruptError, match="not allowed"):
        unpack_mapping(b"\x81\xa1m" + value, "here")


@settings(deadline=None, max_examples=200)
@given(st.binary(max_size=60))
def test_arbitrary_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(CorruptError):
        Header.from_bytes(data)


def test_unknown_keys_are_skipped() -> None:
    data = unpack_mapping(header().to_bytes(), "header") | {"zz": [1, 2]}
    assert Header.from_bytes(msgpack.packb(data)) == header(extra={"zz": [1, 2]})


@pytest.mark.parametrize(
    "user",
    [{"a": object()}, {"a": 2**70}, {"a": "\ud800"}, {1: "a"}, {"a": {2: 3}},
     {"a": "x" * MAX_HEADER_BYTES}],
    ids=["object", "large integer", "surrogate", "integer key", "inner key", "size"],
)  # fmt: skip
def test_metadata_that_a_reader_would_refuse_is_not_written(user: dict[Any, Any]) -> None:
    with pytest.raises(OptionError, match="metadata"):
        dataclasses.replace(header(), user=user).to_bytes()
