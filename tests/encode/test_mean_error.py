"""Samples coded for a mean squared error reach it, by the shortest of several modes."""

from __future__ import annotations

import numpy as np
import pytest
from checkers import layered

from velcodec import synth
from velcodec.effort import LEVELS
from velcodec.encode import mean_error
from velcodec.encode.mean_error import (
    FINEST_M_S,
    MODES,
    MeanErrorCoder,
    Mode,
    around_simplified,
    step_of,
)
from velcodec.encode.samples import SampleCoder
from velcodec.encode.tiles import ModelSet
from velcodec.formats.sample_coding.coders import DCT, LABEL_MAP, MIXED
from velcodec.formats.sample_coding.stream import ExactStream, decode_exact
from velcodec.metrics import mse_of_psnr, psnr


def noisy_layers(count: int, seed: int = 0) -> np.ndarray:
    """Layers with faint noise, float32 m/s, which no label map holds exactly in few bytes."""
    models = layered(2 * count, 40, 36, seed=seed)[1::2]
    noise = np.random.default_rng(seed).normal(0, 6, models.shape)
    return (models + noise).astype(np.float32)


def hills(count: int) -> np.ndarray:
    """Models without edges, float32 m/s."""
    return synth.draw("style_a", 1, 0, count).render(40, 36).numpy()


def stream_of(models: np.ndarray, target_db: float, units: str = "m/s") -> ExactStream:
    """The stream of the first model."""
    stream = coder_of(models, units).reaching(0, mse_of_psnr(target_db)).exact
    assert stream is not None
    return stream


def coder_of(models: np.ndarray, units: str = "m/s") -> MeanErrorCoder:
    return MeanErrorCoder(SampleCoder(ModelSet(list(models), units)), LEVELS[9])


@pytest.mark.parametrize("target_db", [28.0, 35.0, 45.0, 60.0])
@pytest.mark.parametrize(
    "models",
    [layered(2, 40, 36), noisy_layers(2), hills(2)],
    ids=["layers", "noisy layers", "hills"],
)
def test_the_target_mean_error_is_reached(models: np.ndarray, target_db: float) -> None:
    coder = coder_of(models)
    for i, model in enumerate(models):
        found = coder.reaching(i, mse_of_psnr(target_db))
        assert found.exact is not None
        assert not found.has_latent
        back = decode_exact(found.exact, coder.coder.coding_of_streams(), model.shape, model.dtype)
        assert psnr(model, back) >= target_db
        assert psnr(model, back) == pytest.approx(-10 * np.log10(found.mse / 9e6), abs=1e-6)


def test_units_do_not_change_what_is_stored() -> None:
    models = noisy_layers(1)
    in_m_s, in_km_s = stream_of(models, 38.0), stream_of(models / 1000, 38.0, "km/s")
    assert len(in_km_s.data) == pytest.approx(len(in_m_s.data), abs=4)


def test_layers_become_labels_and_hills_take_the_dct() -> None:
    found = [stream_of(models, 38.0).coder for models in (noisy_layers(1), hills(1))]
    assert found[0] in (LABEL_MAP, MIXED)
    assert found[1] == DCT


def test_more_modes_never_take_more_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    models = noisy_layers(4, seed=3)

    def lengths() -> list[float]:
        coder = coder_of(models)
        return [coder.reaching(i, mse_of_psnr(40.0)).bits for i in range(len(models))]

    all_modes = lengths()
    monkeypatch.setattr(mean_error, "MODES", MODES[:1])
    one_mode = lengths()
    assert all(a <= b for a, b in zip(all_modes, one_mode, strict=True))
    assert sum(all_modes) < sum(one_mode)


def test_steps_are_octaves_of_the_finest() -> None:
    mode = Mode(1.0, 1.0, True)
    steps = [step_of(mode, rms) for rms in np.geomspace(0.01, 1000, 200)]
    assert all(np.log2(step / FINEST_M_S) % 1 == 0 for step in steps)
    assert steps[0] == FINEST_M_S
    assert steps == sorted(steps)


def test_allowed_integers_include_the_preferred_and_lie_in_the_span() -> None:
    codes = np.random.default_rng(1).integers(0, 50, (9, 8))
    allowed = around_simplified(codes, 3.0, 1.2, 50)
    least, preferred, greatest = np.moveaxis(allowed, 2, 0)
    assert (least <= preferred).all()
    assert (preferred <= greatest).all()
    assert least.min() >= 0
    assert greatest.max() < 50
    assert len(np.unique(preferred)) < len(np.unique(codes))


@pytest.mark.parametrize("level", [1, 5, 9])
@pytest.mark.parametrize("psnr", [30.0, 40.0])
def test_few_trials_reach_the_error_and_one_foretells_the_length(level: int, psnr: float) -> None:
    models = layered(3, 40, 36, seed=2)
    source = ModelSet(list(models.astype(np.float32)), "m/s")
    trials, mse = MeanErrorCoder(SampleCoder(source), LEVELS[level]), mse_of_psnr(psnr)
    for i in range(len(source)):
        found = trials.reaching(i, mse)
        assert found.mse <= mse
        assert found.bits < trials.coder.within(i, 0.0).bits
        assert 0.4 * found.bits < trials.about(i, mse) < 2.5 * found.bits
