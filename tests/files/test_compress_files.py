"""Files become an archive, in bounded memory; interrupted work resumes."""

from __future__ import annotations

import io
import os
import resource
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from checkers import layered

import velcodec
from velcodec.decoder import Decoder, registry
from velcodec.decoder.registry import HOME_VARIABLE
from velcodec.encode.description import Description
from velcodec.encode.setup import Coding
from velcodec.encode.target import Target
from velcodec.files import compress
from velcodec.files import job as job_module
from velcodec.files.compress import append_job, compress_job
from velcodec.files.job import Job
from velcodec.files.plans import check_same, pack_plan, unpack_plan
from velcodec.formats.container.append import append_to
from velcodec.formats.container.header import Source
from velcodec.formats.container.journal import open_part, part_of, read_journal
from velcodec.formats.errors import (
    InputFileError,
    InterruptedJobError,
    LockedError,
    OptionError,
    OutputExistsError,
    OutputPathError,
)
from velcodec.formats.files import Ground, Part, open_models
from velcodec.formats.files.absent import Marks
from velcodec.formats.storage.unbuffered import Unbuffered

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
    monkeypatch.setattr(job_module, "MODELS_AT_ONCE", 2)


def job_of(folder: Path, **more: object) -> Job:
    return Job(open_models(folder), Description(dx=5.0), EXACT, **more)  # type: ignore[arg-type]


class Stop:
    """Raises KeyboardInterrupt after `after` stages have begun."""

    def __init__(self, after: int) -> None:
        self.left = after

    def __call__(self, done: int, total: int, stage: str) -> None:
        if done == 1:
            self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt


def safe_bytes(part: Path) -> int:
    """Bytes of an unfinished archive that are committed."""
    with part.open("rb") as stream:
        return read_journal(stream, str(part)).end if part.stat().st_size else 0


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


def test_compress_files_keeps_description_keys_and_fields(
    folder: Path, models: np.ndarray, tmp_path: Path
) -> None:
    keys, target = [f"k{i}" for i in range(11)], tmp_path / "out.vlat"
    about = velcodec.Description(dx=5.0, origin=(10.0, 20.0), licence="CC0", fields={"site": "a"})
    summary = velcodec.compress_files(
        str(folder), str(target), lossless=True, decoder="tiny", description=about, keys=keys,
        fields={"depth": np.arange(11)},
    )  # fmt: skip
    assert (summary.models, summary.bytes) == (11, target.stat().st_size)
    check_whole(target, models)
    with velcodec.open(target) as archive:
        assert list(archive.keys) == keys
        assert archive.fields["depth"].tolist() == list(range(11))
        assert set(archive.fields["site"]) == {"a"}
        assert (archive.layout(0).origin_x_m, archive.header.licence) == (10.0, "CC0-1.0")


def test_the_spacing_of_a_description_settles_what_a_file_states_twice(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "in.h5", "w") as file:
        data = file.create_dataset("vp", data=layered(2, 9, 14))
        data.attrs["dx"] = 10.0
        file.attrs["dx"] = 25.0
    target = tmp_path / "out.vlat"
    with pytest.raises(InputFileError, match="dx"):
        velcodec.compress_files(tmp_path / "in.h5", target, lossless=True, decoder="tiny")
    velcodec.compress_files(
        tmp_path / "in.h5", target, lossless=True, decoder="tiny",
        description=velcodec.Description(dx=25.0),
    )  # fmt: skip
    with velcodec.open(target) as archive:
        assert archive.layout(0).dx_m == 25.0


def test_compress_files_takes_opened_models_and_a_stream(tmp_path: Path) -> None:
    model = layered(1, 9, 14)[0]
    np.save(tmp_path / "xz.npy", model.T)
    stream = io.BytesIO()
    opened = velcodec.open_models(tmp_path / "xz.npy", order="xz", units="km/s")
    velcodec.compress_files(opened, stream, lossless=True, decoder="tiny")
    with velcodec.open(stream.getvalue()) as archive:
        assert archive.layout(0).units == "km/s"
        assert archive.header.source == Source.of(opened.sha256())
        assert np.array_equal(archive[0], model.T)


