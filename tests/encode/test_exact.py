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
from velcodec.decoder import Decoder
from velcodec.decoder.registry import HOME_VARIABLE
from velcodec.encode.samples import check_samples
from velcodec.encode.target import Target
from velcodec.encode.tiles import ModelSet
from velcodec.formats.container.header import DTYPES
from velcodec.formats.errors import OptionError, VerificationError
from velcodec.formats.files.absent import SENTINELS

pytestmark = pytest.mark.usefixtures("tiny")
QUICK = settings(
    deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


NO_DATA = frozenset(SENTINELS) | {float(np.float32(value)) for value in SENTINELS}


def one_meaning(shape: tuple[int, ...]) -> bool:
    """Not (n, m, 1), which may be one model or n of them."""
    return len(shape) < 3 or shape[2] > 1 or min(shape[:2]) == 1


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
        npst.array_shapes(min_dims=2, max_dims=3, max_side=7).filter(one_meaning),
        elements=st.floats(allow_nan=False, allow_infinity=False).filter(
            lambda value: value not in NO_DATA
        ),
    )
)
def test_any_finite_model_is_lossless(models: np.ndarray) -> None:
    assert back(models, lossless=True).tobytes() == models.tobytes()


@QUICK
@given(
    npst.arrays(
        np.float32,
        npst.array_shapes(min_dims=3, max_dims=3, max_side=9).filter(one_meaning),
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


LAYERS = (1500 + 100 * (np.arange(12)[:, None] // 3) + np.zeros((12, 14))).astype(np.int64)
HOLES = np.random.default_rng(0).random(LAYERS.shape) < 0.1


@pytest.mark.parametrize(
    "models",
    [
        2**60 + LAYERS,
        -(2**60) - LAYERS,
        np.uint64(2**63) + LAYERS.astype(np.uint64),
        np.where(HOLES, np.iinfo(np.int64).min, LAYERS),
        np.where(HOLES, np.iinfo(np.uint64).max, LAYERS.astype(np.uint64)),
        np.where(HOLES, -(10**16) - 1, LAYERS),
        np.where(HOLES, 2**53 + 1, LAYERS).astype(np.uint64),
        np.array([[np.iinfo(np.int64).min, 0], [1, np.iinfo(np.int64).max]]),
        np.array([[0, 2**64 - 1]], np.uint64),
    ],
    ids=["2^60", "-2^60", "2^63", "int64-min", "uint64-max", "-10^16", "2^53+1", "ends", "all"],
)
@pytest.mark.parametrize("how", [{"max_error": 0.5}, {"max_error": 10.0}, {"psnr": 40.0}])
def test_integers_beyond_float64_keep_to_every_bound(
    models: np.ndarray, how: dict[str, float]
) -> None:
    found = back(models, **how)
    errors = [abs(int(a) - int(b)) for a, b in zip(models.flat, found.flat, strict=True)]
    assert max(errors) <= how.get("max_error", 100)


def test_one_model_beyond_float64_costs_the_others_nothing() -> None:
    plain, beyond = layered(1, 20, 20)[0].astype(np.int64), 2**60 + LAYERS
    with velcodec.open(
        velcodec.compress([plain, beyond], decoder="tiny", max_error=50.0)
    ) as archive:
        assert np.array_equal(archive[1], beyond)
        assert 0 < np.abs(archive[0] - plain).max() <= 50


@pytest.mark.parametrize("dtype", [np.int64, np.uint64])
def test_a_bound_of_integers_is_checked_exactly(dtype: type) -> None:
    model = np.array([[2**62, 5]], dtype)
    source = ModelSet([model], "m/s")
    check_samples(source, 0, "north", model + dtype(10), 10.0)
    with pytest.raises(VerificationError, match="model north"):
        check_samples(source, 0, "north", model + dtype(11), 10.0)
    with pytest.raises(VerificationError, match="model north"):
        check_samples(source, 0, "north", model - dtype(1), 0.5)


NUMBERS = [10, np.float64(10.0), np.float32(10.0), np.float16(10.0), np.int64(10), np.array(10.0)]


@pytest.mark.parametrize("number", NUMBERS, ids=lambda number: type(number).__name__)
def test_options_may_be_numpys_numbers(number: object) -> None:
    for name in ("psnr", "max_error", "bytes_per_model"):
        found = getattr(Target(**{name: number}), name)  # type: ignore[arg-type]
        assert (found, type(found)) == (10.0, float)
    wanted = velcodec.compress(LAYERS, decoder="tiny", max_error=10.0)
    assert velcodec.compress(LAYERS, decoder="tiny", max_error=number) == wanted


@pytest.mark.parametrize("value", ["10", True, [10.0], 10**400, np.array([10.0, 2.0])], ids=repr)
def test_options_that_are_no_numbers_are_refused(value: object) -> None:
    with pytest.raises(OptionError, match="max error: "):
        velcodec.compress(LAYERS, decoder="tiny", max_error=value)


def test_what_a_user_notes_may_be_numpys() -> None:
    user = {"a": np.float32(3), "b": [np.int64(1)], "c": {"d": np.arange(2)}}
    with velcodec.open(velcodec.compress(LAYERS, lossless=True, user=user)) as archive:
        assert archive.header.user == {"a": 3.0, "b": [1], "c": {"d": [0, 1]}}


@pytest.mark.parametrize(
    ("models", "how"),
    [
        (np.where(HOLES, np.finfo("f4").min / 2, LAYERS).astype("f4"), {"bytes_per_model": 400}),
        (np.where(HOLES, 2e30, LAYERS).astype("f4"), {"bytes_per_model": 400}),
        (np.where(HOLES, 2e30, LAYERS).astype("f4"), {"max_error": 10.0}),
        (np.where(HOLES, 2e30, LAYERS).astype("f4"), {"psnr": 35.0}),
        (np.full((12, 14), 2e20, "f4"), {"max_error": 10.0}),
        (np.full((12, 14), 0.1), {"max_error": 5e-324}),
        (np.full((12, 14), 0.1), {"max_error": 1e308}),
        (LAYERS + 0.1, {"max_error": 1e20}),
        (LAYERS + 0.1, {"max_error": 1e308}),
        (LAYERS, {"max_error": 1e308}),
        (LAYERS + 0.1, {"max_error": 5e-324}),
        (LAYERS / 1000, {"max_error": 5e-324, "units": "km/s"}),
        (LAYERS / 1000, {"max_error": 1e308, "units": "km/s"}),
        (np.where(HOLES, 5e-324, LAYERS), {"max_error": 1.0}),
        (np.where(HOLES, 1e308, -1e308), {"max_error": 1e308}),
    ],
)
def test_values_and_bounds_beyond_all_measure_are_kept(
    models: np.ndarray, how: dict[str, object]
) -> None:
    found = back(models, **how)
    if "max_error" in how:
        scale = 1000 if "units" in how else 1
        worst = max(
            abs(float(a) / 2 - float(b) / 2) for a, b in zip(models.flat, found.flat, strict=True)
        )
        assert 2 * worst * scale <= float(how["max_error"])  # type: ignore[arg-type]


SMOOTH = 1500 + 3000 * np.sin(np.arange(16)[:, None] / 7 + np.arange(20) / 9) ** 2


@pytest.mark.parametrize("bound", [0.3, 1.0, 10.0, 100.0, 1000.0, 2500.0, 9000.0])
@pytest.mark.parametrize(
    ("models", "units"),
    [
        (SMOOTH.astype("f4"), "m/s"),
        (SMOOTH, "m/s"),
        ((SMOOTH / 1000).astype("f4"), "km/s"),
        (SMOOTH / 1000, "km/s"),
        (np.rint(SMOOTH).astype("i2"), "m/s"),
        (-np.rint(SMOOTH).astype("i8"), "m/s"),
        (np.random.default_rng(0).integers(0, 256, (16, 20)).astype("u1"), "m/s"),
        (layered(3, 16, 20), "m/s"),
        (layered(3, 16, 20, seed=2).astype("i4"), "m/s"),
    ],
    ids=["f4", "f8", "f4-km", "f8-km", "i2", "i8", "u1", "layers-f4", "layers-i4"],
)
def test_no_sample_within_a_bound_leaves_the_range_of_the_models(
    models: np.ndarray, units: str, bound: float
) -> None:
    found = back(models, max_error=bound, units=units)
    assert models.min() <= found.min() <= found.max() <= models.max()


@pytest.mark.parametrize("psnr", [20.0, 35.0, 60.0])
def test_no_sample_of_a_mean_error_leaves_the_range_of_the_models(psnr: float) -> None:
    for models in (layered(3, 16, 20), SMOOTH, np.rint(SMOOTH).astype("u2")):
        found = back(models, psnr=psnr)
        assert models.min() <= found.min() <= found.max() <= models.max()


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

    how = Coding(Target(max_error=25.0), decoder="tiny")
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
        ({"keep_latent": True, "bytes_per_model": 99.0}, "keep_latent: expected it without"),
        ({"keep_latent": True, "latent_only": True}, "keep_latent and latent_only: "),
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
