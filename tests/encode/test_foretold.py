"""Latents that are foretold to lose are not fitted, and no estimate drops a promise."""

from __future__ import annotations

import numpy as np
import pytest
from checkers import layered

import velcodec
from velcodec import synth
from velcodec.decoder.load import load_decoder
from velcodec.effort import LEVELS
from velcodec.encode import candidates as made
from velcodec.encode.candidates import Candidates
from velcodec.encode.fitting import make_fitter
from velcodec.encode.pack import RANGE_STEP_M_S
from velcodec.encode.tiles import ModelSet
from velcodec.metrics import mse_of_psnr, psnr


def faulted(count: int) -> np.ndarray:
    return synth.draw("curvefault_a", 3, 0, count).render(70, 70).numpy().astype(np.float32)


def test_latents_of_flat_layers_are_not_fitted(monkeypatch: pytest.MonkeyPatch) -> None:
    models = layered(3, 70, 70)

    def refuse(*_: object) -> None:
        pytest.fail("a latent was fitted")

    monkeypatch.setattr(Candidates, "within", refuse)
    decoded = np.asarray(velcodec.decompress(velcodec.compress(models, effort=1)))
    assert min(psnr(*pair) for pair in zip(decoded, models, strict=True)) >= 35.0


@pytest.mark.parametrize("bits", [0.0, 1.0, 1e9])
def test_whatever_is_foretold_the_psnr_is_kept(
    monkeypatch: pytest.MonkeyPatch, bits: float
) -> None:
    """A wrong estimate costs bytes alone."""
    models = faulted(2)
    monkeypatch.setattr(made, "GUESS_BITS", bits)
    decoded = np.asarray(velcodec.decompress(velcodec.compress(models, effort=1)))
    assert min(psnr(*pair) for pair in zip(decoded, models, strict=True)) >= 35.0


def test_a_smaller_error_is_foretold_to_take_more_bits() -> None:
    source = ModelSet(list(faulted(2)), "m/s")
    candidates = Candidates(make_fitter(load_decoder(), 1), source, RANGE_STEP_M_S, None)
    rough, fine = (candidates.foretold([0, 1], mse_of_psnr(db)) for db in (25.0, 33.0))
    assert all(0 < rough[i] < fine[i] for i in (0, 1))


def test_more_effort_fits_more_latents() -> None:
    reaches = [LEVELS[level].reach for level in sorted(LEVELS)]
    assert reaches == sorted(reaches)
    assert np.isinf(reaches[-1])
