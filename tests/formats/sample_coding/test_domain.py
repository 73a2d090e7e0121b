"""Samples as integers: bit for bit or within a bound, in every dtype."""

from __future__ import annotations

import numpy as np
import pytest
import zstandard
from builders import exact_coding
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from velcodec.formats.container.header import DTYPES
from velcodec.formats.errors import CorruptError
from velcodec.formats.sample_coding.base import Request
from velcodec.formats.sample_coding.coders import BLENDED, LABEL_MAP
from velcodec.formats.sample_coding.coding import ExactCoding
from velcodec.formats.sample_coding.domain import (
    EVEN,
    ORDERED,
    PALETTE,
    RAW,
    Domain,
    allowed_codes,
    bounded_domains,
    exact_domain,
    fine_domain,
)
from velcodec.formats.sample_coding.stream import (
    ExactStream,
    decode_exact,
    encode_image,
    encode_raw,
)

SHAPES = npst.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=6)


def any_model(dtype: str) -> st.SearchStrategy[np.ndarray]:
    kind = np.dtype(dtype)
    finite = {"elements": {"allow_nan": False, "allow_infinity": False}} if kind.kind == "f" else {}
    return npst.arrays(kind, SHAPES, **finite)


@settings(deadline=None, max_examples=150)
@given(st.sampled_from(DTYPES).flatmap(any_model))
def test_samples_of_every_dtype_round_trip_bit_for_bit(model: np.ndarray) -> None:
    coding = exact_coding(exact_domain([model]))
    allowed = allowed_codes(model, coding.domains[0])
    images = (
        []
        if allowed is None
        else [encode_image(coder, Request(allowed), 0, coding) for coder in (LABEL_MAP, BLENDED)]
    )
    streams = [made.stream for made in images if made is not None] or [encode_raw(model, 0)]
    for stream in streams:
        found = decode_exact(stream, coding, model.shape, model.dtype)
        assert found.dtype == model.dtype
        assert found.tobytes() == model.tobytes()


@settings(deadline=None, max_examples=100)
@given(
    npst.arrays(np.float32, SHAPES, elements=st.floats(1000, 6000, width=32)),
    st.floats(0.01, 300.0),
    st.booleans(),
)
def test_all_allowed_integers_lie_within_the_bound(
    model: np.ndarray, bound: float, whole: bool
) -> None:
    model = np.rint(model) if whole else model
    for domain in bounded_domains([model], bound):
        allowed = allowed_codes(model, domain, bound)
        assert allowed is not None
        assert (allowed[..., 0] <= allowed[..., 1]).all()
        assert (allowed[..., 1] <= allowed[..., 2]).all()
        for choice in range(3):
            found = domain.samples(allowed[..., choice], model.dtype).astype(np.float64)
            assert np.abs(found - model.astype(np.float64)).max() <= bound
            assert model.min() <= found.min() <= found.max() <= model.max()


@settings(deadline=None, max_examples=100)
@given(
    st.sampled_from([d for d in DTYPES if np.dtype(d).kind in "iu"]).flatmap(any_model),
    st.floats(0.01, 1e20),
)
def test_integers_within_a_bound_are_compared_as_integers(model: np.ndarray, bound: float) -> None:
    for domain in bounded_domains([model], bound):
        allowed = allowed_codes(model, domain, bound)
        assert allowed is not None
        for choice in range(3):
            found = domain.samples(allowed[..., choice], model.dtype)
            assert (
                max(abs(int(a) - int(b)) for a, b in zip(found.flat, model.flat, strict=True))
                <= bound
            )
            assert model.min() <= found.min() <= found.max() <= model.max()


def test_integers_beyond_float64_have_no_even_steps() -> None:
    for model in (np.array([[2**53 + 1, 0]]), np.array([[2**63]], np.uint64)):
        assert bounded_domains([model], 10.0) == []
        assert fine_domain([model], 1.0).kind == RAW
        assert allowed_codes(model, Domain(EVEN, 0.0, 1.0, 1 << 55), 10.0) is None


def test_whole_numbers_take_their_greatest_common_step() -> None:
    domain = exact_domain([np.array([[1500.0, 2500.0]]), np.array([[1750.0]])])
    assert (domain.kind, domain.base, domain.step, domain.span) == (EVEN, 1500.0, 250.0, 5)


def test_fractions_take_the_order_of_floating_point_numbers() -> None:
    assert exact_domain([np.array([[0.1, 0.7]])]).kind == ORDERED
    assert exact_domain([np.array([[-0.0, 1.0]], dtype=np.float32)]).kind == ORDERED
    assert exact_domain([np.array([[-1e300, 0.1]])]).kind == RAW