def test_compress_files_takes_axis_order_and_absent_samples_from_the_description(
    tmp_path: Path,
) -> None:
    model = layered(1, 9, 14)[0]
    model[:2] = np.nan
    np.save(tmp_path / "xz.npy", model.T)
    description = velcodec.Description(order="xz", mask="nan")
    velcodec.compress_files(
        tmp_path / "xz.npy", tmp_path / "out.vlat", lossless=True, decoder="tiny",
        description=description,
    )  # fmt: skip
    with velcodec.open(tmp_path / "out.vlat") as archive:
        layout = archive.layout(0)
        assert (layout.nz, layout.nx, layout.no_data) == (9, 14, "nan")
        assert np.array_equal(archive[0], model.T, equal_nan=True)


def test_compress_files_resumes_and_replaces_only_with_force(
    folder: Path, models: np.ndarray, tmp_path: Path
) -> None:
    target = tmp_path / "out.vlat"

    def run(**more: Any) -> None:
        velcodec.compress_files(
            folder, target, lossless=True, decoder="tiny",
            description=velcodec.Description(dx=5.0), **more,
        )  # fmt: skip

    with pytest.raises(InterruptedJobError):
        run(on_progress=Stop(2))
    with pytest.raises(OutputExistsError):
        run()
    run(resume=True)
    check_whole(target, models)
    with pytest.raises(OutputExistsError):
        run()
    run(force=True)
    check_whole(target, models)


def test_an_archive_is_written_to_a_pipe(folder: Path, models: np.ndarray, tmp_path: Path) -> None:
    out, into = os.pipe()
    with os.fdopen(into, "wb") as stream:
        summary = compress_job(job_of(folder), stream)  # smaller than what a pipe holds
    with os.fdopen(out, "rb") as stream:
        data = stream.read()
    assert summary.bytes == len(data)
    (tmp_path / "out.vlat").write_bytes(data)
    check_whole(tmp_path / "out.vlat", models)


@pytest.mark.parametrize("after", [0, 2, 5])
def test_an_interruption_leaves_a_resumable_archive(
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


def test_resuming_gives_the_same_bytes_as_one_run(folder: Path, tmp_path: Path) -> None:
    compress_job(job_of(folder), tmp_path / "one.vlat")
    with pytest.raises(InterruptedJobError):
        compress_job(job_of(folder), tmp_path / "two.vlat", on_progress=Stop(5))
    compress_job(job_of(folder), tmp_path / "two.vlat", resume=True)
    assert (tmp_path / "one.vlat").read_bytes() == (tmp_path / "two.vlat").read_bytes()


def test_an_archive_cut_anywhere_by_a_kill_can_be_resumed(
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


def test_the_work_of_a_killed_process_can_be_resumed(
    folder: Path, models: np.ndarray, tmp_path: Path
) -> None:
    target = tmp_path / "out.vlat"
    code = f"""
        import time
        from pathlib import Path
        from velcodec.encode.description import Description
        from velcodec.encode.setup import Coding
        from velcodec.encode.target import Target
        from velcodec.files import compress, job as jobs
        from velcodec.formats.files import open_models

        jobs.MODELS_AT_ONCE = 2
        coding = Coding(Target(lossless=True), decoder="tiny")
        job = jobs.Job(open_models({str(folder)!r}), Description(dx=5.0), coding)
        slow = lambda done, total, stage: time.sleep(0.2)
        compress.compress_job(job, Path({str(target)!r}), on_progress=slow)
    """
    child = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)])
    deadline = time.monotonic() + 120
    while not part_of(target).exists() or not safe_bytes(part_of(target)):
        assert time.monotonic() < deadline
        assert child.poll() is None
        time.sleep(0.05)
    child.send_signal(signal.SIGKILL)
    child.wait()
    with open_part(part_of(target), resume=True) as (_, journal):
        assert journal.pages
    compress_job(job_of(folder), target, resume=True)
    check_whole(target, models)


