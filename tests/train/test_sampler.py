"""The sampler's training: batches are as described, runs can stop and resume."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from velcodec.cli.main import main
from velcodec.formats.errors import OptionError
from velcodec.sampler.form import SamplerWeights
from velcodec.train import sampler
from velcodec.train.sampler import SamplerTrainer, batches, loss_of, make_batch


@pytest.fixture(autouse=True)
def small_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampler, "POOL", 8)
    monkeypatch.setattr(sampler, "CROP", 20)
    monkeypatch.setattr(sampler, "POINTS", 64)
    monkeypatch.setattr(sampler, "FAMILIES", {"curvevel_a": 1, "style_a": 1})


def test_the_same_number_is_the_same_batch() -> None:
    straight = list(islice(batches(3, 4), 6))
    later = next(batches(3, 4, 5))
    assert torch.equal(straight[5].samples, later.samples)
    assert torch.equal(straight[5].values, later.values)
    assert not torch.equal(straight[4].samples, later.samples)


def test_the_truth_matches_its_points(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampler, "DISTORTED", 0.0)
    ramp = torch.arange(70.0).repeat(70, 1)[None] * 10.0 + 2000.0  # 10 m/s per fine pixel, along x
    monkeypatch.setattr(sampler, "SHARP", 1.0)
    found = make_batch(ramp.clone(), torch.Generator().manual_seed(1))
    sign = float(found.samples.flatten()[0].sign())
    assert found.values == pytest.approx(
        sign * (2000.0 + 70.0 * found.cells[..., 0] - 5.0), abs=1e-2
    )
    assert found.samples[0, 0] == pytest.approx(sign * (2030.0 + 70.0 * torch.arange(10.0)))


def test_importance_weights_make_the_mean_unbiased(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampler, "POINTS", 40_000)
    monkeypatch.setattr(sampler, "DISTORTED", 0.0)
    fine = torch.full((1, 140, 140), 2000.0)
    fine[:, 100:] = 3000.0
    found = make_batch(fine.clone(), torch.Generator().manual_seed(2))
    mean = float((found.weights * found.values).sum() / found.weights.sum())
    assert abs(mean) == pytest.approx(float(fine.mean()), rel=0.01)


def test_a_few_steps_learn() -> None:
    trainer = SamplerTrainer(steps=30, batch=4)
    held_out = next(batches(9, 4))
    before = float(loss_of(trainer.network, held_out).detach())
    trainer.run(None, lambda done, figures: None)
    assert float(loss_of(trainer.network, held_out).detach()) < before


def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path: Path) -> None:
    whole, parts = SamplerTrainer(steps=4, batch=2), SamplerTrainer(steps=4, batch=2)
    whole.run(None, lambda done, figures: None)
    parts.run(0.0, lambda done, figures: None)
    assert parts.step_number == 1
    parts.save(tmp_path / "run")
    again = SamplerTrainer(steps=4, batch=2)
    again.load(tmp_path / "run")
    again.run(None, lambda done, figures: None)
    for name, tensor in whole.network.state_dict().items():
        assert torch.equal(tensor, again.network.state_dict()[name]), name


def test_a_run_of_other_settings_is_refused(tmp_path: Path) -> None:
    SamplerTrainer(steps=4, batch=2).save(tmp_path / "run")
    with pytest.raises(OptionError, match="expected"):
        SamplerTrainer(steps=5, batch=2).load(tmp_path / "run")
    (tmp_path / "other").write_bytes(b"no run")
    with pytest.raises(OptionError, match="not a checkpoint of a sampler"):
        SamplerTrainer(steps=4, batch=2).load(tmp_path / "other")


def test_the_command_writes_weights_and_resumes(tmp_path: Path) -> None:
    run, weights = tmp_path / "run", tmp_path / "sampler.safetensors"
    command = ["train", "sampler", str(run), str(weights), "--steps", "2", "--batch", "2"]
    first = CliRunner().invoke(main, [*command, "--seconds", "0"])
    assert first.exit_code == 0, first.output
    assert "step 1 of 2" in first.output
    second = CliRunner().invoke(main, command)
    assert "step 2 of 2" in second.output
    begun = ["train", "sampler", str(tmp_path / "more"), str(weights), "--init", str(weights)]
    before = SamplerWeights.read(weights)
    assert CliRunner().invoke(main, [*begun, "--steps", "1", "--batch", "2"]).exit_code == 0
    assert abs(SamplerWeights.read(weights).last - before.last).max() < 0.01
