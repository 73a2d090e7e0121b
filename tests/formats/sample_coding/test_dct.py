"""Wavelet streams: bounds hold, each machine decodes alike, and no bytes can harm the reader."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from velcodec.formats.errors import CorruptError
from velcodec.formats.sample_coding.dct.coder import (
    MAX_SIDE,
    MAX_SPAN,
    decode_waves,
    encode_waves,
    fits,
)
from velcodec.formats.sample_coding.dct.coefficients import order_of
from velcodec.formats.sample_coding.dct.start import first_models
from velcodec.formats.sample_coding.dct.transform import TABLE_BITS, analyse, synthesise, table

SPAN = 3001
SHAPES = npst.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=40)

GOLDEN = bytes.fromhex(
    "04b9b19928b9f22d516f9294ea9b2eaeb2ba0d896bcc58251bd9a68905aaf5712e233df4d457fcd9184efc0b"
    "0f9313aed71238f37e6cb6ea35bf67af"
)
"""A stream of 18 x 23 samples of SPAN, with corrections."""


def smooth(shape: tuple[int, int] = (40, 37), span: int = SPAN) -> np.ndarray:
    """Integers (nz, nx) of [0, span) that rise with depth and swing a little."""
    z, x = np.mgrid[: shape[0], : shape[1]]
    image = z / max(shape[0], 2) + 0.1 * np.sin(x / 5 + z / 7)
    return np.clip(np.rint((0.1 + 0.7 * image) * span), 0, span - 1).astype(np.int64)


def within(codes: np.ndarray, reach: int, span: int = SPAN) -> np.ndarray:
    """`allowed` of a bound: `reach` either way."""
    ends = np.maximum(codes - reach, 0), codes, np.minimum(codes + reach, span - 1)
    return np.stack(ends, -1)


def anything(codes: np.ndarray, span: int = SPAN) -> np.ndarray:
    """`allowed` of plain lossy streams."""
    return within(codes, span, span)


@pytest.mark.parametrize("n", [1, 2, 7, 70, 301])
def test_cosines_are_orthonormal(n: int) -> None:
    cosines = table(n) / 2.0**TABLE_BITS
    expected = np.cos(np.pi * (np.arange(n) + 0.5) * np.arange(n)[:, None] / n) * np.sqrt(2 / n)
    expected[0] /= np.sqrt(2)
    assert np.abs(cosines - expected).max() <= 2.0**-TABLE_BITS
    assert np.abs(cosines @ cosines.T - np.eye(n)).max() < 1e-4


@settings(deadline=None, max_examples=40)
@given(image=npst.arrays(np.int64, SHAPES, elements=st.integers(-(1 << 16), 1 << 16)))
def test_the_transform_is_undone_but_for_rounding(image: np.ndarray) -> None:
    assert np.abs(synthesise(analyse(image)) - image).max() <= 8


@settings(deadline=None, max_examples=40)
@given(shape=SHAPES)
def test_each_coefficient_has_its_turn_once_the_mean_first(shape: tuple[int, int]) -> None:
    order = order_of(shape)
    assert order[0].tolist() == [0, 0]
    assert np.array_equal(np.sort(order[:, 0] * shape[1] + order[:, 1]), np.arange(np.prod(shape)))


@settings(deadline=None, max_examples=80)
@given(data=st.data(), shape=SHAPES, reach=st.integers(0, 400))
def test_bounds_hold_whatever_the_image(
    data: st.DataObject, shape: tuple[int, int], reach: int
) -> None:
    span = data.draw(st.sampled_from([1, 2, 300, SPAN, 1 << 20, MAX_SPAN]))
    values = st.integers(0, span - 1)
    codes = data.draw(npst.arrays(np.int64, shape, elements=values))
    allowed = within(codes, reach, span)
    found = decode_waves(encode_waves(allowed, span), shape, span)
    assert (found >= allowed[..., 0]).all()
    assert (found <= allowed[..., 2]).all()


@settings(deadline=None, max_examples=40)
@given(shape=SHAPES, step=st.integers(1, 5000))
def test_plain_streams_stay_in_range(shape: tuple[int, int], step: int) -> None:
    found = decode_waves(encode_waves(anything(smooth(shape)), SPAN, step), shape, SPAN)
    assert found.min() >= 0
    assert found.max() < SPAN


def test_a_finer_step_is_nearer() -> None:
    codes = smooth()
    errors = []
    for step in (10, 100, 1000):
        found = decode_waves(encode_waves(anything(codes), SPAN, step), codes.shape, SPAN)
        errors.append(float(np.abs(found - codes).mean()))
    assert errors[0] < errors[1] < errors[2]
    assert errors[0] < 10


def test_bounds_that_differ_between_samples_hold() -> None:
    codes = smooth()
    reach = np.random.default_rng(2).integers(0, 50, codes.shape)
    allowed = np.stack([np.maximum(codes - reach, 0), codes, codes], -1)
    found = decode_waves(encode_waves(allowed, SPAN), codes.shape, SPAN)
    assert (found >= allowed[..., 0]).all()
    assert (found <= allowed[..., 2]).all()


def test_the_same_image_gives_the_same_bytes() -> None:
    allowed = within(smooth(), 20)
    assert encode_waves(allowed, SPAN) == encode_waves(allowed.copy(), SPAN)


def test_what_is_allowed_is_not_changed() -> None:
    allowed = within(smooth(), 20)
    before = allowed.copy()
    encode_waves(allowed, SPAN)
    assert np.array_equal(allowed, before)


def test_spans_too_great_are_refused() -> None:
    assert fits((40, 37), MAX_SPAN)
    assert not fits((40, 37), MAX_SPAN + 1)
    with pytest.raises(ValueError, match="too great"):
        encode_waves(within(smooth(), 1), MAX_SPAN + 1)


def test_images_too_large_are_refused() -> None:
    assert not fits((1, MAX_SIDE + 1), SPAN)
    assert not fits((MAX_SIDE, MAX_SIDE), SPAN)
    with pytest.raises(CorruptError, match="too great"):
        decode_waves(b"", (1, MAX_SIDE + 1), SPAN)


def test_what_streams_learn_is_forgotten() -> None:
    before = [model.copy() for model in first_models()]
    encode_waves(within(smooth(), 10), SPAN)
    assert all(np.array_equal(a, b) for a, b in zip(before, first_models(), strict=True))


def decodes_in_range_or_is_refused(stream: bytes, shape: tuple[int, int], span: int) -> bool:
    try:
        found = decode_waves(stream, shape, span)
    except CorruptError:
        return False
    assert found.shape == shape
    assert found.min() >= 0
    assert found.max() < span
    return True


@settings(deadline=None, max_examples=200)
@given(stream=st.binary(max_size=300), shape=SHAPES, span=st.integers(1, MAX_SPAN))
def test_random_streams_do_no_harm(stream: bytes, shape: tuple[int, int], span: int) -> None:
    decodes_in_range_or_is_refused(stream, shape, span)


def test_truncated_streams_do_no_harm_and_are_refused_as_a_rule() -> None:
    codes = smooth()
    stream = encode_waves(within(codes, 5), SPAN)
    refused = 0
    for end in range(len(stream)):
        refused += not decodes_in_range_or_is_refused(stream[:end], codes.shape, SPAN)
    assert refused > 0.8 * len(stream)


def test_streams_with_more_behind_are_refused() -> None:
    codes = smooth()
    stream = encode_waves(within(codes, 5), SPAN)
    with pytest.raises(CorruptError):
        decode_waves(stream + b"\0\0", codes.shape, SPAN)


def test_the_golden_stream_decodes_as_ever() -> None:
    found = decode_waves(GOLDEN, (18, 23), SPAN)
    assert hashlib.sha256(found.astype("<i8").tobytes()).hexdigest() == (
        "dcef1de9b978e45994e4244745ebcbc58184b59dcb528b7600bf214322af64b1"
    )
