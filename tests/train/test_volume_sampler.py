"""The training of the volumes' sampler: batches are as described, runs can stop and resume."""

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from velcodec.cli.main import main
from velcodec.sampler.volume.form import VolumeWeights
from velcodec.train import volume_sampler
from velcodec.train.volume_sampler import VolumeSamplerTrainer, loss_of, make_batch


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(volume_sampler, "CROP", 8)
    monkeypatch.setattr(volume_sampler, "POINTS", 64)


def test_the_number_determines_a_batch():
    first, again, other = (make_batch(1, number, 3) for number in (4, 4, 5))
    assert all(
        torch.equal(a, b) for a, b in zip(vars(first).values(), vars(again).values(), strict=True)
    )
    assert not torch.equal(first.samples, other.samples)
    assert first.samples.shape == (3, 8, 8, 8)
    assert first.cells.shape == (3, 64, 3)


def test_the_truth_at_samples_is_the_samples(monkeypatch):
    """Points placed at the centres of cells have the values of samples taken at points."""
    monkeypatch.setattr(volume_sampler, "MEANS", 0.0)
    monkeypatch.setattr(volume_sampler, "DISTORTED", 0.0)
    monkeypatch.setattr(
        volume_sampler,
        "_within",
        lambda generator: torch.full((volume_sampler.POINTS, 3), 0.5),
    )
    batch = make_batch(1, 0, 6)
    cell = batch.cells.long()
    row = (cell[..., 2] * 8 + cell[..., 1]) * 8 + cell[..., 0]
    found = batch.samples.flatten(1).gather(1, row)
    assert ((found - batch.values).abs() > 0.5).float().mean() < 0.01


def test_a_few_steps_lower_the_loss():
    trainer = VolumeSamplerTrainer(steps=15, batch=3)
    batches = [make_batch(9, number, 3) for number in range(4)]
    before = sum(float(loss_of(trainer.network, batch).detach()) for batch in batches)
    trainer.run(None, lambda done, figures: None)
    assert sum(float(loss_of(trainer.network, batch).detach()) for batch in batches) < before


def test_a_run_resumes_with_the_same_weights(tmp_path):
    target = tmp_path / "volume.safetensors"
    command = ["train", "sampler", str(tmp_path / "run"), str(target), "--volume"]
    command += ["--steps", "2", "--batch", "2"]
    whole = VolumeSamplerTrainer(steps=2, batch=2)
    whole.run(None, lambda done, figures: None)
    for _ in range(2):
        result = CliRunner().invoke(main, [*command, "--seconds", "0"])
        assert result.exit_code == 0, result.output
    expected, found = whole.network.to_weights(), VolumeWeights.read(target)
    for a, b in zip(vars(expected).values(), vars(found).values(), strict=True):
        assert np.allclose(a, b, atol=1e-6)
