"""Samples whose errors count in the mean: as near as asked for, in the shortest of some ways."""

from __future__ import annotations

import numpy as np
import pytest
from checkers import layered

from velcodec import synth
from velcodec.encode import mean_error
from velcodec.encode.mean_error import FINEST_M_S, WAYS, MeanErrorCoder, Way, loosened, step_of
from velcodec.encode.samples import SampleCoder
from velcodec.encode.tiles import ModelSet
from velcodec.formats.sample_coding.stream import LABELS, WAVES, ExactStream, decode_exact
from velcodec.metrics import mse_of_psnr, psnr


def noisy_layers(count: int, seed: int = 0) -> np.ndarray:
    """Layers with faint noise, float32 m/s, which no label image holds exactly in few bytes."""
    models = layered(2 * count, 40, 36, seed=seed)[1::2]
    noise = np.random.default_rng(seed).normal(0, 6, models.shape)
    return (models + noise).astype(np.float32)


def hills(count: int) -> np.ndarray:
    """Models without an edge, float32 m/s."""
    return synth.draw("style_a", 1, 0, count).render(40, 36).numpy()


def stream_of(models: np.ndarray, target_db: float, units: str = "m/s") -> ExactStream:
    """That of the first model."""
    found = coder_of(models, units).reaching(0, mse_of_psnr(target_db)).exact
    assert found is not None
    return found


def coder_of(models: np.ndarray, units: str = "m/s") -> MeanErrorCoder:
    return MeanErrorCoder(SampleCoder(ModelSet(list(models), units)))


@pytest.mark.parametrize("target_db", [28.0, 35.0, 45.0, 60.0])
@pytest.mark.parametrize(
    "models",
    [layered(2, 40, 36), noisy_layers(2), hills(2)],
    ids=["layers", "noisy layers", "hills"],
)
def test_the_mean_error_asked_for_is_reached(models: np.ndarray, target_db: float) -> None:
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


def test_layers_become_labels_and_hills_waves() -> None:
    found = [stream_of(models, 38.0).coder for models in (noisy_layers(1), hills(1))]
    assert found == [LABELS, WAVES]


def test_more_ways_never_take_more_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    models = noisy_layers(4, seed=3)

    def lengths() -> list[float]:
        coder = coder_of(models)
        return [coder.reaching(i, mse_of_psnr(40.0)).bits for i in range(len(models))]

    all_of_them = lengths()
    monkeypatch.setattr(mean_error, "WAYS", WAYS[:1])
    one = lengths()
    assert all(a <= b for a, b in zip(all_of_them, one, strict=True))
    assert sum(all_of_them) < sum(one)


def test_steps_stand_on_a_ladder_of_octaves() -> None:
    way = Way(1.0, 1.0, True)
    steps = [step_of(way, rms) for rms in np.geomspace(0.01, 1000, 200)]
    assert all(np.log2(step / FINEST_M_S) % 1 == 0 for step in steps)
    assert steps[0] == FINEST_M_S
    assert steps == sorted(steps)


def test_samples_may_become_what_is_preferred_and_lie_in_the_span() -> None:
    codes = np.random.default_rng(1).integers(0, 50, (9, 8))
    loose = loosened(codes, 3.0, 1.2, 50)
    least, wanted, greatest = np.moveaxis(loose, 2, 0)
    assert (least <= wanted).all()
    assert (wanted <= greatest).all()
    assert least.min() >= 0
    assert greatest.max() < 50
    assert len(np.unique(wanted)) < len(np.unique(codes))
