"""Two processes with half of each batch train the same decoder as one process."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import torch

from velcodec.decoder import MixtureConfig
from velcodec.train import parallel
from velcodec.train.checkpoint import save_checkpoint
from velcodec.train.mixture import MixtureRecipe, MixtureTrainer
from velcodec.train.paper import PaperRecipe, PaperTrainer
from velcodec.train.recipes import resume
from velcodec.train.trainer import Trainer

STEPS = 4


def small_recipe() -> MixtureRecipe:
    return MixtureRecipe(
        steps=STEPS,
        batch=8,
        points=32,
        warm_up=1,
        chunk=16,
        chunk_points=48,
        families={"flatvel_a": 1.0, "curvefault_a": 1.0},
        decoder=MixtureConfig(16, 1, 8, 4, 1, 8),
        encoder_channels=4,
    )


def small_paper() -> PaperRecipe:
    """Eight models in batches of seven: the second process gets nothing of every other batch."""
    return PaperRecipe(
        models=10, epochs=8, batch=7, points=32, width=8, hidden_layers=1, patience=0,
        learning_rate=1e-2, latent_learning_rate=1e-2, families=("flatvel_a",),
    )  # fmt: skip


def train(path: Path) -> None:
    """The work of each process; with the paper's recipe every process leaves a checkpoint."""
    parallel.join(torch.device("cpu"))
    rank = parallel.rank_and_size()[0]
    trainer = MixtureTrainer(small_recipe())
    trainer.run(None, lambda done, figures: None)
    if rank == 0:
        save_checkpoint(trainer, path)
    paper = PaperTrainer(small_paper())
    paper.run(None, lambda done, figures: None)
    save_checkpoint(paper, path.with_suffix(f".paper{rank}"))
    parallel.leave()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def test_two_processes_train_as_one(tmp_path: Path) -> None:
    train(tmp_path / "one.checkpoint")
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2"]
    command += ["--master_addr", "127.0.0.1", "--master_port", str(free_port())]
    command += [__file__, str(tmp_path / "two.checkpoint")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    one, two = (resume(tmp_path / f"{name}.checkpoint") for name in ("one", "two"))
    for name, value in one.decoder.state_dict().items():
        # The encoder works in bfloat16, whose rounding differs with the batch.
        torch.testing.assert_close(value, two.decoder.state_dict()[name], rtol=0, atol=2e-3)
    start = MixtureTrainer(small_recipe()).decoder.modulation
    moved = (one.decoder.modulation - start).abs().mean()
    apart = (one.decoder.modulation - two.decoder.modulation).abs().mean()
    assert apart < 0.05 * moved
    alone, first, second = (
        resume(tmp_path / name) for name in ("one.paper0", "two.paper0", "two.paper1")
    )
    assert rates(first) == rates(second) == rates(alone)
    assert rates(alone) != rates(PaperTrainer(small_paper()))
    for name, value in alone.parts()["decoder"].state_dict().items():
        assert torch.equal(
            first.parts()["decoder"].state_dict()[name],
            second.parts()["decoder"].state_dict()[name],
        )
        torch.testing.assert_close(value, first.parts()["decoder"].state_dict()[name],
                                   rtol=0, atol=1e-4)  # fmt: skip


def rates(trainer: Trainer) -> list[float]:
    """The current learning rates."""
    return [group["lr"] for group in trainer.optimiser.param_groups]


if __name__ == "__main__":
    torch.set_num_threads(1)
    train(Path(sys.argv[1]))
