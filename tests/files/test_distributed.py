"""Many processes write one archive, which is complete whatever happens to them."""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from checkers import layered

import velcodec
import velcodec.files.distributed
from velcodec.decoder import Decoder
from velcodec.encode.description import Description
from velcodec.encode.encode import Summary
from velcodec.files.distributed import PLAN, compress, connected
from velcodec.formats.container.journal import part_of
from velcodec.formats.container.shards import MANIFEST
from velcodec.formats.errors import (
    CorruptError,
    LockedError,
    MissingDecoderError,
    MissingExtraError,
    NonFiniteError,
    OptionError,
    OutputExistsError,
    WorkerError,
)

EXACT: dict[str, Any] = {"lossless": True, "decoder": "tiny", "device": "cpu"}


@pytest.fixture
def models() -> np.ndarray:
    return layered(26, 12, 17)


@pytest.fixture
def folder(tmp_path: Path, models: np.ndarray) -> Path:
    """The models in three files of 10, 10 and 6."""
    folder = tmp_path / "in"
    folder.mkdir()
    for i in range(3):
        np.save(folder / f"model{i + 1}.npy", models[10 * i : 10 * i + 10, None])
    return folder


@pytest.fixture
def client(tiny: Decoder) -> Iterator[Any]:
    """Two local processes that find the small decoder too."""
    with connected("local", 2) as client:
        yield client


def check_whole(path: Path, models: np.ndarray) -> None:
    with velcodec.open(path) as archive:
        assert len(archive) == len(models)
        assert all(np.array_equal(a, b) for a, b in zip(archive, models, strict=True))
        names = [f"model{i // 10 + 1}.npy" for i in range(len(models))]
        assert archive.fields["file"].tolist() == names


def test_shards_of_many_processes_are_one_archive(
    client: Any, folder: Path, models: np.ndarray, tmp_path: Path
) -> None:
    seen: list[tuple[int, int, str]] = []
    made = compress(
        folder, tmp_path / "out", client=client, models_per_shard=7,
        on_progress=lambda *told: seen.append(told), **EXACT,
    )  # fmt: skip
    assert [shard.models for shard in made.shards] == [7, 7, 7, 5]
    assert made.summary is not None
    assert (made.summary.models, made.kept) == (26, 0)
    assert made.summary.bytes == sum(
        path.stat().st_size for path in (tmp_path / "out").glob("*.vlat")
    )
    assert seen[-1] == (26, 26, "4 of 4 shards")
    check_whole(tmp_path / "out", models)
    assert not list((tmp_path / "out").glob("*.part"))
    with pytest.raises(OutputExistsError, match="holds an archive already"):
        compress(folder, tmp_path / "out", client=client, **EXACT)
    with pytest.raises(OutputExistsError, match="nothing to resume"):
        compress(folder, tmp_path / "out", client=client, resume=True, **EXACT)


@pytest.mark.slow
def test_the_worst_model_has_its_number_in_the_whole_archive(
    client: Any, folder: Path, models: np.ndarray, tmp_path: Path
) -> None:
    calm = np.full_like(models[:10, None], 2000.0)
    np.save(folder / "model1.npy", calm)
    bounded = {"max_error": 40.0, "decoder": "tiny", "device": "cpu"}
    made = compress(folder, tmp_path / "out", client=client, models_per_shard=10, **bounded)
    back = velcodec.decompress(tmp_path / "out").reshape(models.shape)
    error = np.square(back - np.concatenate([calm[:, 0], models[10:]])).mean(axis=(1, 2))
    assert error.argmax() >= 10
    assert made.summary is not None
    assert made.summary.worst_model == str(error.argmax())


def test_a_shards_summary_is_renumbered() -> None:
    one = Summary(5, 5, 90, 900, 30.0, 20.0, "3", 5.0, 5, 0, 0, 1.5, "4")
    assert one.from_number(10) == replace(one, worst_model="13", farthest_model="14")
    exact = replace(one, distance=None, farthest_model=None)
    assert exact.from_number(10).farthest_model is None


def test_a_cluster_here_takes_no_fixed_port() -> None:
    with socket.socket() as taken, warnings.catch_warnings():
        with suppress(OSError):  # somebody else has it: as good
            taken.bind(("", 8787))
            taken.listen()
        warnings.simplefilter("error")
        with connected("local", 1) as client:
            assert client.submit(abs, -3).result() == 3


