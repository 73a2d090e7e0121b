"""Any array of any supported shape and dtype comes back as it was promised."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

import velcodec
from velcodec.formats.container.header import DTYPES
from velcodec.formats.errors import BudgetError
from velcodec.formats.files.absent import SENTINELS
from velcodec.metrics import psnr

pytestmark = pytest.mark.usefixtures("tiny")


def some(examples: int) -> settings:
    quiet = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
    return settings(deadline=None, max_examples=examples, suppress_health_check=quiet)


SHAPES = st.one_of(
    npst.array_shapes(min_dims=2, max_dims=3, max_side=8),
    st.tuples(st.integers(1, 3), st.just(1), st.integers(1, 9), st.integers(1, 9)),
    st.sampled_from([(1, 1), (1, 60), (60, 1), (2, 1, 40)]),
).filter(lambda shape: len(shape) != 3 or shape[2] > 1 or 1 in shape[:2])
"""All but (n, m, 1), which may be one model as well as n."""

NO_DATA = frozenset(SENTINELS) | {float(np.float32(value)) for value in SENTINELS}

SETTINGS = st.fixed_dictionaries(
    {"order": st.sampled_from(["zx", "xz"]), "units": st.sampled_from(["m/s", "km/s"])}
)


@st.composite
def arrays(draw: st.DrawFn, most: float | None = None) -> np.ndarray:
    """Finite samples of a dtype that velcodec keeps, in either byte order and any memory layout; up
    to `most` in absolute value.
    """
    dtype = np.dtype(draw(st.sampled_from(DTYPES))).newbyteorder(draw(st.sampled_from("<>")))
    if dtype.kind == "f":
        limit = float(np.finfo(dtype).max) if most is None else most
        elements: Any = st.floats(-limit, limit, width=8 * dtype.itemsize)
    else:
        info = np.iinfo(dtype)
        low, high = info.min, info.max
        if most is not None:
            low, high = max(low, int(-most)), min(high, int(most))
        elements = st.integers(low, high)
    there = elements.filter(lambda value: float(value) not in NO_DATA)
    found = draw(npst.arrays(dtype, draw(SHAPES), elements=there))
    return found if draw(st.booleans()) else np.asfortranarray(found)


def back(models: np.ndarray, **how: Any) -> np.ndarray:
    found = velcodec.decompress(velcodec.compress(models, decoder="tiny", **how))
    assert found.shape == models.shape
    assert found.dtype == models.dtype
    return found


def errors_m_s(found: np.ndarray, models: np.ndarray, units: str) -> np.ndarray:
    """Absolute differences in m/s, in numbers that hold those of all dtypes."""
    scale = 1000.0 if units == "km/s" else 1.0
    return np.abs(found.astype(np.longdouble) - models.astype(np.longdouble)) * scale


@some(25)
@given(arrays(), SETTINGS)
def test_bit_for_bit(models: np.ndarray, how: dict[str, str]) -> None:
    assert back(models, lossless=True, **how).tobytes() == models.tobytes()


@some(40)
@given(arrays(1e7), st.floats(1e-6, 1e4), SETTINGS)
@example(np.array([[0, 255]], dtype=np.uint8), 1e-6, {"order": "zx", "units": "m/s"})
def test_within_a_bound(models: np.ndarray, bound: float, how: dict[str, str]) -> None:
    found = back(models, max_error=bound, **how)
    # In km/s the way to m/s rounds too: to a few units in the last place of float64.
    slack = 0.0 if how["units"] == "m/s" else 4e-16 * 1000 * float(np.abs(models).max())
    assert errors_m_s(found, models, how["units"]).max() <= bound + slack


@some(3)
@given(arrays(1e4), st.sampled_from([15.0, 35.0, 60.0]), SETTINGS)
def test_at_a_psnr(models: np.ndarray, target: float, how: dict[str, str]) -> None:
    found = back(models, psnr=target, **how)
    scale = 1000.0 if how["units"] == "km/s" else 1.0
    pairs = zip(_each(models), _each(found), strict=True)
    assert min(psnr(a.astype(float) * scale, b.astype(float) * scale) for a, b in pairs) >= target


@some(3)
@given(arrays(1e4), SETTINGS)
def test_bit_for_bit_beside_a_latent(models: np.ndarray, how: dict[str, str]) -> None:
    assert back(models, lossless=True, keep_latent=True, **how).tobytes() == models.tobytes()


@some(2)
@given(arrays(1e4), st.floats(200.0, 2000.0))
def test_in_a_size(models: np.ndarray, size: float) -> None:
    try:
        data = velcodec.compress(models, decoder="tiny", bytes_per_model=size)
    except BudgetError as error:
        assert "least possible" in str(error)  # noqa: PT017  # a header alone may take more
        return
    assert len(data) <= size * len(_each(models))
    assert velcodec.decompress(data).shape == models.shape


def _each(models: np.ndarray) -> np.ndarray:
    return models.reshape(-1, *models.shape[-2:])
