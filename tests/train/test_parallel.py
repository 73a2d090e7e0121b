"""Two processes with half of each batch train the decoder that one process would."""

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
from velcodec.train.recipes import resume

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


def train(path: Path) -> None:
    """What each process does."""
    parallel.join(torch.device("cpu"))
    trainer = MixtureTrainer(small_recipe())
    trainer.run(None, lambda done, figures: None)
    if parallel.rank_and_size()[0] == 0:
        save_checkpoint(trainer, path)
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


if __name__ == "__main__":
    torch.set_num_threads(1)
    train(Path(sys.argv[1]))
