"""Which samples are absent: any image of bits comes back, in few bytes, or it is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from velcodec.formats.errors import CorruptError, OptionError
from velcodec.formats.no_data import find_absent, no_data_of, no_data_value
from velcodec.formats.sample_coding.absent_mask import decode_absent, encode_absent


@settings(deadline=None, max_examples=100)
@given(arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=40)))
def test_any_absent_samples_come_back(absent: np.ndarray) -> None:
    stream = encode_absent(absent)
    if absent.any() and not absent.all():
        assert np.array_equal(decode_absent(stream, absent.shape), absent)
    else:
        with pytest.raises(CorruptError, match="expected some and not all"):
            decode_absent(stream, absent.shape)


@pytest.mark.parametrize("roughness", [0.3, 1.0, 3.0])
def test_a_topography_takes_less_than_a_byte_a_column(roughness: float) -> None:
    steps = np.random.default_rng(0).normal(0.0, roughness, 400)
    height = np.cumsum(steps)
    absent = np.arange(200)[:, None] < 3 + height - height.min()
    assert len(encode_absent(absent)) < 400 * (0.4 if roughness <= 1.0 else 0.8)


def test_a_box_takes_a_few_bytes() -> None:
    absent = np.zeros((200, 400), dtype=bool)
    absent[50:90, 100:300] = True
    assert len(encode_absent(absent)) < 24


def test_a_byte_stands_for_so_many_samples_at_most() -> None:
    absent = np.zeros((512, 512), dtype=bool)
    absent[0, 0] = True
    stream = encode_absent(absent)
    bare = stream.lstrip(b"\0")
    padded = bare.rjust(4, b"\0")
    assert stream == padded
    assert np.array_equal(decode_absent(stream, absent.shape), absent)
    for data in (b"\0" + padded, padded[:3], bare.rjust(9, b"\0")):
        with pytest.raises(CorruptError, match="absent samples: found"):
            decode_absent(data, absent.shape)
    with pytest.raises(CorruptError, match="found 0 bytes for 4294967296 samples, expected"):
        decode_absent(b"", (1 << 16, 1 << 16))


@settings(deadline=None, max_examples=200)
@given(st.binary(max_size=40), st.sampled_from([(1, 1), (1, 9), (7, 1), (12, 11)]))
def test_arbitrary_bytes_are_absent_samples_or_are_refused(
    stream: bytes, shape: tuple[int, int]
) -> None:
    try:
        absent = decode_absent(stream, shape)
    except CorruptError:
        return
    assert absent.shape == shape
    assert encode_absent(absent) == stream


@pytest.mark.parametrize(
    ("option", "dtype", "expected"),
    [(None, "<f4", None), ("nan", "<f4", "nan"), (float("nan"), ">f8", "nan"),
     (np.float32("nan"), "<f4", "nan"), (-9999, "<f4", -9999.0), (-9999.0, "<i2", -9999),
     (np.int16(-9999), "<i2", -9999), (1e30, "<f4", float(np.float32(1e30))),
     (2**64 - 1, "<u8", 2**64 - 1), (-0.0, "<f4", 0.0), (np.float32(0.1), "<f8", 0.1)],
)  # fmt: skip
def test_a_no_data_value_is_one_of_the_models_dtype(
    option: Any, dtype: str, expected: float | str | None
) -> None:
    found = no_data_of(option, np.dtype(dtype), "models")
    assert found == (expected if option != np.float32(0.1) else float(np.float32(0.1)))
    assert str(found) != "-0.0"


@pytest.mark.parametrize(
    ("option", "dtype"),
    [("nan", "<i2"), (float("nan"), "|u1"), (1e300, "<f4"), (float("inf"), "<f8"), (0.5, "<i4"),
     (256, "|u1"), (-1, "<u8"), (10**400, "<f8"), (float("inf"), "<i8"), (2**63, "<i8")],
)  # fmt: skip
def test_a_no_data_value_that_the_dtype_cannot_hold_is_refused(option: Any, dtype: str) -> None:
    with pytest.raises(OptionError, match=r"a.npy: mask: found .*, expected what .* can hold"):
        no_data_of(option, np.dtype(dtype), "a.npy")


@pytest.mark.parametrize("option", [True, "none", "-9999", [1.0], b"nan", 1j])
def test_what_is_no_value_is_refused(option: Any) -> None:
    with pytest.raises(OptionError, match=r"mask: found .*, expected nan or a number"):
        no_data_of(option, np.dtype("<f4"), "models")


@pytest.mark.parametrize("dtype", ["<f4", ">f4", "<f8", ">f8", "<i2", ">u8", "|u1"])
def test_samples_of_the_value_are_found_whatever_the_byte_order(dtype: str) -> None:
    kind = np.dtype(dtype)
    models = np.arange(12).reshape(3, 4).astype(kind)
    for no_data in (7, "nan") if kind.kind == "f" else (7,):
        models[1, 3] = no_data_value(no_data, kind)
        assert np.argwhere(find_absent(models, no_data)).tolist() == [[1, 3]]
