"""Any array of any supported shape and dtype comes back as promised."""

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


def quick(examples: int) -> settings:
    quiet = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
    return settings(deadline=None, max_examples=examples, suppress_health_check=quiet)


SHAPES = st.one_of(
    npst.array_shapes(min_dims=2, max_dims=3, max_side=8),
    st.tuples(st.integers(1, 3), st.just(1), st.integers(1, 9), st.integers(1, 9)),
    st.sampled_from([(1, 1), (1, 60), (60, 1), (2, 1, 40)]),
).filter(lambda shape: len(shape) != 3 or shape[2] > 1 or 1 in shape[:2])
"""All shapes but (n, m, 1), which may be one model or n models."""

NO_DATA = frozenset(SENTINELS) | {float(np.float32(value)) for value in SENTINELS}

SETTINGS = st.fixed_dictionaries(
    {"order": st.sampled_from(["zx", "xz"]), "units": st.sampled_from(["m/s", "km/s"])}
)


@st.composite
def arrays(draw: st.DrawFn, most: float | None = None) -> np.ndarray:
    """Finite samples of any supported dtype, byte order and memory layout, of at most `most` in
    absolute value.
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
    present = elements.filter(lambda value: float(value) not in NO_DATA)
    array = draw(npst.arrays(dtype, draw(SHAPES), elements=present))
    return array if draw(st.booleans()) else np.asfortranarray(array)


def back(models: np.ndarray, **options: Any) -> np.ndarray:
    found = velcodec.decompress(velcodec.compress(models, decoder="tiny", **options))
    assert found.shape == models.shape
    assert found.dtype == models.dtype
    return found


def errors_m_s(found: np.ndarray, models: np.ndarray, units: str) -> np.ndarray:
    """Absolute differences in m/s, in a dtype that holds those of every dtype."""
    scale = 1000.0 if units == "km/s" else 1.0
    return np.abs(found.astype(np.longdouble) - models.astype(np.longdouble)) * scale


@quick(25)
@given(arrays(), SETTINGS)
def test_lossless_is_bit_for_bit(models: np.ndarray, options: dict[str, str]) -> None:
    assert back(models, lossless=True, **options).tobytes() == models.tobytes()


@quick(40)
@given(arrays(1e7), st.floats(1e-6, 1e4), SETTINGS)
@example(np.array([[0, 255]], dtype=np.uint8), 1e-6, {"order": "zx", "units": "m/s"})
def test_samples_are_within_the_bound(
    models: np.ndarray, bound: float, options: dict[str, str]
) -> None:
    found = back(models, max_error=bound, **options)
    # The conversion from km/s to m/s rounds too, by a few units in the last place of float64.
    slack = 0.0 if options["units"] == "m/s" else 4e-16 * 1000 * float(np.abs(models).max())
    assert errors_m_s(found, models, options["units"]).max() <= bound + slack


@quick(3)
@given(arrays(1e4), st.sampled_from([15.0, 35.0, 60.0]), SETTINGS)
def test_models_reach_the_psnr(models: np.ndarray, target: float, options: dict[str, str]) -> None:
    found = back(models, psnr=target, **options)
    scale = 1000.0 if options["units"] == "km/s" else 1.0
    pairs = zip(_each(models), _each(found), strict=True)
    assert min(psnr(a.astype(float) * scale, b.astype(float) * scale) for a, b in pairs) >= target


@quick(3)
@given(arrays(1e4), SETTINGS)
def test_lossless_with_a_latent_is_bit_for_bit(models: np.ndarray, options: dict[str, str]) -> None:
    assert back(models, lossless=True, keep_latent=True, **options).tobytes() == models.tobytes()


@quick(2)
@given(arrays(1e4), st.floats(200.0, 2000.0))
def test_archives_keep_to_the_size(models: np.ndarray, size: float) -> None:
    try:
        data = velcodec.compress(models, decoder="tiny", bytes_per_model=size)
    except BudgetError as error:
        assert "least possible" in str(error)  # noqa: PT017  # a header alone may take more
        return
    assert len(data) <= size * len(_each(models))
    assert velcodec.decompress(data).shape == models.shape


def _each(models: np.ndarray) -> np.ndarray:
    return models.reshape(-1, *models.shape[-2:])
