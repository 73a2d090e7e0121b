"""The table of sample coders: each is found by its number and decodes to the image it reports."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from velcodec.formats.errors import UnknownFeatureError
from velcodec.formats.sample_coding.base import Request
from velcodec.formats.sample_coding.coders import CODERS, coder_of
from velcodec.formats.sample_coding.domain import EVEN, Domain
from velcodec.formats.sample_coding.label_map.network import EXACT_NETWORK

SPAN = 900
DOMAIN = Domain(EVEN, 1500.0, 1.0, SPAN)
IMAGES = npst.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=12).flatmap(
    lambda shape: npst.arrays(np.int64, shape, elements=st.integers(0, SPAN - 1))
)


@pytest.mark.parametrize("number", range(CODERS))
def test_every_coder_has_its_own_number_and_name(number: int) -> None:
    coder = coder_of(number)
    assert coder.number == number
    assert [coder_of(k).name for k in range(CODERS)].count(coder.name) == 1


@pytest.mark.parametrize("number", [CODERS, -1])
def test_an_unknown_coder_is_refused_by_its_number(number: int) -> None:
    with pytest.raises(UnknownFeatureError, match=f"coder: found {number}, expected 0 to 3"):
        coder_of(number)


@pytest.mark.parametrize("number", range(CODERS))
@settings(deadline=None, max_examples=40)
@given(codes=IMAGES, slack=st.integers(0, 40))
def test_every_coder_decodes_to_the_image_it_reports_within_what_is_allowed(
    number: int, codes: np.ndarray, slack: int
) -> None:
    least, greatest = np.maximum(codes - slack, 0), np.minimum(codes + slack, SPAN - 1)
    request = Request(np.stack([least, codes, greatest], axis=2))
    coder = coder_of(number)
    image = coder.encode(request, DOMAIN, EXACT_NETWORK)
    if image is None:
        assert coder.name == "label map"  # hardly any samples are equal
        return
    found = coder.decode(image.data, request.shape, DOMAIN, EXACT_NETWORK)
    assert np.array_equal(found, image.codes)
    assert ((least <= found) & (found <= greatest)).all()


@settings(deadline=None, max_examples=40)
@given(codes=IMAGES)
def test_an_exact_request_allows_no_other_integers(codes: np.ndarray) -> None:
    request = Request.exactly(codes)
    assert request.shape == codes.shape
    assert all(np.array_equal(request.allowed[..., k], codes) for k in range(3))
    assert np.array_equal(request.preferred, codes)
