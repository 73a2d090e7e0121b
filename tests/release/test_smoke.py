"""The smoke test of releases: it knows every command, and it passes where torch is missing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import smoke
from latent_archives import latent_archive
from paths import ROOT

import velcodec
from velcodec.decoder import load_decoder
from velcodec.formats.container.header import Layout

SMOKE = """
import os, sys
sys.path.insert(0, os.environ["SMOKE"])
import smoke
smoke.check_commands(smoke.in_this_process, (*smoke.MAKING, *smoke.READING, *smoke.COMPUTING))
smoke.check_python()
print("torch" in sys.modules)
"""


def test_every_command_has_a_step() -> None:
    steps = (*smoke.MAKING, *smoke.READING, *smoke.COMPUTING)
    assert {smoke.command_of(step) for step in steps} == set(smoke.commands())


@pytest.fixture
def archives(tmp_path: Path) -> Path:
    """A folder with what the smoke test makes where torch is installed."""
    decoder = load_decoder()
    latents = latent_archive(decoder, Layout(70, 70, axes="n1zx", dtype="<f4"), models=2)
    (tmp_path / "latent.vlat").write_bytes(latents)
    models = velcodec.decompress(latents)
    np.save(tmp_path / "models.npy", models)
    exact = velcodec.compress(
        np.concatenate([models, models]), lossless=True, keep_latent=True, effort=1
    )
    (tmp_path / "exact.vlat").write_bytes(exact)
    volume = np.full((20, 18, 16), 2000, np.float32)
    volume[9:] = 3000
    (tmp_path / "volume.vlat").write_bytes(velcodec.compress(volume, volume=True, max_error=5))
    with velcodec.open(tmp_path / "latent.vlat") as archive:
        np.save(tmp_path / "fine.npy", archive.decode([0, 1], 90))
    return tmp_path


def test_reading_needs_no_torch_and_all_else_says_in_one_line_that_it_does(archives: Path) -> None:
    stub = archives / "stub"
    stub.mkdir()
    (stub / "torch.py").write_text(
        "raise ModuleNotFoundError(\"No module named 'torch'\", name='torch')\n"
    )
    paths = {
        "PYTHONPATH": f"{stub}{os.pathsep}{ROOT}",
        "SMOKE": str(Path(__file__).parent),
        "VELCODEC_HOME": str(archives / "home"),
    }
    done = subprocess.run(
        [sys.executable, "-c", SMOKE],
        cwd=archives, env=os.environ | paths, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == "False"
