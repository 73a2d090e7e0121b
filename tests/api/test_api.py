"""Round trips keep shape, dtype, units and axis order; invalid input is refused."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from checkers import check_round_trip, check_within, layered
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

import velcodec
from velcodec.api import encode
from velcodec.decoder import Decoder
from velcodec.encode.description import Description
from velcodec.encode.setup import Coding
from velcodec.files.job import Job
from velcodec.formats.errors import (
    BudgetError,
    EmptyInputError,
    InputDtypeError,
    InputFileError,
    InputShapeError,
    MissingDecoderError,
    MixedShapesError,
    NonFiniteError,
    NotVlatError,
    OptionError,
    UnitsError,
)
from velcodec.formats.files import open_models

pytestmark = pytest.mark.usefixtures("tiny")


def test_importing_does_not_load_torch_or_numpy() -> None:
    code = "import sys, velcodec; print('torch' in sys.modules, 'numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


def test_opening_does_not_load_torch(tmp_path: Path) -> None:
    path = tmp_path / "a.vlat"
    path.write_bytes(velcodec.compress(layered(1, 8, 8), decoder="tiny"))
    code = (
        f"import sys, velcodec; velcodec.open({str(path)!r}).info(); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_every_public_name_exists() -> None:
    for name in velcodec.__all__:
        assert getattr(velcodec, name) is not None
    with pytest.raises(AttributeError, match="nothing"):
        _ = velcodec.nothing


@pytest.mark.parametrize("shape", [(20, 16), (1, 20, 16), (3, 20, 16), (3, 1, 20, 16)])
def test_every_shape_comes_back(shape: tuple[int, ...]) -> None:
    count = 1 if len(shape) == 2 else shape[0]
    check_round_trip(layered(count, 20, 16).reshape(shape), least_db=29.0)


@pytest.mark.parametrize(
    "dtype", ["float32", "float64", ">f4", "int16", "uint16", "int32", "uint32", "int64", "uint64"]
)
def test_every_dtype_comes_back(dtype: str) -> None:
    check_round_trip(layered(1, 16, 16, seed=2).astype(dtype), least_db=29.0)


def test_small_integers_come_back() -> None:
    check_round_trip((layered(1, 16, 16) / 20).astype(np.uint8))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_kilometres_per_second_come_back(dtype: str) -> None:
    check_round_trip((layered(1, 16, 16) / 1000).astype(dtype), least_db=29.0, units="km/s")


def test_x_first_arrays_come_back_x_first() -> None:
    models = layered(2, 12, 20)
    flipped = np.ascontiguousarray(models.swapaxes(1, 2))
    back = check_round_trip(flipped, order="xz")
    straight = check_round_trip(models)
    np.testing.assert_allclose(back.swapaxes(1, 2), straight, atol=0.01)
    data = velcodec.compress(flipped, order="xz", decoder="tiny")
    assert velcodec.decompress(data, (10, 5)).shape == (2, 5, 10)


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (40, 1), (2, 2), (3, 17)])
def test_thin_and_tiny_models_come_back(shape: tuple[int, int]) -> None:
    random = np.random.default_rng(1)
    check_round_trip(np.sort(random.uniform(1500, 4500, shape).astype("f4")))


def test_a_constant_model_comes_back_exactly() -> None:
    for value in (2345.678, 1500.0, 0.0, -3.0):
        models = np.full((2, 9, 11), value, dtype=np.float64)
        data = velcodec.compress(models, decoder="tiny")
        np.testing.assert_array_equal(velcodec.decompress(data), models)
        np.testing.assert_array_equal(velcodec.decompress(data, 5), models[:, :5, :5])


def test_values_outside_the_usual_range_are_kept() -> None:
    models = layered(1, 16, 16).astype(np.float64)
    for low, high in ((1028.0, 5500.0), (0.0, 9000.0), (2000.0, 2003.0)):
        scaled = low + (models - models.min()) * (high - low) / np.ptp(models)
        check_round_trip(scaled, least_db=29.9)


def test_a_higher_resolution_keeps_the_singleton_axis() -> None:
    data = velcodec.compress(layered(2, 12, 12)[:, None], decoder="tiny")
    assert velcodec.decompress(data, res=48).shape == (2, 1, 48, 48)
    assert velcodec.decompress(data, res=(24, 12)).shape == (2, 1, 24, 12)


@settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    npst.arrays(
        st.sampled_from([np.float32, np.float64, np.int16, np.int32]),
        st.tuples(st.integers(1, 9), st.integers(1, 9)),
        elements=st.integers(0, 20_000),
    ),
    st.integers(1, 20),
)
def test_no_rendering_leaves_the_models_own_range(model: np.ndarray, res: int) -> None:
    data = velcodec.compress(model, decoder="tiny", bytes_per_model=2000)
    check_within(velcodec.decompress(data), model)
    check_within(velcodec.decompress(data, res), model)


@settings(
    max_examples=8,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    npst.arrays(
        np.float32,
        st.tuples(st.integers(1, 6), st.integers(1, 6)),
        elements=st.floats(0.125, 9.0, width=32),
    )
)
def test_no_rendering_leaves_the_range_in_km_s(model: np.ndarray) -> None:
    data = velcodec.compress(model, decoder="tiny", units="km/s", bytes_per_model=2000)
    check_within(velcodec.decompress(data), model)


def test_models_of_mixed_shapes_are_refused_with_advice() -> None:
    data = velcodec.compress([layered(1, 8, 8)[0], layered(1, 9, 8)[0]], decoder="tiny")
    with pytest.raises(MixedShapesError, match=r"velcodec\.open"):
        velcodec.decompress(data)
    assert velcodec.decompress(data, 12).shape == (2, 12, 12)


def test_a_list_of_equal_shapes_stacks() -> None:
    models = layered(3, 8, 8)
    data = velcodec.compress(list(models), decoder="tiny")
    assert velcodec.decompress(data).shape == (3, 8, 8)


@pytest.mark.parametrize("shape", [(5,), (2, 2, 4, 4), (1, 1, 1, 4, 4)])
def test_wrong_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputShapeError, match=str(shape[0])):
        velcodec.compress(np.ones(shape), decoder="tiny")


@pytest.mark.parametrize("dtype", ["float16", "complex64", "bool", "object", "U3"])
def test_wrong_dtypes_are_refused(dtype: str) -> None:
    with pytest.raises(InputDtypeError, match="float32"):
        velcodec.compress(np.ones((4, 4)).astype(dtype), decoder="tiny")


def test_empty_input_is_refused() -> None:
    with pytest.raises(EmptyInputError):
        velcodec.compress(np.ones((0, 4, 4)), decoder="tiny")
    with pytest.raises(EmptyInputError):
        velcodec.compress([], decoder="tiny")


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_refused_naming_their_place(bad: float) -> None:
    models = layered(2, 6, 7)
    models[1, 2, 3] = bad
    with pytest.raises(NonFiniteError, match=r"\(1, 2, 3\)"):
        velcodec.compress(models, decoder="tiny")


@pytest.mark.parametrize(
    "options",
    [
        {"units": "ft/s"},
        {"order": "yx"},
        {"dx": 0.0},
        {"dz": float("nan")},
        {"origin": (0.0, float("inf"))},
        {"effort": 0},
        {"effort": 10},
        {"effort": "most"},
        {"device": "tpu"},
        {"bytes_per_model": 0},
        {"keys": ["one", "two"]},
        {"user": {"crew": object()}},
    ],
    ids=", ".join,  # the names: an object's text is another one in every process
)
def test_bad_options_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(OptionError):
        velcodec.compress(layered(1, 6, 6), **{"decoder": "tiny", **options})


def test_keys_must_differ() -> None:
    with pytest.raises(OptionError, match="'a' is given twice"):
        velcodec.compress(layered(2, 6, 6), decoder="tiny", keys=["a", "a"])


def test_an_unknown_decoder_is_an_error() -> None:
    with pytest.raises(MissingDecoderError, match="'unheard-of'"):
        velcodec.compress(layered(1, 6, 6), decoder="unheard-of")


def test_decompressing_something_else_is_refused() -> None:
    with pytest.raises(NotVlatError):
        velcodec.decompress(b"not an archive at all, and long enough to hold a header")


def test_an_impossible_budget_is_refused_naming_the_minimum() -> None:
    models = layered(1, 20, 20)
    with pytest.raises(BudgetError, match=r"budget of 16 bytes.*least possible.* is (\d+)"):
        velcodec.compress(models, decoder="tiny", bytes_per_model=16)


def test_progress_is_reported_to_the_end() -> None:
    seen: list[tuple[int, int, str]] = []
    coding = Coding(decoder="tiny")
    encode(layered(2, 10, 10), Description(), coding, lambda *report: seen.append(report))
    assert {stage for _, _, stage in seen} >= {"fit", "quantise"}
    assert all(0 <= done <= total for done, total, _ in seen)


@pytest.mark.parametrize("kind", [str, Path])
def test_a_path_gives_the_models_in_the_file(kind: type, tmp_path: Path) -> None:
    models = layered(2, 8, 10)
    path = tmp_path / "models.npy"
    np.save(path, models.swapaxes(1, 2))
    data = velcodec.compress(kind(path), decoder="tiny", order="xz")
    assert velcodec.decompress(data).shape == (2, 10, 8)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert velcodec.open(data).info()["source_sha256"] == digest[:16]
    with pytest.raises(InputFileError, match="nowhere"):
        velcodec.compress(kind(tmp_path / "nowhere.npy"), decoder="tiny")


@pytest.mark.parametrize("mask", [-999, "nan"])
def test_a_mask_that_no_sample_has_is_told_in_python_too(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, mask: str | float
) -> None:
    model, path = layered(1, 9, 12)[0], tmp_path / "in.npy"
    np.save(path, model)
    model_with = model.copy()
    model_with[0, 0] = mask
    description = Description(mask=mask)

    def told() -> int:
        found = [record.message for record in caplog.records if "no sample has" in record.message]
        caplog.clear()
        return len(found)

    velcodec.compress(model, mask=mask, lossless=True)
    assert told() == 1
    velcodec.compress(model_with, mask=mask, lossless=True)
    velcodec.compress(np.stack([model_with] * 2), mask=mask, lossless=True, volume=True)
    assert told() == 0
    options = {"lossless": True, "description": description, "force": True}
    velcodec.compress_files(path, tmp_path / "out.vlat", **options)
    assert told() == 1
    with velcodec.create(tmp_path / "out.vlat", **options) as archive:
        archive.add(model)
        archive.add(model_with)
    assert told() == 0


def warnings_of(caplog: pytest.LogCaptureFixture, models: np.ndarray, **options: str) -> list[str]:
    """Warnings of a compression, except for the quality floor."""
    caplog.clear()
    velcodec.compress(models, decoder="tiny", **options)
    return [text for text in caplog.messages if "stay under" not in text]


def test_values_that_look_like_km_s_log_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    models = np.full((2, 5, 5), 4.5)
    (said,) = warnings_of(caplog, models)
    assert "2 of 2 models are below 20 m/s" in said
    assert "--units km/s" in said
    for units in ("km/s", "m/s"):
        assert warnings_of(caplog, models, units=units) == []
    models[1, 2, 2] = 1500.0
    assert "1 of 2 models are below 20 m/s" in warnings_of(caplog, models)[0]
    models[0] = 0
    assert warnings_of(caplog, models) == []


KM_S = layered(2, 8, 10) / 1000
UNLIKE_M_S = {
    "km/s": KM_S,
    "one of two": np.stack([layered(1, 8, 10)[0], KM_S[0]]),
    "slowness": 1 / layered(2, 8, 10),
    "normalised": layered(2, 8, 10) / 2250 - 1,
    "one model": KM_S[0],
    "list": [layered(1, 8, 10)[0], KM_S[0]],
    "integers": (layered(2, 8, 10) // 400).astype("u1"),
}
PROMISES: list[dict[str, float]] = [
    {}, {"psnr": 50.0}, {"max_error": 10.0}, {"bytes_per_model": 300}, {"latent_only": True},
]  # fmt: skip


@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: next(iter(promise), "default"))
@pytest.mark.parametrize("kind", UNLIKE_M_S)
def test_values_that_look_like_km_s_are_refused_without_units(
    kind: str, promise: dict[str, float]
) -> None:
    number = 1 if kind in ("one of two", "list") else 0
    with pytest.raises(UnitsError, match=rf"model {number}: found values from .*--units km/s"):
        velcodec.compress(UNLIKE_M_S[kind], decoder="tiny", **promise)


@pytest.mark.parametrize("kind", ["km/s", "one of two", "normalised"])
def test_stated_units_are_believed(kind: str) -> None:
    for units in ("m/s", "km/s"):
        data = velcodec.compress(UNLIKE_M_S[kind], decoder="tiny", units=units, max_error=1e-3)
        with velcodec.open(data) as archive:
            assert archive.layout(0).units == units


def test_lossless_needs_no_units(caplog: pytest.LogCaptureFixture) -> None:
    for models in UNLIKE_M_S.values():
        back = velcodec.decompress(velcodec.compress(models, decoder="tiny", lossless=True))
        assert np.array_equal(back, np.asarray(models))


def test_units_errors_number_models_over_all_batches_and_files(tmp_path: Path) -> None:
    with velcodec.create(tmp_path / "a.vlat", decoder="tiny") as writer:
        writer.add(layered(2, 8, 10))
        with pytest.raises(UnitsError, match="array: model 3: found values from 1"):
            writer.add(UNLIKE_M_S["one of two"])
    path = tmp_path / "in.npy"
    np.save(path, UNLIKE_M_S["one of two"])
    with pytest.raises(UnitsError, match=r"in\.npy: model 1: found values from 1"):
        velcodec.compress(path, decoder="tiny")
    job = Job(open_models(path), Description(), Coding(decoder="tiny"))
    with pytest.raises(UnitsError, match=r"in\.npy: model 1: found values from 1"):
        job.batch(0, 2)


def test_negative_velocities_log_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    models = np.full((2, 5, 5), 2000.0)
    models[1] = -3.5
    for units in ("m/s", "km/s"):
        (said,) = warnings_of(caplog, models, units=units)
        assert f"negative velocities, down to -3.5 {units}" in said


def test_the_decoder_may_be_given_loaded(tiny: Decoder) -> None:
    data = velcodec.compress(layered(1, 8, 8), decoder=tiny)
    assert velcodec.decompress(data, decoder=tiny).shape == (1, 8, 8)
