"""The paper's recipe runs as written, resumes, and makes a decoder."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

import velcodec
from velcodec.cli.main import main
from velcodec.decoder import load_decoder
from velcodec.formats.errors import InputFileError, OptionError
from velcodec.train.build import build
from velcodec.train.checkpoint import save_checkpoint
from velcodec.train.curves import panels_of, read_log
from velcodec.train.own import OwnData, OwnModels
from velcodec.train.paper import PaperRecipe, PaperTrainer
from velcodec.train.recipes import begin, resume

SMALL = PaperRecipe(
    models=5,
    epochs=60,
    batch=4,
    points=300,
    width=24,
    hidden_layers=2,
    learning_rate=2e-3,
    latent_learning_rate=1e-2,
    patience=2,
    families=("flatvel_a", "curvevel_a"),
)


def test_the_recipe_is_the_papers() -> None:
    recipe = PaperRecipe()
    assert recipe.training_models == 800
    assert recipe.steps == 3000 * 25
    assert (recipe.width, recipe.hidden_layers, recipe.latent_deviation) == (512, 4, 0.01)
    assert PaperRecipe.from_dict(recipe.to_dict()) == recipe


def test_training_learns_and_measures_held_out_models() -> None:
    trainer = PaperTrainer(SMALL)
    assert trainer.latents.weight.std().item() == pytest.approx(0.01, rel=0.1)
    seen = []
    trainer.run(None, lambda done, figures: seen.append(figures["psnr"]))
    assert np.mean(seen[-4:]) > np.mean(seen[:4]) + 2.0
    closing = trainer.closing_figures()
    assert set(closing) == {
        f"{family}_{part}_{figure}"
        for family in SMALL.families
        for part in ("train", "held_out")
        for figure in ("psnr", "ssim")
    }
    assert all(5.0 < v < 60.0 for k, v in closing.items() if k.endswith("psnr"))


def test_a_run_cut_in_two_is_the_same_run(tmp_path: Path) -> None:
    recipe = replace(SMALL, epochs=8, patience=0, factor=0.5)
    first = PaperTrainer(recipe)
    while first.step_number < 7:  # in the middle of an epoch
        first.step()
    save_checkpoint(first, tmp_path / "half.checkpoint")
    second = resume(tmp_path / "half.checkpoint")
    assert isinstance(second, PaperTrainer)
    for trainer in (first, second):
        trainer.run(None, lambda done, figures: None)
    assert torch.equal(first.latents.weight, second.latents.weight)
    for name, value in first.decoder.state_dict().items():
        assert torch.equal(value, second.decoder.state_dict()[name]), name


def test_the_learning_rate_falls_on_a_plateau() -> None:
    trainer = PaperTrainer(replace(SMALL, epochs=12, patience=1, learning_rate=0.0,
                                   latent_learning_rate=1e-7))  # fmt: skip
    rates = []
    trainer.run(None, lambda done, figures: rates.append(trainer.optimiser.param_groups[1]["lr"]))
    assert rates[-1] < rates[0]


def test_a_finished_run_codes_models(tmp_path: Path) -> None:
    trainer = PaperTrainer(replace(SMALL, epochs=10))
    trainer.run(None, lambda done, figures: None)
    save_checkpoint(trainer, tmp_path / "paper.checkpoint")
    target = tmp_path / "paper.safetensors"
    identity = build(tmp_path / "paper.checkpoint", target, 64, {"name": "paper"})
    assert load_decoder(target).identity == identity
    model = np.repeat(np.float32([2000, 3000]), 10)[:, None].repeat(20, axis=1)
    back = velcodec.decompress(velcodec.compress(model, decoder=target), decoder=target)
    assert back.shape == model.shape
    assert back.min() >= 2000
    assert back.max() <= 3000


def test_own_models_replace_generated_ones(tmp_path: Path) -> None:
    models = 2000 + 1000 * np.random.default_rng(1).random((10, 30, 80))
    np.save(tmp_path / "own.npy", models.astype(np.float32))
    own = OwnModels([tmp_path / "own.npy"])
    recipe = replace(SMALL, own=OwnData(own.names, own.sha256, 0.0))
    trainer = PaperTrainer(recipe, own=own)
    assert len(trainer.training.values) == 9
    assert len(trainer.held_out.values) == 1
    assert trainer.step()["psnr"] > 5.0


@pytest.mark.parametrize("count", [7, 10, 33])
def test_own_models_are_each_seen_once_per_epoch(tmp_path: Path, count: int) -> None:
    models = 2000 + 1000 * np.random.default_rng(2).random((count, 6, 6))
    np.save(tmp_path / "own.npy", models.astype(np.float32))
    own = OwnModels([tmp_path / "own.npy"])
    recipe = replace(SMALL, epochs=3, points=4, own=OwnData(own.names, own.sha256, 0.0))
    trainer = PaperTrainer(recipe, own=own)
    batches = math.ceil(len(trainer.training.values) / SMALL.batch)
    assert trainer.recipe.steps == 3 * batches
    assert trainer.recipe.models == count
    save_checkpoint(trainer, tmp_path / "own.checkpoint")
    assert resume(tmp_path / "own.checkpoint", own=own).recipe == trainer.recipe


def test_the_scale_of_mixed_precision_is_remembered() -> None:
    first, second = (PaperTrainer(replace(SMALL, width=8, points=4)) for _ in range(2))
    for trainer in (first, second):
        trainer._scaler = torch.amp.GradScaler("cpu", growth_interval=4)
    fresh = first._scaler.state_dict()
    for _ in range(6):
        first.step()
    second.load_extra_state(first.extra_state())
    assert first._scaler.state_dict() != fresh
    assert second._scaler.state_dict() == first._scaler.state_dict()


def test_a_setting_that_the_recipe_lacks_is_refused() -> None:
    with pytest.raises(OptionError, match="found setting 'visits', expected one of"):
        begin("paper", None, None, 0.0, {"visits": 3})
    with pytest.raises(OptionError, match="expected no --init"):
        begin("paper", "velcodec-2", None, 0.0, {})


def test_the_command_runs_and_draws_its_curves(tmp_path: Path) -> None:
    path = tmp_path / "run.checkpoint"
    command = ["train", "run", str(path), "--recipe", "paper", "--json"]
    for setting in ("models=5", "epochs=25", "batch=2", "points=50", "width=8"):
        command += ["--set", setting]
    command += ["--set", 'families=["flatvel_a"]']
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["flatvel_a_held_out_psnr"] > 5.0
    (tmp_path / "run.jsonl").write_text(
        '{"step": 100, "psnr": 20.0, "loss": 0.1}\n{"step": 200, "psnr": 21.0, "bytes": 40.0}\n'
    )
    lines = read_log(tmp_path / "run.jsonl")
    assert [title for title, _ in panels_of(lines)] == ["PSNR, dB", "bytes per model", "loss"]
    result = CliRunner().invoke(main, ["train", "curves", str(path)])
    assert result.exit_code == 0, result.output
    assert (tmp_path / "run.png").read_bytes().startswith(b"\x89PNG")


def test_repeated_steps_are_drawn_once(tmp_path: Path) -> None:
    steps = (500, 900, 600, 900)
    lines = [json.dumps({"step": step, "psnr": 20 + n}) for n, step in enumerate(steps)]
    (tmp_path / "run.jsonl").write_text("\n".join(lines))
    read = read_log(tmp_path / "run.jsonl")
    assert [(line["step"], line["psnr"]) for line in read] == [(500, 20), (600, 22), (900, 23)]


@pytest.mark.parametrize("content", ["no JSON", "", "5", '{"psnr": 30}', '{"step": 100}'])
def test_a_file_that_is_not_a_log_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "run.jsonl").write_text(content)
    with pytest.raises(InputFileError, match="not the log of a run"):
        read_log(tmp_path / "run.jsonl")
