"""A decoder can be fine-tuned on the user's models, and a run only continues with the same ones."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from velcodec.cli.main import main
from velcodec.decoder import MixtureConfig, load_decoder
from velcodec.formats.errors import OptionError
from velcodec.train.build import build
from velcodec.train.checkpoint import save_checkpoint
from velcodec.train.mixture import MixtureRecipe, MixtureTrainer
from velcodec.train.own import OwnData, OwnModels
from velcodec.train.recipes import resume

SMALL = MixtureRecipe(
    steps=4,
    batch=8,
    points=32,
    chunk=16,
    chunk_points=48,
    families={"flatvel_a": 1.0},
    decoder=MixtureConfig(16, 1, 8, 4, 1, 8),
    encoder_channels=4,
)


def write(path: Path, *shape: int) -> Path:
    model = 2000 + 1500 * np.random.default_rng(3).random(shape)
    np.save(path, np.round(model).astype(np.float32))
    return path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write(tmp_path / "own.npy", 20, 1, 90, 80)


def test_examples_are_samples_of_the_models(file: Path) -> None:
    own = OwnModels([file])
    chunk = own.chunk(6, 40, seed=1, number=0, held_out=False)
    assert chunk.grids.shape == (6, 70, 70)
    # The points are cell centres of the crop, so each value is in the grid.
    column, row = ((chunk.points + 1) * 35 - 0.5).round().long().unbind(-1)
    seen = chunk.grids.flatten(1).gather(1, row * 70 + column)
    torch.testing.assert_close(seen, chunk.values)
    assert chunk.values.abs().max() <= 1.0


def test_small_models_are_taken_whole(tmp_path: Path) -> None:
    own = OwnModels([write(tmp_path / "small.npy", 12, 20)])
    chunk = own.chunk(2, 30, seed=1, number=0, held_out=False)
    assert chunk.grids.shape == (2, 70, 70)
    assert chunk.points.abs().max() < 1.0


def test_held_out_models_are_never_trained_on(file: Path) -> None:
    own = OwnModels([file])
    assert len(own.held_out) == 2
    assert not set(own.held_out) & set(own.training)


def test_chunks_depend_on_their_number_alone(file: Path) -> None:
    one, same, other = (
        OwnModels([file]).chunk(4, 8, seed=1, number=n, held_out=False) for n in (3, 3, 4)
    )
    assert torch.equal(one.values, same.values)
    assert not torch.equal(one.values, other.values)


def test_a_run_resumes_with_its_original_data_only(tmp_path: Path, file: Path) -> None:
    own = OwnModels([file])
    recipe = replace(SMALL, own=OwnData(own.names, own.sha256, 0.5))
    trainer = MixtureTrainer(recipe, own=own)
    trainer.step()
    save_checkpoint(trainer, tmp_path / "own.checkpoint")
    assert resume(tmp_path / "own.checkpoint", own=OwnModels([file])).recipe == recipe
    other = OwnModels([write(tmp_path / "other.npy", 20, 1, 70, 70)])
    with pytest.raises(OptionError, match=r"found other.npy, expected own.npy as at its start"):
        resume(tmp_path / "own.checkpoint", own=other)
    with pytest.raises(OptionError, match=r"data: found none, expected own.npy"):
        resume(tmp_path / "own.checkpoint")


def test_the_commands_make_a_decoder_of_own_models(tmp_path: Path, file: Path) -> None:
    first = MixtureTrainer(SMALL)
    save_checkpoint(first, tmp_path / "first.checkpoint")
    path, target = tmp_path / "own.checkpoint", tmp_path / "own.safetensors"
    data = ["--data", str(file)]
    command = ["train", "run", str(path), "--init", str(tmp_path / "first.checkpoint"), *data]
    command += ["--generated-share", "0", "--steps", "2", "--seconds", "0", "--json"]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["steps"] == 2
    assert resume(path, own=OwnModels([file])).decoder.config == first.decoder.config
    build(path, target, 8, {"name": "own"}, OwnModels([file]))
    assert load_decoder(target).name == "own"
