"""`velcodec fwi demo` without modelling: what it refuses, and its picture."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import Result
from torch import Tensor

from velcodec.decoder import Decoder
from velcodec.field import Field
from velcodec.formats.errors import MissingExtraError
from velcodec.fwi import Inversion, Step
from velcodec.fwi.demo import Demo
from velcodec.fwi.picture import draw_inversion

Run = Callable[..., Result]


@pytest.fixture
def found(tiny: Decoder) -> Demo:
    """A small inversion as `run_demo` returns it."""
    field = Field((12, 16), decoder=tiny).sample(1)
    truth: Tensor = field()[0].detach()
    history = [
        Step(method, band, used, 1.0 / used)
        for method in ("latent", "grid")
        for band, used in ((6.0, 5), (6.0, 10), (None, 15), (None, 20))
    ]
    inversion = Inversion(field, truth + 40, 0.02, 0.01, 0.9, tuple(history))
    models = {"truth": truth, "start": truth + 90, "grid": truth + 40, "latent": truth + 30}
    return Demo({name: model.numpy() for name, model in models.items()}, inversion)


def test_without_deepwave_the_extra_is_named(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "deepwave", None)
    result = run("fwi", "demo")
    assert result.exit_code == MissingExtraError.exit_code
    assert "velcodec[fwi]" in result.stderr
    assert list(Path.cwd().iterdir()) == []


def test_an_unknown_family_is_refused(run: Run) -> None:
    result = run("fwi", "demo", "--family", "marmousi")
    assert result.exit_code == 2
    assert "'marmousi'" in result.stderr


def test_figures_and_picture_are_of_what_was_found(
    run: Run, found: Demo, monkeypatch: pytest.MonkeyPatch
) -> None:
    def kept(family: str, seed: int, budget: int, checkpoint: Path, update: object) -> Demo:
        assert (family, seed, budget) == ("style_a", 3, 100)
        checkpoint.write_bytes(b"kept")
        return found

    monkeypatch.setitem(sys.modules, "deepwave", torch)
    monkeypatch.setattr("velcodec.fwi.demo.run_demo", kept)
    options = ("--family", "style_a", "--seed", 3, "--budget", 100, "--out", "here")
    result = run("fwi", "demo", *options, "--json")
    assert result.exit_code == 0, result.stderr
    figures = json.loads(result.stdout)
    assert figures["models"]["latent"]["mae"] == pytest.approx(30, abs=0.01)
    assert figures["trusted"] is True
    assert [path.name for path in Path("here").iterdir()] == ["velcodec-fwi.png"]
    result = run("fwi", "demo", *options)
    assert result.exit_code == 60
    result = run("fwi", "demo", *options, "--force")
    assert "the latent is trusted" in result.stdout


def test_the_picture_is_a_png_of_any_grid(found: Demo) -> None:
    stream = io.BytesIO()
    draw_inversion(found.models, found.inversion, stream)
    assert stream.getvalue().startswith(b"\x89PNG")
    assert np.isfinite(found.qualities["grid"].psnr)
