"""Modelling of waves; what models waves needs deepwave and is skipped without it."""

from __future__ import annotations

import importlib.util
import math
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from click.testing import Result

from velcodec.formats.errors import InputShapeError, MissingExtraError, OptionError
from velcodec.fwi import Acquisition

with_deepwave = pytest.mark.skipif(
    importlib.util.find_spec("deepwave") is None, reason="needs deepwave (the fwi extra)"
)
SMALL = Acquisition((4, 20), tuple(range(0, 24, 2)), samples=200, fastest=3500.0)


def layers() -> torch.Tensor:
    model = torch.full((24, 24), 2000.0)
    model[12:] = 3000.0
    return model


def test_openfwis_acquisition_is_as_published() -> None:
    found = Acquisition.openfwi()
    assert found.source_columns == (0, 17, 34, 52, 69)
    assert found.receiver_columns == tuple(range(70))
    assert (found.row * found.dx, found.samples, found.dt, found.frequency) == (10, 1000, 1e-3, 15)
    assert found.shots == 5


def test_some_shots_are_an_acquisition_of_their_own() -> None:
    found = Acquisition.openfwi().some((1, 3))
    assert found.source_columns == (17, 52)
    assert found == replace(Acquisition.openfwi(), source_columns=(17, 52))


@with_deepwave
def test_data_of_some_shots_are_those_of_all() -> None:
    assert torch.allclose(SMALL.some((1,))(layers())[0], SMALL(layers())[1], atol=1e-6)


def test_the_time_step_is_not_halved() -> None:
    for found in (Acquisition.openfwi(), replace(Acquisition.openfwi(), steps_per_sample=2)):
        longest = found.courant * found.dx / math.sqrt(2) / found.fastest
        assert math.ceil(found.dt / longest) == found.steps_per_sample


def test_the_wavelet_is_a_ricker_with_its_peak_in_the_middle() -> None:
    wavelet = Acquisition.openfwi().wavelet()
    assert wavelet.argmax() == round(1.1 / 15 / 1e-3)
    assert wavelet.max() == pytest.approx(1.0, abs=1e-3)
    spectrum = torch.fft.rfft(wavelet).abs()
    assert abs(float(spectrum.argmax()) - 15) <= 1


def test_low_frequencies_are_left_out_on_request() -> None:
    whole, cut = (
        torch.fft.rfft(replace(Acquisition.openfwi(), lowest=each).wavelet()).abs()
        for each in (None, 5.0)
    )
    assert cut[1] < 0.01 * whole[1]
    assert cut[15] > 0.9 * whole[15]


def test_unstable_steps_are_refused() -> None:
    with pytest.raises(OptionError, match="raise steps_per_sample"):
        replace(SMALL, fastest=6500.0)
    assert replace(SMALL, fastest=6500.0, steps_per_sample=2).courant < 0.85


def test_without_deepwave_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "deepwave", None)
    with pytest.raises(MissingExtraError, match=r"velcodec\[fwi\]"):
        SMALL(layers())


@with_deepwave
def test_a_model_that_the_shots_do_not_fit_is_refused() -> None:
    with pytest.raises(InputShapeError, match="more than 1 rows and 22 columns"):
        SMALL(torch.full((24, 20), 2000.0))


@with_deepwave
def test_the_direct_wave_arrives_when_it_should() -> None:
    data = SMALL(torch.full((24, 24), 2000.0))
    assert data.shape == (2, 12, 200)
    peaks = data[0].abs().argmax(-1) * SMALL.dt
    distance = (torch.tensor(SMALL.receiver_columns) - 4).abs() * SMALL.dx
    delay = (peaks[11] - peaks[5]) / (distance[11] - distance[5])
    assert float(delay) == pytest.approx(1 / 2000, rel=0.15)


@with_deepwave
def test_the_gradient_points_downhill() -> None:
    observed = SMALL(layers())
    model = torch.full((24, 24), 2200.0).requires_grad_(True)
    loss = (SMALL(model) - observed).square().sum()
    (gradient,) = torch.autograd.grad(loss, model)
    step = 20 / gradient.abs().max()
    with torch.no_grad():
        after = (SMALL(model - step * gradient) - observed).square().sum()
    assert after < loss


@with_deepwave
@pytest.mark.slow
def test_the_demo_inverts_a_generated_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import json

    from click.testing import CliRunner

    from velcodec.cli import main

    monkeypatch.chdir(tmp_path)
    run: Callable[..., Result] = CliRunner().invoke
    result = run(main, ["fwi", "demo", "--budget", "60", "--json"])
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    assert found["models"]["latent"]["mae"] < found["models"]["start"]["mae"]
    assert (tmp_path / "velcodec-fwi.png").read_bytes().startswith(b"\x89PNG")
    assert not (tmp_path / "velcodec-fwi.checkpoint").exists()
