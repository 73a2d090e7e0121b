"""A compression killed at any moment leaves no partial archive, and resumes."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from checkers import layered

import velcodec
from velcodec.decoder import Decoder
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


@pytest.mark.parametrize("kills", [6, pytest.param(200, marks=pytest.mark.slow)])
def test_a_killed_compression_resumes_to_the_same_archive(
    tiny: Decoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kills: int
) -> None:
    monkeypatch.setattr(job_module, "MODELS_AT_ONCE", 2)
    models = layered(12, 7, 8)
    np.save(tmp_path / "models.npy", models)
    job = Job(
        open_models(tmp_path / "models.npy"), coding=Coding(Target(lossless=True), decoder=tiny)
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
    assert np.array_equal(velcodec.decompress(target), models)
    assert not part_of(target).exists()