def test_another_job_cannot_resume_it(folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.vlat"
    with pytest.raises(InterruptedJobError):
        compress_job(job_of(folder), target, on_progress=Stop(5))
    with pytest.raises(OutputExistsError, match=r"out\.vlat\.part: .* --resume"):
        compress_job(job_of(folder), target)
    other = Job(open_models(folder), Description(dx=6.0), EXACT)
    with pytest.raises(
        OptionError, match=r"started with other models or options: dx: found 6\.0, was"
    ):
        compress_job(other, target, resume=True)
    compress_job(other, target, force=True)
    assert velcodec.open(target).layout(0).dx_m == 6.0


def begun(folder: Path, target: Path, **more: object) -> None:
    """The job, interrupted with six of eleven models stored, all from the first two files."""
    with pytest.raises(InterruptedJobError):
        compress_job(job_of(folder, **more), target, on_progress=Stop(4))
    with velcodec.open(part_of(target)) as archive:
        assert 4 < len(archive) <= 8


@pytest.mark.parametrize("name", ["model1.npy", "model2.npy"])
def test_changed_files_are_not_mixed_with_old_models(
    folder: Path, tmp_path: Path, name: str
) -> None:
    target = tmp_path / "out.vlat"
    begun(folder, target)
    before = part_of(target).read_bytes()
    about = (folder / name).stat()
    np.save(folder / name, np.load(folder / name) + 1)
    os.utime(folder / name, ns=(about.st_atime_ns, about.st_mtime_ns))  # as nothing had happened
    with pytest.raises(OptionError, match=rf"out\.vlat\.part: was started .*: {name}: has changed"):
        compress_job(job_of(folder), target, resume=True)
    assert part_of(target).read_bytes() == before


def test_a_file_repaired_before_any_of_its_models_was_stored_resumes(
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
    "units: found km/s, was not stated": lambda folder: replace(
        job_of(folder), description=Description(dx=5.0, units="km/s")
    ),
    r"origin: found \[1, 0\], was not stated": lambda folder: replace(
        job_of(folder), description=Description(dx=5.0, origin=(1, 0))
    ),
    "licence: found CC0, was ;": lambda folder: replace(
        job_of(folder), description=Description(dx=5.0, licence="CC0")
    ),
    "depth: found [0-9a-f]+, was [0-9a-f]+": lambda folder: job_of(
        folder, fields={"depth": np.arange(11) + 1}
    ),
    "keys: found [0-9a-f]+, was not stated": lambda folder: job_of(folder, keys=[*"abcdefghijk"]),
    "model1.npy: axes: found n1xz, was n1zx": lambda folder: replace(
        job_of(folder), models=open_models(folder, order="xz")
    ),
    "model1.npy: ground: found .*12.5": lambda folder: replace(
        job_of(folder), models=open_models(folder, ground=Ground(dz_m=12.5))
    ),
    "model1.npy: z_up: found True, was False": lambda folder: replace(
        job_of(folder), models=open_models(folder, z_positive="up")
    ),
    "model1.npy: no_data: found nan, was not stated": lambda folder: replace(
        job_of(folder), models=open_models(folder, no_data="nan")
    ),
    "mask: found -1, was not stated": lambda folder: replace(
        job_of(folder), description=Description(dx=5.0, mask=-1)
    ),
    "found 1 files and arrays, were 3": lambda folder: job_of(folder / "model1.npy"),
}


@pytest.mark.parametrize("said", FACTS)
def test_resuming_requires_every_stored_fact_to_be_the_same(
    folder: Path, tmp_path: Path, said: str
) -> None:
    target = tmp_path / "out.vlat"
    begun(folder, target, fields={"depth": np.arange(11)})
    make = FACTS[said]
    job = make(folder)
    if "depth" not in job.fields and len(job) == 11:
        job = replace(job, fields={"depth": np.arange(11)})
    with pytest.raises(OptionError, match=f"started with other models or options: {said}"):
        compress_job(job, target, resume=True)


def test_another_dtype_or_version_is_named(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "out.vlat"
    begun(folder, target)
    monkeypatch.setattr("velcodec.files.plans.__version__", "99.0")
    with pytest.raises(OptionError, match=r"options: velcodec: found 99\.0, was "):
        compress_job(job_of(folder), target, resume=True)
    monkeypatch.undo()
    np.save(folder / "model3.npy", np.load(folder / "model3.npy").astype("f8"))
    monkeypatch.setattr(job_module, "MODELS_AT_ONCE", 2)
    with pytest.raises(OptionError, match=r"model3\.npy: dtype: found <f8, was <f4"):
        compress_job(job_of(folder), target, resume=True)


def test_a_bounded_archive_does_not_resume_as_lossless(folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.vlat"
    bounded = replace(job_of(folder), coding=Coding(Target(max_error=400.0), decoder="tiny"))
    with pytest.raises(InterruptedJobError):
        compress_job(bounded, target, on_progress=Stop(4))
    with pytest.raises(OptionError, match=r"lossless: found True, was False"):
        compress_job(job_of(folder), target, resume=True)


def with_file(part: Part, **values: object) -> Part:
    return replace(part, **values)  # type: ignore[arg-type]


PLANNED: dict[str, Callable[[Job], Job]] = {
    "a long array of the user's": lambda job: replace(
        job, description=replace(job.description, user={"depths": np.arange(5000) // 4000})
    ),
    "a great integer of the user's": lambda job: replace(
        job, description=replace(job.description, user={"survey": np.int64(2**60 + 1)})
    ),
    "a long column of the description's": lambda job: replace(
        job, description=replace(job.description, fields={"depth": np.arange(5000) // 4000})
    ),
    "a number instead of a text": lambda job: replace(job, fields={"line": [1, 2, *"3456789ab"]}),
    "a folder instead of its file": lambda job: replace(
        job, models=replace(job.models, listed=False, parts=job.models.parts[:1])
    ),
    "the array's own axes": lambda job: replace(
        job, models=replace(job.models, parts=(
            with_file(job.models.parts[0], own=(0, 1, 3, 2)), *job.models.parts[1:],
        )),
    ),
    "marks of absent samples": lambda job: replace(
        job, models=replace(job.models, parts=(
            with_file(job.models.parts[0], marks=Marks((0.0,))), *job.models.parts[1:],
        )),
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", PLANNED)
def test_plans_differ_whenever_models_would(folder: Path, what: str) -> None:
    job = job_of(folder, fields={"line": [*"123456789ab"]}).with_hashes()
    others = {"user": {"depths": np.arange(5000) // 3000, "survey": np.int64(2**60)}}
    if "user" in what:
        name = "depths" if "long" in what else "survey"
        job = replace(job, description=replace(job.description, user={name: others["user"][name]}))
    if "description" in what:
        column = {"depth": np.arange(5000) // 3000}
        job = replace(job, description=replace(job.description, fields=column))
    if "folder" in what:
        first = replace(job.models, parts=job.models.parts[:1])
        job = replace(job, models=first, fields={})
    plan, other = job.plan(), PLANNED[what](job).plan()
    assert unpack_plan(pack_plan(plan), "plan") == job.plan()
    with pytest.raises(OptionError, match=r"out: was started with other models or options: \S"):
        check_same(plan, other, "out", range(11))


def test_another_encoder_makes_another_plan(
    folder: Path, tmp_path: Path, tiny_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(tiny_home, tmp_path / "own")
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "own"))
    encoder = registry.find("tiny").encoder_path
    encoder.write_bytes(b"one")
    job = job_of(folder).with_hashes()
    before = job.plan()
    encoder.write_bytes(b"another")
    with pytest.raises(OptionError, match=r"encoder: found [0-9a-f]+, was [0-9a-f]+"):
        check_same(before, job.plan(), "out", ())


def test_resuming_never_replaces_a_finished_archive(folder: Path, tmp_path: Path) -> None:
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


def test_work_started_as_another_process_finishes_is_not_lost(
    folder: Path, models: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other process finishes and removes its file between open and lock here."""
    target = tmp_path / "out.vlat"
    lock, seen = Unbuffered.lock, []

    def late(stream: Unbuffered) -> bool:
        if not seen:
            part_of(target).unlink()
        seen.append(stream.name)
        return lock(stream)

    monkeypatch.setattr(Unbuffered, "lock", late)
    compress_job(job_of(folder), target, force=True)
    assert len(seen) == 2
    check_whole(target, models)


def test_an_output_finished_meanwhile_is_an_error_before_any_work(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "out.vlat"
    lock = Unbuffered.lock

    def late(stream: Unbuffered) -> bool:
        target.write_bytes(b"of the other one")
        return lock(stream)

    monkeypatch.setattr(Unbuffered, "lock", late)
    monkeypatch.setattr(compress, "group_encoder", None)
    with pytest.raises(OutputExistsError, match=r"out\.vlat: output exists already"):
        compress_job(job_of(folder), target)
    assert target.read_bytes() == b"of the other one"
    assert not part_of(target).exists()


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


def test_spacing_keys_and_units_come_from_the_files(tmp_path: Path) -> None:
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


def test_every_block_keeps_the_budget(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_module, "MODELS_OF_BUDGET", 6)
    coding = Coding(Target(bytes_per_model=150), decoder="tiny")
    summary = compress_job(Job(open_models(folder), coding=coding), tmp_path / "m.vlat")
    assert summary.bytes <= 150 * 11


def test_a_full_disk_is_an_error_at_once_and_can_be_resumed(
    folder: Path, models: np.ndarray, tmp_path: Path
) -> None:
    """A limit on file size stands for a full disk."""
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