def test_a_sample_beyond_the_bound_of_every_level_has_no_integer() -> None:
    domain = Domain(EVEN, 0.0, 1.0, 5)
    assert allowed_codes(np.array([[0.1]]), domain, 0.05) is None
    assert allowed_codes(np.array([[0.1]]), domain, 0.2) is not None


@pytest.mark.parametrize(
    "data",
    [
        [0, 0, 1, 0, 0],
        [0, 0, 1, 2**61, 0],
        [0, 0, 0, 5, 0],
        [0, float("inf"), 1, 5, 0],
        [0, 0, 1, 5, 99],
        [0, 0, 1, 5],
        "none",
    ],
)
def test_an_invalid_domain_is_refused(data: object) -> None:
    with pytest.raises(CorruptError, match="domain"):
        Domain.from_list(data)


WHOLE = exact_coding(Domain(EVEN, 0.0, 1.0, 5)).to_dict()


@pytest.mark.parametrize(
    "change",
    [
        {"n": 0},
        {"d": []},
        {"s": None},
        {"s": 0},
        {"s": -1},
        {"s": 1 << 16},
        {"s": 1.0},
        {"s": True},
        {"s": "1"},
        {"s": [1]},
    ],
)
def test_an_invalid_exact_coding_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(CorruptError, match="exact coding"):
        ExactCoding.from_dict(WHOLE | change)


@pytest.mark.parametrize("key", WHOLE)
def test_an_exact_coding_that_lacks_a_key_is_refused(key: str) -> None:
    assert ExactCoding.from_dict(WHOLE).to_dict() == WHOLE
    with pytest.raises(CorruptError, match="exact coding"):
        ExactCoding.from_dict({name: value for name, value in WHOLE.items() if name != key})


def test_an_unknown_domain_number_is_refused() -> None:
    coding = exact_coding(Domain(EVEN, 0.0, 1.0, 5))
    with pytest.raises(CorruptError, match="found 3, expected less than 1"):
        decode_exact(ExactStream(3, 0, b""), coding, (1, 1), np.dtype("<f4"))


@pytest.mark.parametrize("data", [b"", b"junk", encode_raw(np.zeros((2, 2)), 0).data])
def test_raw_samples_of_the_wrong_size_are_refused(data: bytes) -> None:
    coding = exact_coding(Domain(RAW, 0, 1.0, 1))
    with pytest.raises(CorruptError, match="raw samples"):
        decode_exact(ExactStream(0, 0, data), coding, (3, 3), np.dtype("<f8"))


PALETTE_OF_A_FIGURE = np.exp(np.linspace(7, 8.5, 40)).astype(np.float32)


def test_few_values_without_a_common_step_become_a_palette() -> None:
    places = np.random.default_rng(0).integers(0, 40, (3, 30, 30))
    models = list(PALETTE_OF_A_FIGURE[places])
    domain = exact_domain(models)
    assert (domain.kind, domain.span) == (PALETTE, 40)
    assert Domain.from_list(domain.to_list()) == domain
    for model, own in zip(models, places, strict=True):
        allowed = allowed_codes(model, domain)
        assert allowed is not None
        assert np.array_equal(allowed[..., 1], own)
        assert domain.samples(own, model.dtype).tobytes() == model.tobytes()


@pytest.mark.parametrize(
    "model",
    [
        np.where(np.eye(30), -0.0, PALETTE_OF_A_FIGURE[3]).astype(np.float32),
        np.random.default_rng(0).random((30, 30)),
        np.full((30, 30), 1500.0) + np.arange(30),
    ],
    ids=["negative zero", "many values", "even steps"],
)
def test_a_palette_is_not_for_every_model(model: np.ndarray) -> None:
    domain = exact_domain([model])
    assert domain.kind != PALETTE
    allowed = allowed_codes(model, domain)
    assert allowed is not None
    assert domain.samples(allowed[..., 1], model.dtype).tobytes() == model.tobytes()


BOMB = zstandard.ZstdCompressor().compress(bytes(1 << 20))


@pytest.mark.parametrize(
    "data",
    [
        [3, b"no frame", 1.0, 2, 0],
        [3, BOMB, 1.0, 2, 0],
        [3, BOMB, 1.0, 1 << 17, 0],
        [3, zstandard.ZstdCompressor().compress(bytes(16)), 1.0, 2, 0],
        [3, 1500.0, 1.0, 1, 0],
    ],
)
def test_an_invalid_palette_is_refused(data: list[object]) -> None:
    with pytest.raises(CorruptError, match="domain"):
        Domain.from_list(data)
