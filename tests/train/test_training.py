"""Training can be interrupted, and a finished run becomes a decoder that codes models."""

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
from velcodec.train import checkpoint as checkpoints
from velcodec.train.autodecoder import AutodecoderRecipe, AutodecoderTrainer
from velcodec.train.build import build
from velcodec.train.checkpoint import save_checkpoint
from velcodec.train.joint import JointRecipe, JointTrainer
from velcodec.train.log import TrainingLog
from velcodec.train.mixture import MixtureRecipe, MixtureTrainer
from velcodec.train.pool import draw_chunk
from velcodec.train.recipes import begin, check_unchanged, resume, start

FAMILIES = {"flatvel_a": 1.0, "curvefault_a": 1.0}
TINY = MixtureConfig(16, 1, 8, 4, 1, 8, strata=4)

SMALL = MixtureRecipe(
    steps=12,
    batch=8,
    points=32,
    chunk=24,
    chunk_points=48,
    visits=2,
    families=FAMILIES,
    decoder=TINY,
    encoder_channels=4,
)

SMALL_AUTODECODER = AutodecoderRecipe(
    steps=12,
    batch=8,
    points=32,
    chunk=24,
    chunk_points=48,
    slots=16,
    visits=4,
    encoder_batch=4,
    families=FAMILIES,
    decoder=TINY,
    encoder_channels=4,
)

each_recipe = pytest.mark.parametrize("recipe", [SMALL, SMALL_AUTODECODER], ids=lambda r: type(r))


def run(trainer: JointTrainer, until: int) -> list[dict[str, float]]:
    seen = []
    while trainer.step_number < until:
        seen.append(trainer.step())
    return seen


def assert_same_weights(one: JointTrainer, other: JointTrainer) -> None:
    for part, module in one.parts().items():
        for name, value in module.state_dict().items():
            assert torch.equal(value, other.parts()[part].state_dict()[name]), (part, name)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of the small recipe."""
    path = tmp_path_factory.mktemp("run") / "small.checkpoint"
    trainer = MixtureTrainer(SMALL)
    run(trainer, SMALL.steps)
    save_checkpoint(trainer, path)
    return path


@each_recipe
def test_a_run_cut_in_two_is_the_same_run(tmp_path: Path, recipe: JointRecipe) -> None:
    first = start(recipe)
    run(first, 7)  # in the middle of a chunk, and of a round of the pool
    save_checkpoint(first, tmp_path / "half.checkpoint")
    run(first, recipe.steps)
    second = resume(tmp_path / "half.checkpoint")
    assert second.step_number == 7
    run(second, recipe.steps)
    assert_same_weights(first, second)


def test_a_checkpoint_is_cut_into_shards(
    tmp_path: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = resume(checkpoint)
    monkeypatch.setattr(checkpoints, "SHARD_BYTES", 400_000)
    path = tmp_path / "cut.checkpoint"
    save_checkpoint(whole, path)
    shards = [f for f in tmp_path.iterdir() if f != path]
    assert len(shards) > 2
    biggest = max(v.nbytes for v in whole.encoder.state_dict().values())
    assert max(f.stat().st_size for f in shards) < max(biggest, 400_000) + 20_000
    assert_same_weights(whole, resume(path))


def test_an_interrupted_save_leaves_the_old_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "run.checkpoint"
    trainer = MixtureTrainer(SMALL)
    run(trainer, 1)
    save_checkpoint(trainer, path)
    before = resume(path)
    run(trainer, 2)
    with monkeypatch.context() as broken:
        broken.setattr(checkpoints.json, "dumps", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            save_checkpoint(trainer, path)
    assert_same_weights(before, resume(path))
    save_checkpoint(trainer, path)
    assert resume(path).step_number == 2
    assert len(list(tmp_path.glob("run.checkpoint.00000001.*"))) == 0


def test_a_checkpoint_without_its_shards_is_refused(tmp_path: Path, checkpoint: Path) -> None:
    alone = tmp_path / "alone.checkpoint"
    alone.write_bytes(checkpoint.read_bytes())
    with pytest.raises(OptionError, match="shard"):
        resume(alone)


@each_recipe
def test_training_learns(recipe: JointRecipe) -> None:
    seen = run(start(replace(recipe, steps=60)), 60)
    early, late = (np.mean([s["psnr"] for s in part]) for part in (seen[:5], seen[-5:]))
    assert late > early + 1.0


def test_a_checkpoint_of_another_recipe_is_refused(checkpoint: Path) -> None:
    with pytest.raises(OptionError, match="steps: found a run with 12, expected 13"):
        check_unchanged(checkpoint, None, {"steps": 13})
    with pytest.raises(OptionError, match="recipe: found 'mixture', expected 'autodecoder'"):
        check_unchanged(checkpoint, "autodecoder", {})


def test_a_file_that_is_not_a_checkpoint_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.checkpoint").write_bytes(b"nothing of the kind")
    with pytest.raises(OptionError, match="not a checkpoint"):
        resume(tmp_path / "a.checkpoint")


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
    identity = build(checkpoint, target, 16, {"name": "small"})
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


def test_the_commands_resume_and_finish(tmp_path: Path) -> None:
    path, target = tmp_path / "run.checkpoint", tmp_path / "new.safetensors"
    trainer = MixtureTrainer(SMALL)
    run(trainer, 3)
    save_checkpoint(trainer, path)
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


def test_a_run_begins_with_another_runs_weights(checkpoint: Path) -> None:
    changes = {"chunk": 24, "chunk_points": 48, "slots": 16, "batch": 8, "points": 32}
    follower = begin("autodecoder", str(checkpoint), None, 1.0, changes)
    assert isinstance(follower, AutodecoderTrainer)
    assert_same_weights(follower, resume(checkpoint))


def test_visited_latents_improve() -> None:
    trainer = AutodecoderTrainer(replace(SMALL_AUTODECODER, steps=400, visits=200))
    for group in trainer.optimiser.param_groups:
        group["base"] = 0.0  # only the latents move
    seen = [figures["psnr"] for figures in run(trainer, 80)]
    assert np.mean(seen[-8:]) > np.mean(seen[:8]) + 0.5


def test_the_log_averages_figures(tmp_path: Path) -> None:
    log = TrainingLog(tmp_path / "run.jsonl")
    for step in range(1, 201):
        log.add(step, {"psnr": float(step)} | ({"held_out_psnr": 7.0} if step == 150 else {}))
    lines = [json.loads(line) for line in log.path.read_text().splitlines()]
    assert lines == [
        {"step": 100, "psnr": 50.5},
        {"step": 200, "psnr": 150.5, "held_out_psnr": 7.0},
    ]
