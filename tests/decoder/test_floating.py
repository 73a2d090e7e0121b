"""The compiled rendering: close to torch's, and the same whatever is rendered beside it."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from latent_archives import drawn_tiles

from velcodec.decoder import Decoder, MixtureConfig, SirenMixture, load_decoder
from velcodec.decoder.siren_mixture.cpu import FloatMixture
from velcodec.geometry import grid_points
from velcodec.quantise import dequantise

LOW, HIGH = 1500.0, 4500.0
ODD_SIZES = MixtureConfig(10, 3, 6, 5, 1, 7, strata=3, omega_0=12.0)


def odd() -> Decoder:
    """A decoder no size of which is a multiple of what the loops take."""
    torch.manual_seed(4)
    return SirenMixture(ODD_SIZES).freeze_()


def settings_of(decoder: Decoder) -> dict[str, Any]:
    return {name: value for name, value in decoder.config.items() if name != "architecture"}


def compiled(decoder: Decoder) -> FloatMixture:
    found = decoder.compiled()
    assert found is not None
    return found


def drawn(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, 256)).astype(np.float32)


def points(nz: int, nx: int) -> np.ndarray:
    return np.ascontiguousarray(grid_points(nz, nx).T, np.float32)


def velocities(decoder: Decoder, latents: np.ndarray, where: np.ndarray) -> np.ndarray:
    ends = np.full(len(latents), LOW), np.full(len(latents), HIGH)
    return compiled(decoder).velocities(latents, *ends, where)


@pytest.mark.parametrize("made", [load_decoder, odd])
def test_it_is_within_a_tenth_of_a_metre_per_second_of_torch_in_float64(
    made: Callable[[], Decoder],
) -> None:
    decoder, where = made(), points(37, 29)
    tiles = drawn_tiles(load_decoder(), 13)
    latents = dequantise(
        load_decoder(), torch.from_numpy(tiles.coefficients[:12]), torch.from_numpy(tiles.step[:12])
    )
    latents = latents if made is load_decoder else latents / latents.std()
    fine = SirenMixture(MixtureConfig(**settings_of(decoder))).double()
    fine.load_state_dict(decoder.state_dict())
    with torch.no_grad():
        exact = fine(torch.from_numpy(where.T).double(), latents.double())
    expected = LOW + (exact.clamp(-1, 1).numpy() + 1) / 2 * (HIGH - LOW)
    error = np.abs(velocities(decoder, latents.numpy(), where) - expected)
    assert error.max() < 0.1
    assert error.mean() < 2e-3


def test_a_model_is_the_same_alone_in_a_batch_and_in_any_number_of_threads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    decoder, latents, where = load_decoder(), drawn(70), points(83, 77)
    monkeypatch.setattr("velcodec.parallel._asked_for", 1)
    together = velocities(decoder, latents, where)
    monkeypatch.setattr("velcodec.parallel._asked_for", 3)
    assert (velocities(decoder, latents, where) == together).all()
    for i in (0, 33, 69):
        assert (velocities(decoder, latents[i : i + 1], where)[0] == together[i]).all()


def test_a_point_is_the_same_whatever_points_are_beside_it() -> None:
    decoder, latents, where = odd(), drawn(2), points(20, 31)
    whole = velocities(decoder, latents, where)
    for some in (slice(0, 1), slice(5, 400), slice(619, 620)):
        assert (velocities(decoder, latents, where[:, some]) == whole[:, some]).all()


def test_models_may_have_points_of_their_own() -> None:
    decoder, latents = load_decoder(), drawn(3)
    own = np.stack([points(9, 8) * scale for scale in (1.0, 0.5, 0.1)]).astype(np.float32)
    together = velocities(decoder, latents, own)
    for i in range(3):
        assert (velocities(decoder, latents[i : i + 1], own[i])[0] == together[i]).all()


def test_latents_beyond_all_measure_stay_within_the_ends() -> None:
    latents = drawn(4)
    latents[0], latents[1, 3], latents[2, 9] = 1e30, np.inf, np.nan
    latents[3] *= 1e6
    found = velocities(load_decoder(), latents, points(16, 16))
    assert ((found >= LOW) & (found <= HIGH)).all()


def test_other_weights_are_compiled_anew() -> None:
    decoder, latents, where = odd(), drawn(1), points(5, 5)
    before = velocities(decoder, latents, where)
    decoder.reparametrise_(2 * torch.eye(256))
    changed = velocities(decoder, latents, where)
    assert (changed != before).any()
    assert np.allclose(changed, velocities(odd(), 2 * latents, where), atol=0.1)


def test_a_decoder_in_training_or_in_float64_is_torchs_business() -> None:
    assert SirenMixture(ODD_SIZES).compiled() is None
    assert odd().double().compiled() is None
