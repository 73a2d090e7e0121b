"""Lossless and error-bounded archives: the promise holds for whatever comes in."""

from __future__ import annotations

import numpy as np
import pytest
from checkers import layered
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

import velcodec
from velcodec import synth
from velcodec.api import encode
from velcodec.codec.cut import ModelSet
from velcodec.codec.exact import check_samples
from velcodec.decoder import Decoder
from velcodec.decoder.registry import HOME_VARIABLE
from velcodec.formats.errors import OptionError, VerificationError
from velcodec.formats.header import DTYPES

pytestmark = pytest.mark.usefixtures("tiny")
QUICK = settings(
    deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def back(models: np.ndarray, **options: object) -> np.ndarray:
    return velcodec.decompress(velcodec.compress(models, decoder="tiny", **options))


@pytest.mark.parametrize("dtype", DTYPES)
def test_lossless_gives_back_the_very_bytes(dtype: str) -> None:
    scale = 25.0 if np.dtype(dtype).itemsize == 1 else 1.0
    models = np.rint(layered(2, 14, 11) / 25 / scale).astype(dtype)
    found = back(models, lossless=True)
    assert found.dtype == models.dtype
    assert found.tobytes() == models.tobytes()


@QUICK
@given(
    npst.arrays(
        np.float64,
        npst.array_shapes(min_dims=2, max_dims=3, max_side=7),
        elements=st.floats(allow_nan=False, allow_infinity=False),
    )
)
def test_any_finite_model_is_lossless(models: np.ndarray) -> None:
    assert back(models, lossless=True).tobytes() == models.tobytes()


@QUICK
@given(
    npst.arrays(
        np.float32,
        npst.array_shapes(min_dims=3, max_dims=3, max_side=9),
        elements=st.floats(300, 7000, width=32),
    ),
    st.floats(1e-6, 500),
)
def test_no_error_bound_is_ever_broken(models: np.ndarray, bound: float) -> None:
    found = back(models, max_error=bound)
    assert np.abs(found.astype(np.float64) - models.astype(np.float64)).max() <= bound


def test_bounds_are_in_metres_per_second_whatever_the_units() -> None:
    models = layered(3, 30, 20).astype(np.float64) / 1000
    found = back(models, max_error=20.0, units="km/s")
    assert 0.001 < np.abs(found - models).max() <= 0.02


def test_integers_keep_to_a_bound_that_is_none() -> None:
    models = layered(2, 20, 20).astype(np.int16)
    assert np.array_equal(back(models, max_error=0.7), models)
    assert 0 < np.abs(back(models, max_error=12.5).astype(int) - models).max() <= 12


def test_axes_and_shapes_come_back_with_exact_samples() -> None:
    models = layered(3, 9, 14)[:, None].swapaxes(-1, -2)
    assert np.array_equal(back(models, lossless=True, order="xz"), models)


def test_models_of_several_kinds_go_into_one_archive() -> None:
    models = [layered(1, 9, 7)[0], layered(2, 12, 5)[1], np.full((4, 4), np.float32(1.1))]
    data = velcodec.compress(models, decoder="tiny", lossless=True)
    with velcodec.open(data) as archive:
        for number, model in enumerate(models):
            assert np.array_equal(archive[number], model)


def test_samples_count_where_a_latent_is_kept_beside_them() -> None:
    models = layered(2, 16, 16)
    alone = velcodec.compress(models, decoder="tiny", max_error=5.0)
    data = velcodec.compress(models, decoder="tiny", max_error=5.0, keep_latent=True)
    points = np.random.default_rng(0).uniform(0, 150, (20, 2))
    with velcodec.open(data) as archive, velcodec.open(alone) as plain:
        assert np.abs(archive.decode(0) - models[0]).max() <= 5.0
        for grid in (16, 24, (5, 30)):
            assert np.array_equal(archive.decode(0, grid), plain.decode(0, grid))
        assert np.array_equal(archive.sample(0, points), plain.sample(0, points))
        assert np.array_equal(archive.gradient(0, points), plain.gradient(0, points))


def test_samples_alone_answer_everywhere() -> None:
    data = velcodec.compress(layered(1, 8, 8), decoder="tiny", lossless=True)
    with velcodec.open(data) as archive:
        assert archive.decode(0, 16).shape == (16, 16)
        assert archive.decode(0, (3, 40), "cpu", average="cell").shape == (3, 40)
        assert archive.sample(0, [[0.0, 0.0], [5.0, 74.0]]).shape == (2,)
        assert archive.gradient(0, [[0.0, 0.0], [5.0, 74.0]]).shape == (2, 2)


def test_tensors_hold_the_same_samples() -> None:
    models = layered(2, 8, 6).astype(">f4")
    data = velcodec.compress(models, decoder="tiny", lossless=True)
    with velcodec.open(data) as archive:
        assert np.array_equal(archive.decode([0, 1], device="cpu").numpy(), models)


def test_exact_samples_need_no_decoder(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    models = layered(2, 8, 6)
    data = velcodec.compress(models, decoder="tiny", lossless=True)
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path))
    assert np.array_equal(velcodec.decompress(data), models)
    assert np.array_equal(velcodec.decompress(data, (24, 18))[:, 1::3, 1::3], models)


