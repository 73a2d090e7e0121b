"""A compression killed at any moment leaves no partial archive, and resumes."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from checkers import layered
from volumes import folded_volume

import velcodec
from velcodec.decoder import Decoder
from velcodec.encode import volume_coder as encoding
from velcodec.encode.description import Description
from velcodec.encode.setup import Coding
from velcodec.encode.target import Target
from velcodec.files import job as job_module
from velcodec.files.compress import compress_job
from velcodec.files.job import Job
from velcodec.formats.container.journal import part_of
from velcodec.formats.files import open_models


def begin(job: Job, target: Path) -> int:
    """A process that resumes the archive at `target` until it is complete."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            compress_job(job, target, resume=True)
            code = 0
        finally:
            os._exit(code)
    return child


def sections() -> np.ndarray:
    return layered(12, 7, 8)


def volumes() -> np.ndarray:
    """Some of their samples are absent."""
    stack = np.stack([folded_volume(9, 8, 10, seed=seed) for seed in range(6)])
    stack[:, :3, 4:] = np.nan
    return stack


SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    ("models", "kills"),
    [
        pytest.param(sections, 6, id="sections"),
        pytest.param(volumes, 3, id="volumes"),
        pytest.param(sections, 200, id="sections, often", marks=SLOW),
        pytest.param(volumes, 200, id="volumes, often", marks=SLOW),
    ],
)
def test_a_killed_compression_resumes_to_the_same_archive(
    tiny: Decoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    models: Callable[[], np.ndarray], kills: int,
) -> None:  # fmt: skip
    monkeypatch.setattr(job_module, "MODELS_AT_ONCE", 2)
    monkeypatch.setattr(encoding, "BRICK", (4, 4, 4))
    array = models()
    np.save(tmp_path / "models.npy", array)
    volume = array.ndim == 4
    no_data = "nan" if volume else None
    job = Job(
        open_models(tmp_path / "models.npy", volume=volume, no_data=no_data),
        Description(volume=volume, mask=no_data),
        Coding(Target(lossless=True), decoder=tiny),
    )
    began = time.monotonic()
    compress_job(job, tmp_path / "whole.vlat")
    pace = time.monotonic() - began
    whole = (tmp_path / "whole.vlat").read_bytes()
    draw, target, done = random.Random(4), tmp_path / "out.vlat", 0
    while done < kills:
        child = begin(job, target)
        time.sleep(draw.uniform(0, pace / 2))
        os.kill(child, signal.SIGKILL)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert code in (0, -signal.SIGKILL)
        done += code != 0
        if target.exists():
            assert target.read_bytes() == whole
            target.unlink()
            part_of(target).unlink(missing_ok=True)
    child = begin(job, target)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert target.read_bytes() == whole
    assert np.array_equal(velcodec.decompress(target), array, equal_nan=True)
    assert not part_of(target).exists()


def test_a_killed_compression_of_one_volume_leaves_nothing_in_its_place(tmp_path: Path) -> None:
    np.save(tmp_path / "volume.npy", folded_volume(64, 64, 64))
    job = Job(
        open_models(tmp_path / "volume.npy", volume=True),
        Description(volume=True),
        Coding(Target(lossless=True)),
    )
    target = tmp_path / "out.vlat"
    child = begin(job, target)
    time.sleep(0.05)
    os.kill(child, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert (code == 0) == target.exists()
    assert {path.name for path in tmp_path.iterdir()} <= {
        "volume.npy", "out.vlat", part_of(target).name
    }  # fmt: skip
    compress_job(job, target, resume=not target.exists(), force=target.exists())
    assert np.array_equal(velcodec.decompress(target), np.load(tmp_path / "volume.npy"))
