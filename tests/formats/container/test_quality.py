"""What was measured of a model: kept in four bytes, and never better than it was."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from velcodec.formats.container.quality import Quality, quality_codes, quality_rows

ERRORS = st.floats(0, 1e12)
ROWS = st.lists(st.builds(Quality, st.floats(0, 100), ERRORS, ERRORS, st.floats(0, 31)))


@settings(deadline=None, max_examples=100)
@given(ROWS)
def test_figures_are_rounded_to_the_careful_side_and_little(rows: list[Quality]) -> None:
    data = quality_codes(rows)
    assert data.shape == (4, len(rows))
    for row, found in zip(rows, quality_rows(data), strict=True):
        assert row.psnr_db - 0.5 <= found.psnr_db <= row.psnr_db
        for before, after in ((row.mae_m_s, found.mae_m_s), (row.max_error_m_s, found[2])):
            assert before * (1 - 1e-9) <= after <= max(before * 1.19, 2.0**-10 if before else 0)
        assert row.distance <= found.distance <= row.distance + 0.125


@settings(deadline=None, max_examples=50)
@given(st.lists(st.binary(min_size=4, max_size=4), max_size=9))
def test_what_was_stored_is_stored_again_the_same(codes: list[bytes]) -> None:
    rows = np.frombuffer(b"".join(codes), dtype=np.uint8).reshape(-1, 4)
    columns = np.minimum(rows.T, 254)
    assert np.array_equal(quality_codes(quality_rows(columns)), columns)


@pytest.mark.parametrize("error", [1e80, math.inf])
def test_an_error_beyond_all_bounds_stays_one(error: float) -> None:
    found = quality_rows(quality_codes([Quality(0.0, error, error, 1.0)]))[0]
    assert (found.mae_m_s, found.max_error_m_s) == (math.inf, math.inf)


def test_a_model_without_a_latent_has_no_distance() -> None:
    found = quality_rows(quality_codes([Quality(100.0, 0.0, 0.0, math.nan)]))[0]
    assert found[:3] == (100.0, 0.0, 0.0)
    assert math.isnan(found.distance)