def test_a_killed_worker_costs_only_time(
    client: Any, folder: Path, models: np.ndarray, tmp_path: Path
) -> None:
    victims = list(client.run(os.getpid).values())
    killed = threading.Event()

    def kill() -> None:
        deadline = time.monotonic() + 60
        while not list((tmp_path / "out").glob("*.part")) and time.monotonic() < deadline:
            time.sleep(0.002)
        os.kill(victims[0], signal.SIGKILL)
        killed.set()

    thread = threading.Thread(target=kill)
    thread.start()
    compress(folder, tmp_path / "out", client=client, models_per_shard=5, **EXACT)
    thread.join()
    assert killed.is_set()
    check_whole(tmp_path / "out", models)


def test_a_failed_shard_is_an_error_and_the_others_are_kept(
    client: Any, folder: Path, models: np.ndarray, tmp_path: Path
) -> None:
    bad = models[10:20, None].copy()
    bad[4, 0, 2, 3] = np.nan
    np.save(folder / "model2.npy", bad)
    with pytest.raises(NonFiniteError, match=r"model2\.npy: found nan at index \(4, 0, 2, 3\)"):
        compress(folder, tmp_path / "out", client=client, models_per_shard=10, retries=0, **EXACT)
    assert not (tmp_path / "out" / MANIFEST).exists()
    np.save(folder / "model2.npy", models[10:20, None])
    with pytest.raises(OutputExistsError, match="--resume"):
        compress(folder, tmp_path / "out", client=client, models_per_shard=10, **EXACT)
    made = compress(
        folder, tmp_path / "out", client=client, models_per_shard=10, resume=True, **EXACT
    )
    assert made.kept == 2
    check_whole(tmp_path / "out", models)


@pytest.mark.slow
def test_shards_of_another_plan_do_not_resume(
    client: Any, folder: Path, models: np.ndarray, tmp_path: Path
) -> None:
    target = tmp_path / "out"
    bad = models.copy()
    bad[14, 2, 3] = np.nan
    np.save(folder / "model2.npy", bad[10:20, None])
    options: dict[str, Any] = {"client": client, "models_per_shard": 10, "retries": 0} | EXACT
    with pytest.raises(NonFiniteError):
        compress(folder, target, **options)
    others: dict[str, dict[str, Any]] = {
        "models_per_shard: found 13, was 10": {"models_per_shard": 13},
        "lossless: found False, was True": {"lossless": False, "max_error": 400.0},
        "origin: found .*, was ": {"description": Description(origin=(5.0, 0.0))},
        "dx: found 20.0, was not stated": {"description": Description(dx=20.0)},
        "units: found km/s, was not stated": {"description": Description(units="km/s")},
        "licence: found CC0, was": {"description": Description(licence="CC0")},
        "decoder: found .*, was ": {"decoder": None},
    }
    for said, other in others.items():
        with pytest.raises(OptionError, match=f"other models or options: {said}"):
            compress(folder, target, resume=True, **{**options, **other})
    np.save(folder / "model1.npy", models[:10, None] + 1)
    with pytest.raises(OptionError, match=r"model1\.npy: has changed since"):
        compress(folder, target, resume=True, **options)
    np.save(folder / "model1.npy", models[:10, None])
    (target / PLAN).unlink()
    with pytest.raises(OptionError, match="without their plan"):
        compress(folder, target, resume=True, **options)
    np.save(folder / "model2.npy", models[10:20, None])
    compress(folder, target, force=True, **{**options, "models_per_shard": 13})
    check_whole(target, models)
    assert {path.name for path in target.iterdir()} == {
        MANIFEST, "shard-00000.vlat", "shard-00001.vlat",
    }  # fmt: skip
    assert not part_of(target).exists()


@pytest.mark.slow
@pytest.mark.parametrize("linked", [False, True])
def test_the_old_archive_stays_until_the_new_one_is_complete(
    client: Any, folder: Path, models: np.ndarray, tmp_path: Path, linked: bool
) -> None:
    target = tmp_path / "out"
    if linked:
        target.symlink_to("far", target_is_directory=True)
    options: dict[str, Any] = {"client": client, "models_per_shard": 10, "retries": 0} | EXACT
    compress(folder, target, **options)
    (target / "notes.txt").write_text("kept")
    newer = models + 1
    bad = newer.copy()
    bad[14, 2, 3] = np.nan
    for i in range(3):
        np.save(folder / f"model{i + 1}.npy", bad[10 * i : 10 * i + 10, None])
    with pytest.raises(NonFiniteError):
        compress(folder, target, force=True, **options)
    check_whole(target, models)
    with pytest.raises(OutputExistsError, match="--resume --force"):
        compress(folder, target, resume=True, **options)
    with pytest.raises(OutputExistsError, match="holds an archive already"):
        compress(folder, target, **options)
    np.save(folder / "model2.npy", newer[10:20, None])
    compress(folder, target, resume=True, force=True, **options)
    check_whole(target, newer)
    assert (target / "notes.txt").read_text() == "kept"
    assert target.is_symlink() is linked
    assert {path.name for path in tmp_path.iterdir()} == {
        "in", "out", *(["far"] if linked else []),
    }  # fmt: skip


