"""Training can be cut into pieces, and a finished run becomes a decoder that codes models."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

import velcodec
from velcodec.cli.main import main
from velcodec.decoder import MixtureConfig, load_decoder, load_encoder
from velcodec.formats.errors import OptionError
from velcodec.train.build import build
from velcodec.train.mixture import MixtureRecipe, MixtureTrainer, start_or_resume
from velcodec.train.pool import draw_chunk

SMALL = MixtureRecipe(
    steps=12,
    batch=8,
    points=32,
    chunk=24,
    chunk_points=48,
    visits=2,
    families={"flatvel_a": 1.0, "curvefault_a": 1.0},
    decoder=MixtureConfig(16, 1, 8, 4, 1, 8),
    encoder_channels=4,
)


def run(trainer: MixtureTrainer, until: int) -> list[dict[str, float]]:
    seen = []
    while trainer.step_number < until:
        seen.append(trainer.step())
    return seen


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of the small recipe."""
    path = tmp_path_factory.mktemp("run") / "small.checkpoint"
    trainer = MixtureTrainer(SMALL)
    run(trainer, SMALL.steps)
    trainer.save(path)
    return path


def test_a_run_cut_in_two_is_the_same_run(tmp_path: Path, checkpoint: Path) -> None:
    first = MixtureTrainer(SMALL)
    run(first, 7)  # in the middle of the second chunk
    first.save(tmp_path / "half.checkpoint")
    second = start_or_resume(tmp_path / "half.checkpoint")
    run(second, SMALL.steps)
    whole = start_or_resume(checkpoint)
    for name, value in whole.decoder.state_dict().items():
        assert torch.equal(value, second.decoder.state_dict()[name]), name
    for name, value in whole.encoder.state_dict().items():
        assert torch.equal(value, second.encoder.state_dict()[name]), name


def test_training_learns(checkpoint: Path) -> None:
    del checkpoint
    trainer = MixtureTrainer(replace(SMALL, steps=60))
    seen = run(trainer, 60)
    early, late = (np.mean([s["psnr"] for s in part]) for part in (seen[:5], seen[-5:]))
    assert late > early + 1.0


def test_a_checkpoint_of_another_recipe_is_refused(checkpoint: Path) -> None:
    with pytest.raises(OptionError, match="steps: found a run with 12, expected 13"):
        start_or_resume(checkpoint, steps=13)


def test_a_file_that_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.checkpoint").write_bytes(b"nothing of the kind")
    with pytest.raises(OptionError, match="not a checkpoint"):
        start_or_resume(tmp_path / "a.checkpoint")


def test_chunks_depend_on_their_number_alone() -> None:
    first = draw_chunk(3, 20, 16, SMALL.families, seed=5)
    again = draw_chunk(3, 20, 16, SMALL.families, seed=5)
    other = draw_chunk(4, 20, 16, SMALL.families, seed=5)
    assert torch.equal(first.values, again.values)
    assert torch.equal(first.points, again.points)
    assert not torch.equal(first.grids, other.grids)


def test_point_weights_are_unbiased() -> None:
    """The weighted mean over the drawn points estimates the mean over the whole model."""
    chunk = draw_chunk(0, 16, 6000, {"curvevel_a": 1.0}, seed=2)
    estimate = (chunk.weights * chunk.values).mean(1)
    torch.testing.assert_close(estimate, chunk.grids.mean((1, 2)), rtol=0, atol=0.06)
    torch.testing.assert_close(chunk.weights.mean(1), torch.ones(16), rtol=0, atol=0.05)


def test_a_finished_run_codes_models(tmp_path: Path, checkpoint: Path) -> None:
    target = tmp_path / "small.safetensors"
    identity = build(checkpoint, target, 64, {"name": "small"})
    decoder = load_decoder(target)
    assert decoder.identity == identity
    assert decoder.name == "small"
    assert load_encoder(decoder) is not None
    again = MixtureTrainer(SMALL)
    again.start_from(decoder, load_encoder(decoder))
    assert torch.equal(again.decoder.modulation, decoder.modulation)
    assert again.step()["psnr"] > MixtureTrainer(SMALL).step()["psnr"]
    with pytest.raises(OptionError, match="expected"):
        MixtureTrainer(replace(SMALL, decoder=MixtureConfig(8))).start_from(decoder, None)
    model = np.full((20, 20), 2000, dtype=np.float32)
    model[10:] = 3000
    blob = velcodec.compress(model, decoder=target)
    back = velcodec.decompress(blob, decoder=target)
    assert back.shape == model.shape
    assert back.min() >= 2000
    assert back.max() <= 3000


def test_the_commands_go_on_and_finish(tmp_path: Path) -> None:
    path, target = tmp_path / "run.checkpoint", tmp_path / "new.safetensors"
    trainer = MixtureTrainer(SMALL)
    run(trainer, 3)
    trainer.save(path)
    result = CliRunner().invoke(main, ["train", "run", str(path), "--json"])
    assert result.exit_code == 0, result.output
    figures = json.loads(result.output)
    assert figures["step"] == figures["steps"] == SMALL.steps
    command = [
        "train",
        "finish",
        str(path),
        str(target),
        "--name",
        "new",
        "--models",
        "64",
        "--json",
    ]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 0, result.output
    assert json.loads(result.output)["hash"] == load_decoder(target).identity.hex()