def test_the_summary_tells_what_was_stored_and_measured() -> None:
    from velcodec.api import Coding

    how = Coding(decoder="tiny", max_error=25.0)
    summary = encode(layered(3, 20, 20), None, how).summary
    assert (summary.samples, summary.latent, summary.both, summary.tiles) == (3, 0, 0, 0)
    assert summary.distance is None
    assert 0 < summary.max_error_m_s <= 25.0
    assert summary.worst_psnr > 40


def test_info_tells_how_models_are_stored() -> None:
    models = layered(3, 8, 8)
    for options, expected in (
        (
            {"latent_only": True, "psnr": 20.0},
            {"latent": 3, "samples": 0, "samples and latent": 0},
        ),
        ({"lossless": True}, {"latent": 0, "samples": 3, "samples and latent": 0}),
        (
            {"lossless": True, "keep_latent": True},
            {"latent": 0, "samples": 0, "samples and latent": 3},
        ),
    ):
        data = velcodec.compress(models, decoder="tiny", **options)
        with velcodec.open(data) as archive:
            assert archive.info()["representations"] == expected


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_error": 0.0}, "max error: expected more than 0"),
        ({"max_error": float("nan")}, "max error"),
        ({"lossless": True, "max_error": 1.0}, "max_error and lossless: expected one"),
        ({"lossless": True, "bytes_per_model": 99.0}, "bytes_per_model and lossless"),
        ({"keep_latent": True, "bytes_per_model": 99.0}, "keep_latent: expected it with psnr, "),
        ({"keep_latent": True, "latent_only": True}, "keep_latent: expected it with psnr, "),
        ({"latent_only": True, "lossless": True}, "latent_only: expected it without"),
    ],
)
def test_promises_that_exclude_each_other_are_refused(
    options: dict[str, object], message: str
) -> None:
    with pytest.raises(OptionError, match=message):
        velcodec.compress(layered(1, 8, 8), decoder="tiny", **options)


def test_samples_that_break_the_promise_are_named(tiny: Decoder) -> None:
    models = layered(1, 8, 8)
    source = ModelSet(list(models), "m/s")
    for stored in (models[0] + 9, models[0].astype(np.float64)):
        with pytest.raises(VerificationError, match="model north"):
            check_samples(source, 0, "north", stored, 5.0)
    with pytest.raises(VerificationError, match="model north"):
        check_samples(source, 0, "north", -models[0], 0.0)


def test_layered_models_are_lossless_in_a_few_dozen_bytes() -> None:
    models = synth.draw("curvevel_a", 9, 0, 60).render(70, 70).numpy()
    assert len(velcodec.compress(models, decoder="tiny", lossless=True)) < 75 * len(models)