@pytest.mark.parametrize("there", [True, False])
def test_a_mistyped_decoder_costs_nothing(
    client: Any, folder: Path, models: np.ndarray, tmp_path: Path, there: bool
) -> None:
    target = tmp_path / "out"
    if there:
        compress(folder, target, client=client, models_per_shard=10, **EXACT)
        before = {path.name: path.read_bytes() for path in target.iterdir()}
    options = {**EXACT, "lossless": False, "decoder": "tinny"}
    with pytest.raises(MissingDecoderError, match="decoder 'tinny' not found"):
        compress(folder, target, client=client, models_per_shard=10, force=there, **options)
    if there:
        assert {path.name: path.read_bytes() for path in target.iterdir()} == before
        check_whole(target, models)
    assert {path.name for path in tmp_path.iterdir()} == {"in", *(["out"] if there else [])}
    compress(folder, target, client=client, models_per_shard=20, force=there, **EXACT)
    check_whole(target, models)


@pytest.mark.parametrize("there", [True, False])
def test_a_second_process_replacing_a_folder_is_refused_before_any_work(
    folder: Path, tmp_path: Path, tiny: Decoder, there: bool
) -> None:
    target = tmp_path / "out"
    if there:
        target.mkdir()
        (target / "shard-00000.vlat").write_bytes(b"old")
    work = part_of(target) if there else target
    work.mkdir()
    (work / "shard-00001.vlat").write_bytes(b"of the first")
    handle = os.open(work, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    with pytest.raises(LockedError, match="another process is making shards in it"):
        compress(folder, target, client=None, force=True, **EXACT)
    os.close(handle)
    assert (work / "shard-00001.vlat").read_bytes() == b"of the first"


def test_a_shard_that_differs_from_the_manifest_is_an_error(
    client: Any, folder: Path, tmp_path: Path
) -> None:
    compress(folder, tmp_path / "out", client=client, models_per_shard=20, **EXACT)
    os.replace(tmp_path / "out" / "shard-00001.vlat", tmp_path / "out" / "shard-00000.vlat")
    with (
        velcodec.open(tmp_path / "out") as archive,
        pytest.raises(CorruptError, match=r"shard-00000\.vlat: found 6 models, expected 20"),
    ):
        archive[0]


def test_a_missing_scheduler_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(WorkerError, match="no scheduler answers"), connected("not an address"):
        pass
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(MissingExtraError, match=r"velcodec\[dask\]"), connected("local"):
        pass


def named(folder: Path, models: np.ndarray, *keys: list[str] | None) -> Path:
    """Files of three models each, with these keys."""
    folder.mkdir()
    for i, own in enumerate(keys):
        some = {} if own is None else {"keys": own}
        np.savez(folder / f"m{i}.npz", vp=models[3 * i : 3 * i + 3], **some)
    return folder


def test_a_key_in_two_files_is_refused_before_any_work(
    client: Any, models: np.ndarray, tmp_path: Path
) -> None:
    folder = named(tmp_path / "in", models, ["a", "b", "c"], ["d", "b", "e"])
    with pytest.raises(OptionError, match=r"m1\.npz:vp: key 'b': found it twice"):
        compress(folder, tmp_path / "out", client=client, models_per_shard=3, **EXACT)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_shards_have_keys_if_all_files_do(client: Any, models: np.ndarray, tmp_path: Path) -> None:
    folder = named(tmp_path / "in", models, ["a", "b", "c"], ["d", "e", "f"])
    compress(folder, tmp_path / "out", client=client, models_per_shard=3, **EXACT)
    with velcodec.open(tmp_path / "out") as archive:
        assert list(archive.keys) == ["a", "b", "c", "d", "e", "f"]
    folder = named(tmp_path / "in2", models, ["a", "b", "c"], None)
    compress(folder, tmp_path / "out2", client=client, models_per_shard=3, **EXACT)
    with velcodec.open(tmp_path / "out2") as archive:
        assert list(archive.keys) == ["0", "1", "2", "3", "4", "5"]
        assert np.array_equal(archive["4"], models[4])
