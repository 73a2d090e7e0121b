"""A model's measured quality: four bytes, and never better than it was."""

from __future__ import annotations

import math
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from velcodec.formats.container.quality import (
    StoredQuality,
    is_unknown,
    joined_codes,
    pack_quality,
    quality_codes,
    quality_rows,
    unpack_quality,
)
from velcodec.formats.errors import CorruptError

ERRORS = st.floats(0, 1e12)
ROWS = st.lists(st.builds(StoredQuality, st.floats(0, 100), ERRORS, ERRORS, st.floats(0, 31)))


@settings(deadline=None, max_examples=100)
@given(ROWS)
def test_figures_are_rounded_a_little_and_never_look_better(rows: list[StoredQuality]) -> None:
    data = quality_codes(rows)
    assert data.shape == (4, len(rows))
    for row, found in zip(rows, quality_rows(data), strict=True):
        assert row.psnr_db - 1.0 <= found.psnr_db <= row.psnr_db
        for before, after in ((row.mae_m_s, found.mae_m_s), (row.max_error_m_s, found[2])):
            assert before * (1 - 1e-9) <= after <= max(before * 1.19, 2.0**-10 if before else 0)
        assert row.distance <= found.distance <= row.distance + 0.25


@settings(deadline=None, max_examples=50)
@given(st.lists(st.binary(min_size=4, max_size=4), max_size=9))
def test_stored_figures_are_stored_again_unchanged(codes: list[bytes]) -> None:
    rows = np.frombuffer(b"".join(codes), dtype=np.uint8).reshape(-1, 4)
    columns = np.minimum(rows.T, 254)
    assert np.array_equal(quality_codes(quality_rows(columns)), columns)


@settings(deadline=None, max_examples=100)
@given(st.lists(st.binary(min_size=4, max_size=4) | st.just(b"d\0\0\xff"), max_size=70))
def test_any_codes_of_a_page_come_back(codes: list[bytes]) -> None:
    rows = np.frombuffer(b"".join(codes), dtype=np.uint8).reshape(-1, 4).T
    assert np.array_equal(unpack_quality(pack_quality(rows), len(codes), "page"), rows)


@settings(max_examples=200)
@given(st.binary(max_size=40), st.integers(1, 5))
@example(b"\xff" * 8 + b"\x7f\x0f", 2)
@pytest.mark.filterwarnings("error")
def test_any_bytes_are_codes_or_are_refused(data: bytes, count: int) -> None:
    with suppress(CorruptError):
        assert unpack_quality(data, count, "page").shape == (4, count)


def test_a_page_of_usual_figures_takes_about_a_byte_and_a_half_each() -> None:
    random = np.random.default_rng(0)
    psnr = 35.0 + random.exponential(2.0, 4096)
    rms = 3000.0 * 10.0 ** (-psnr / 20.0)
    rows = [
        StoredQuality(p, r * a, r * b, d)
        for p, r, a, b, d in zip(
            psnr, rms, random.uniform(0.3, 0.7, 4096), random.uniform(5, 20, 4096),
            random.uniform(0.9, 1.6, 4096), strict=True,
        )
    ]  # fmt: skip
    assert len(pack_quality(quality_codes(rows))) < 1.8 * 4096
    exact = [StoredQuality(100.0, 0.0, 0.0, math.nan)] * 4096
    assert len(pack_quality(quality_codes(exact))) < 10


@pytest.mark.parametrize("error", [1e80, math.inf])
def test_an_error_beyond_the_largest_code_stays_there(error: float) -> None:
    found = quality_rows(quality_codes([StoredQuality(0.0, error, error, 1.0)]))[0]
    assert (found.mae_m_s, found.max_error_m_s) == (math.inf, math.inf)


def test_a_model_without_a_latent_has_no_distance() -> None:
    found = quality_rows(quality_codes([StoredQuality(100.0, 0.0, 0.0, math.nan)]))[0]
    assert found[:3] == (100.0, 0.0, 0.0)
    assert math.isnan(found.distance)


def test_a_model_that_was_not_measured_is_told_from_one_that_came_out_badly() -> None:
    bad = quality_codes([StoredQuality(0.0, 1000.0, 3000.0, 1.0)])
    joined = joined_codes([(1, bad), (2, None)])
    assert joined is not None
    assert is_unknown(joined).tolist() == [False, True, True]
