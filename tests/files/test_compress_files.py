"""Files in, an archive out: in bounded memory, and never all for nothing."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from checkers import layered

import velcodec
from velcodec.api import Coding, Description
from velcodec.decoder import Decoder
from velcodec.encode.target import Target
from velcodec.files import compress
from velcodec.files.compress import Job, append_job, compress_job
from velcodec.formats.container.append import append_to
from velcodec.formats.container.journal import open_part, part_of
from velcodec.formats.errors import (
    InterruptedJobError,
    LockedError,
    OptionError,
    OutputExistsError,
    OutputPathError,
)
from velcodec.formats.files import Ground, open_models

EXACT = Coding(Target(lossless=True), decoder="tiny")


@pytest.fixture
def models() -> np.ndarray:
    return layered(11, 9, 14)


@pytest.fixture
def folder(tmp_path: Path, models: np.ndarray) -> Path:
    """The models in three files of 4, 4 and 3."""
    folder = tmp_path / "in"
    folder.mkdir()
    for i in range(3):
        np.save(folder / f"model{i + 1}.npy", models[4 * i : 4 * i + 4, None])
    return folder


@pytest.fixture(autouse=True)
def few_at_once(monkeypatch: pytest.MonkeyPatch, tiny: Decoder) -> None:
    monkeypatch.setattr(compress, "MODELS_AT_ONCE", 2)


def job_of(folder: Path, **more: object) -> Job:
    return Job(open_models(folder), Description(dx=5.0), EXACT, **more)  # type: ignore[arg-type]


class Stop:
    """Interrupts as Ctrl-C does, when a stage begins for the so-manieth time."""

    def __init__(self, after: int) -> None:
        self.left = after

    def __call__(self, done: int, total: int, stage: str) -> None:
        if done == 1:
            self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt


def check_whole(path: Path, models: np.ndarray) -> None:
    with velcodec.open(path) as archive:
        assert len(archive) == len(models)
        for number, model in enumerate(archive):
            assert np.array_equal(model, models[number])
        assert archive.layout(3).dx_m == 5.0
        assert archive.quality is not None
        assert {row.max_error_m_s for row in archive.quality} == {0.0}
        files = archive.fields["file"].tolist()
        assert files == ["model1.npy"] * 4 + ["model2.npy"] * 4 + ["model3.npy"] * 3


def test_many_files_become_one_archive(folder: Path, models: np.ndarray, tmp_path: Path) -> None:
    summary = compress_job(job_of(folder), tmp_path / "out.vlat")
    check_whole(tmp_path / "out.vlat", models)
    assert summary.models == 11
    assert summary.bytes == (tmp_path / "out.vlat").stat().st_size
    assert summary.input_bytes == models.nbytes
    assert not part_of(tmp_path / "out.vlat").exists()


def test_an_archive_goes_down_a_pipe(folder: Path, models: np.ndarray, tmp_path: Path) -> None:
    out, into = os.pipe()
    with os.fdopen(into, "wb") as stream:
        summary = compress_job(job_of(folder), stream)  # smaller than what a pipe holds
    with os.fdopen(out, "rb") as stream:
        data = stream.read()
    assert summary.bytes == len(data)
    (tmp_path / "out.vlat").write_bytes(data)
    check_whole(tmp_path / "out.vlat", models)


@pytest.mark.parametrize("after", [0, 2, 5])
def test_an_interruption_leaves_an_archive_that_can_be_gone_on_with(
    folder: Path, models: np.ndarray, tmp_path: Path, after: int
) -> None:
    target = tmp_path / "out.vlat"
    with pytest.raises(InterruptedJobError, match="interrupted"):
        compress_job(job_of(folder), target, on_progress=Stop(after))
    assert not target.exists()
    if part_of(target).exists():
        with velcodec.open(part_of(target)) as archive:
            kept = len(archive)
            assert 0 < kept < 11
            for number in range(kept):
                assert np.array_equal(archive[number], models[number])
    summary = compress_job(job_of(folder), target, resume=True)
    check_whole(target, models)
    assert summary.models == 11
    assert list(tmp_path.glob("*.part")) == []


def test_going_on_gives_the_bytes_that_one_go_gives(folder: Path, tmp_path: Path) -> None:
    compress_job(job_of(folder), tmp_path / "one.vlat")
    with pytest.raises(InterruptedJobError):
        compress_job(job_of(folder), tmp_path / "two.vlat", on_progress=Stop(5))
    compress_job(job_of(folder), tmp_path / "two.vlat", resume=True)
    assert (tmp_path / "one.vlat").read_bytes() == (tmp_path / "two.vlat").read_bytes()


def test_whatever_a_kill_cuts_off_can_be_gone_on_with(
    folder: Path, models: np.ndarray, tmp_path: Path
) -> None:
    target = tmp_path / "out.vlat"
    with pytest.raises(InterruptedJobError):
        compress_job(job_of(folder), target, on_progress=Stop(5))
    whole = part_of(target).read_bytes()
    for cut in range(0, len(whole), 37):
        part_of(target).write_bytes(whole[:cut])
        with open_part(part_of(target), resume=True) as (_, journal):
            assert journal.end <= cut
        part_of(target).write_bytes(whole[:cut] + b"\x05garbage")
    compress_job(job_of(folder), target, resume=True)
    check_whole(target, models)


def test_a_killed_process_can_be_gone_on_with(
    folder: Path, models: np.ndarray, tmp_path: Path
) -> None:
    target = tmp_path / "out.vlat"
    code = f"""
        import time
        from pathlib import Path
        from velcodec import jobs
        from velcodec.api import Coding, Description
        from velcodec.encode.target import Target
        from velcodec.formats.files import Ground, open_models

        compress.MODELS_AT_ONCE = 2
        coding = Coding(Target(lossless=True), decoder="tiny")
        job = compress.Job(open_models({str(folder)!r}), Description(dx=5.0), coding)
        slow = lambda done, total, stage: time.sleep(0.2)
        compress.compress_job(job, Path({str(target)!r}), on_progress=slow)
    """
    child = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)])
    deadline = time.monotonic() + 120
    while not part_of(target).exists() or part_of(target).stat().st_size < 600:
        assert time.monotonic() < deadline
        assert child.poll() is None
        time.sleep(0.05)
    child.send_signal(signal.SIGKILL)
    child.wait()
    with open_part(part_of(target), resume=True) as (_, journal):
        assert journal.pages
    compress_job(job_of(folder), target, resume=True)
    check_whole(target, models)


def test_another_job_cannot_go_on_with_it(folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.vlat"
    with pytest.raises(InterruptedJobError):
        compress_job(job_of(folder), target, on_progress=Stop(5))
    with pytest.raises(OutputExistsError, match=r"out\.vlat\.part: .* --resume"):
        compress_job(job_of(folder), target)
    other = Job(open_models(folder), Description(dx=6.0), EXACT)
    with pytest.raises(
        OptionError, match=r"begun with other models or options: dx: found 6\.0, was"
    ):
        compress_job(other, target, resume=True)
    compress_job(other, target, force=True)
    assert velcodec.open(target).layout(0).dx_m == 6.0


def begun(folder: Path, target: Path, **more: object) -> None:
    """The job, interrupted when six of its eleven models are stored: of the first two files."""
    with pytest.raises(InterruptedJobError):
        compress_job(job_of(folder, **more), target, on_progress=Stop(4))
    with velcodec.open(part_of(target)) as archive:
        assert 4 < len(archive) <= 8


@pytest.mark.parametrize("name", ["model1.npy", "model2.npy"])
def test_models_that_were_made_anew_are_not_mixed_with_the_old_ones(
    folder: Path, tmp_path: Path, name: str
) -> None:
    target = tmp_path / "out.vlat"
    begun(folder, target)
    before = part_of(target).read_bytes()
    about = (folder / name).stat()
    np.save(folder / name, np.load(folder / name) + 1)
    os.utime(folder / name, ns=(about.st_atime_ns, about.st_mtime_ns))  # as nothing had happened
    with pytest.raises(OptionError, match=rf"out\.vlat\.part: was begun .*: {name}: has changed"):
        compress_job(job_of(folder), target, resume=True)
    assert part_of(target).read_bytes() == before


def test_a_file_that_was_mended_before_any_of_it_was_stored_is_gone_on_with(
    folder: Path, models: np.ndarray, tmp_path: Path
) -> None:
    target = tmp_path / "out.vlat"
    begun(folder, target)
    models = models.copy()
    models[8:] += 1
    np.save(folder / "model3.npy", models[8:, None])
    compress_job(job_of(folder), target, resume=True)
    check_whole(target, models)


FACTS: dict[str, Callable[[Path], Job]] = {
    "lossless: found False, was True": lambda folder: replace(
        job_of(folder), coding=Coding(Target(max_error=1.0), decoder="tiny")
    ),
    "decoder: found [0-9a-f]+": lambda folder: replace(
        job_of(folder), coding=Coding(Target(lossless=True))
    ),
    "units: found km/s, was None": lambda folder: replace(
        job_of(folder), description=Description(dx=5.0, units="km/s")
    ),
    r"origin: found \[1, 0\], was \[0.0, 0.0\]": lambda folder: replace(
        job_of(folder), description=Description(dx=5.0, origin=(1, 0))
    ),
    "licence: found CC0, was ;": lambda folder: replace(
        job_of(folder), description=Description(dx=5.0, licence="CC0")
    ),
    "depth: found [0-9a-f]+, was [0-9a-f]+": lambda folder: job_of(
        folder, fields={"depth": np.arange(11) + 1}
    ),
    "keys: found [0-9a-f]+, was None": lambda folder: job_of(folder, keys=[*"abcdefghijk"]),
    "model1.npy: axes: found n1xz, was n1zx": lambda folder: replace(
        job_of(folder), models=open_models(folder, order="xz")
    ),
    "model1.npy: ground: found .*12.5": lambda folder: replace(
        job_of(folder), models=open_models(folder, ground=Ground(dz_m=12.5))
    ),
    "model1.npy: z_up: found True, was False": lambda folder: replace(
        job_of(folder), models=open_models(folder, z_positive="up")
    ),
    "model1.npy: no_data: found nan, was None": lambda folder: replace(
        job_of(folder), models=open_models(folder, no_data="nan")
    ),
    "mask: found -1, was None": lambda folder: replace(
        job_of(folder), description=Description(dx=5.0, mask=-1)
    ),
    "found 1 files and arrays, were 3": lambda folder: job_of(folder / "model1.npy"),
}


@pytest.mark.parametrize("said", FACTS)
def test_every_fact_that_models_are_stored_with_must_be_the_same_to_go_on(
    folder: Path, tmp_path: Path, said: str
) -> None:
    target = tmp_path / "out.vlat"
    begun(folder, target, fields={"depth": np.arange(11)})
    make = FACTS[said]
    job = make(folder)
    if "depth" not in job.fields and len(job) == 11:
        job = replace(job, fields={"depth": np.arange(11)})
    with pytest.raises(OptionError, match=f"begun with other models or options: {said}"):
        compress_job(job, target, resume=True)


def test_another_dtype_and_another_version_are_told(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "out.vlat"
    begun(folder, target)
    monkeypatch.setattr(velcodec, "__version__", "99.0")
    with pytest.raises(OptionError, match=r"options: velcodec: found 99\.0, was "):
        compress_job(job_of(folder), target, resume=True)
    monkeypatch.undo()
    np.save(folder / "model3.npy", np.load(folder / "model3.npy").astype("f8"))
    monkeypatch.setattr(compress, "MODELS_AT_ONCE", 2)
    with pytest.raises(OptionError, match=r"model3\.npy: dtype: found <f8, was <f4"):
        compress_job(job_of(folder), target, resume=True)


def test_a_finished_archive_is_not_replaced_by_going_on(folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.vlat"
    compress_job(job_of(folder), target)
    before = target.read_bytes()
    with pytest.raises(OutputExistsError, match=r"finished already \(nothing to resume\).*--force"):
        compress_job(job_of(folder), target, resume=True)
    with pytest.raises(OutputExistsError, match="exists already"):
        compress_job(job_of(folder), target)
    assert target.read_bytes() == before


def test_two_processes_do_not_write_one_archive(folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.vlat"
    with (
        open_part(part_of(target), resume=True),
        pytest.raises(LockedError, match="another process"),
    ):
        compress_job(job_of(folder), target, resume=True)


def test_models_are_added_to_an_archive(folder: Path, models: np.ndarray, tmp_path: Path) -> None:
    target = tmp_path / "out.vlat"
    compress_job(job_of(folder), target)
    before = target.read_bytes()
    append_job(job_of(folder), target)
    assert target.read_bytes().startswith(before)
    with velcodec.open(target) as archive:
        assert len(archive) == 22
        assert np.array_equal(archive[15], models[4])
    with pytest.raises(InterruptedJobError, match="is as it was"):
        append_job(job_of(folder), target, on_progress=Stop(3))
    with append_to(target), pytest.raises(LockedError):
        append_job(job_of(folder), target)
    assert len(velcodec.open(target)) == 22


def test_files_say_spacing_keys_and_units_where_they_can(tmp_path: Path) -> None:
    models = layered(3, 8, 6)
    np.savez(tmp_path / "m.npz", vp=models / 1000, keys=["a", "b", "c"], dx=12.5, units="km/s")
    compress_job(Job(open_models(tmp_path / "m.npz"), coding=EXACT), tmp_path / "m.vlat")
    with velcodec.open(tmp_path / "m.vlat") as archive:
        assert list(archive.keys) == ["a", "b", "c"]
        assert (archive.layout(0).dx_m, archive.layout(0).dz_m) == (12.5, 10.0)
        assert archive.layout(0).units == "km/s"


def test_files_of_different_shapes_become_one_archive(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    small, large = layered(3, 8, 6), layered(2, 12, 20)
    np.save(folder / "a.npy", small)
    np.save(folder / "b.npy", large)
    compress_job(Job(open_models(folder), coding=EXACT), tmp_path / "m.vlat")
    with velcodec.open(tmp_path / "m.vlat") as archive:
        assert [archive[i].shape for i in range(5)] == [(8, 6)] * 3 + [(12, 20)] * 2
        assert np.array_equal(archive[4], large[1])


def test_columns_have_a_value_for_each_model(folder: Path, tmp_path: Path) -> None:
    fields = {"family": "layered", "depth": np.arange(11) / 2}
    keys = [f"m{i}" for i in range(11)]
    compress_job(job_of(folder, keys=keys, fields=fields), tmp_path / "m.vlat")
    with velcodec.open(tmp_path / "m.vlat") as archive:
        assert archive.metadata("m7") == {
            "family": "layered", "depth": 3.5, "file": "model2.npy", "row": 3,
        }  # fmt: skip
    with pytest.raises(OptionError, match="keys: found 10"):
        job_of(folder, keys=keys[:10])
    with pytest.raises(OptionError, match="field 'depth': found 10"):
        job_of(folder, fields={"depth": np.arange(10)})


def test_every_block_keeps_to_the_budget(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compress, "MODELS_OF_BUDGET", 6)
    coding = Coding(Target(bytes_per_model=150), decoder="tiny")
    summary = compress_job(Job(open_models(folder), coding=coding), tmp_path / "m.vlat")
    assert summary.bytes <= 150 * 11


def test_a_full_disk_is_told_at_once_and_can_be_gone_on_from(
    folder: Path, models: np.ndarray, tmp_path: Path
) -> None:
    """A file may have only so many bytes: then as from a disk that is full."""
    target = tmp_path / "out.vlat"
    compress_job(job_of(folder), target)
    whole = target.read_bytes()
    target.unlink()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    for most in range(40, len(whole), len(whole) // 7):
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, limits[1]))
        try:
            with pytest.raises(OutputPathError, match=r"out\.vlat\.part: File too large"):
                compress_job(job_of(folder), target, force=True)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        if part_of(target).exists():
            assert part_of(target).stat().st_size <= most
    compress_job(job_of(folder), target, resume=True)
    assert target.read_bytes() == whole
    check_whole(target, models)
