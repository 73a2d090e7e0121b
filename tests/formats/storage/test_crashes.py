"""Whatever stops a writer, either the old or the new file is complete: full disk, kill, second
writer.

Every version of a file repeats its own number throughout, so that a mixture would be seen.
"""

from __future__ import annotations

import os
import random
import resource
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builders import header

from velcodec.formats.container.append import append_to
from velcodec.formats.container.reader import VlatReader
from velcodec.formats.container.shards import (
    MANIFEST,
    Shard,
    read_manifest,
    shard_name,
    write_manifest,
)
from velcodec.formats.container.writer import VlatWriter
from velcodec.formats.errors import LockedError, OutputExistsError, OutputPathError
from velcodec.formats.files.form import Form
from velcodec.formats.files.writing import open_folder_sink, open_sink, split_files
from velcodec.formats.storage.atomic import atomic_write
from velcodec.formats.storage.source import ByteSource

EACH = 3
"""Records of a version, and of an addition."""

FORM = Form(EACH, 4, 5, "nzx", "<f8")


def payloads(version: int) -> list[bytes]:
    """Records that state their version; long and short ones, so that versions differ in size."""
    return [bytes([version % 251]) * (version * 37 % 900 + 9 * i) for i in range(EACH)]


# Writers: (target, version) to a file or folder, and back to what must be of one version.


def write_archive(path: Path, version: int) -> None:
    with atomic_write(path, force=True) as stream:
        writer = VlatWriter(stream, header())
        writer.add_many(payloads(version), [f"{version} {i}" for i in range(EACH)])
        writer.close()


def add_to_archive(path: Path, version: int) -> None:
    with append_to(path) as writer:
        writer.add_many(payloads(version), [f"{version} {i}" for i in range(EACH)])


def write_shard_list(folder: Path, version: int) -> None:
    shards = [Shard(shard_name(i), version, 9 * version) for i in range(version % 5 + 1)]
    write_manifest(folder, shards, force=True)


def write_npy(path: Path, version: int) -> None:
    with open_sink(path, FORM, force=True) as sink:
        sink.add(np.full((EACH, 4, 5), float(version)))


def write_npy_folder(folder: Path, version: int) -> None:
    with open_folder_sink(folder, split_files(FORM, per_file=2, name="m{}.npy")) as sink:
        sink.add(np.full((EACH, 4, 5), float(version)))


def check_versions(path: Path) -> list[int]:
    """The versions in an archive, each complete; an unfinished addition does not count."""
    with VlatReader(path) as reader:
        found, keys = list(reader.payloads()), reader.keys or ()
    versions = [int(key.split()[0]) for key in keys[::EACH]]
    assert found == [one for version in versions for one in payloads(version)]
    assert list(keys) == [f"{version} {i}" for version in versions for i in range(EACH)]
    return versions


def check_shard_list(folder: Path) -> int:
    source = ByteSource(folder / MANIFEST)
    shards = read_manifest(source)
    source.close()
    version = shards[0].models
    assert [(s.name, s.models, s.bytes) for s in shards] == [
        (shard_name(i), version, 9 * version) for i in range(version % 5 + 1)
    ]
    return version


def litter(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name.endswith(".partial")]


# --- a full disk ----------------------------------------------------------------------------------


@contextmanager
def files_up_to(size: int) -> Iterator[None]:
    """No file can grow beyond `size` bytes: the write that would exceed it fails."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


FULL = {
    "archive": (write_archive, "a.vlat", 1),
    "addition": (add_to_archive, "a.vlat", 2),
    "manifest": (write_shard_list, "", 3),
    "array": (write_npy, "a.npy", 1),
}


@pytest.mark.parametrize("what", FULL)
def test_a_disk_full_at_any_byte_leaves_the_old_file(tmp_path: Path, what: str) -> None:
    write, name, version = FULL[what]
    (write_archive if what == "addition" else write)(tmp_path / name, 4)
    target = tmp_path / (name or MANIFEST)
    old = target.read_bytes()
    write(tmp_path / name, version)
    new = target.read_bytes()
    target.write_bytes(old)
    first = len(old) if what == "addition" else 0
    for size in range(first, len(new), 1 if len(new) - first < 300 else 7):
        with files_up_to(size), pytest.raises((OSError, OutputPathError)):
            write(tmp_path / name, version)
        assert target.read_bytes() == old
    assert litter(tmp_path) == []
    write(tmp_path / name, version)
    assert target.read_bytes() == new


def test_a_folder_that_does_not_fit_does_not_appear(tmp_path: Path) -> None:
    for size in range(0, 300, 20):
        with files_up_to(size), pytest.raises((OSError, OutputPathError)):
            write_npy_folder(tmp_path / "out", 1)
        assert list(tmp_path.iterdir()) == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 32 KiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=32k", "tmpfs", str(disk)]
    try:
        done = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        done = False
    if not done:
        pytest.skip("file systems cannot be mounted here")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_disk_without_room_keeps_the_old_file_and_is_left_as_it_was(small_disk: Path) -> None:
    path = small_disk / "a.vlat"
    write_archive(path, 1)
    old = path.read_bytes()
    (small_disk / "other").write_bytes(bytes(24 << 10))
    used = os.statvfs(small_disk).f_bavail
    for write in (write_large, add_large):
        with pytest.raises((OSError, OutputPathError), match="No space left on device"):
            write(path)
        assert path.read_bytes() == old
        assert os.statvfs(small_disk).f_bavail == used
    add_to_archive(path, 2)
    assert check_versions(path) == [1, 2]


def write_large(path: Path) -> None:
    with atomic_write(path, force=True) as stream:
        writer = VlatWriter(stream, header())
        writer.add(bytes(9000), "large")
        writer.close()


def add_large(path: Path) -> None:
    with append_to(path) as writer:
        writer.add(bytes(9000), "large")


# --- a kill ---------------------------------------------------------------------------------------


def killed(work: Callable[[int], Any], draw: random.Random) -> None:
    """Run `work` on 0, 1, ... in a process, and kill it at a random moment of the first few."""
    told, tell = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            number = 0
            while True:
                work(number)
                os.write(tell, b".")
                number += 1
        finally:
            os._exit(1)
    began = time.monotonic()
    for _ in range(draw.randrange(3)):
        os.read(told, 1)
    time.sleep(draw.random() * min(0.02, 2 * (time.monotonic() - began) + 0.002))
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status), "the work failed before it was killed"
    os.close(told)
    os.close(tell)


KILLS = pytest.mark.parametrize(
    "kills", [pytest.param(25, id="few"), pytest.param(200, id="many", marks=pytest.mark.slow)]
)


@KILLS
def test_a_killed_writer_leaves_the_old_archive_or_the_new_one(tmp_path: Path, kills: int) -> None:
    path, draw = tmp_path / "a.vlat", random.Random(1)
    write_archive(path, 0)
    seen = set()
    for kill in range(kills):
        killed(lambda n, kill=kill: write_archive(path, 1000 * kill + n), draw)
        seen.update(check_versions(path))
        for name in litter(tmp_path):
            (tmp_path / name).unlink()
        assert [one.name for one in tmp_path.iterdir()] == ["a.vlat"]
    assert len(seen) > kills // 3


@KILLS
def test_a_killed_addition_is_complete_or_absent(tmp_path: Path, kills: int) -> None:
    path, draw = tmp_path / "a.vlat", random.Random(2)
    write_archive(path, 0)
    count = 1
    for _ in range(kills):
        killed(lambda n, count=count: add_to_archive(path, count + n), draw)
        versions = check_versions(path)
        assert versions == list(range(len(versions)))
        assert len(versions) >= count
        count = len(versions)
    assert count > kills // 3


@KILLS
def test_a_manifest_is_the_old_one_or_the_new_one_when_its_writer_is_killed(
    tmp_path: Path, kills: int
) -> None:
    draw = random.Random(3)
    write_shard_list(tmp_path, 1)
    seen = set()
    for kill in range(kills):
        killed(
            lambda n, kill=kill: write_shard_list(tmp_path, 1000 * kill + n + 1),
            draw,
        )
        seen.add(check_shard_list(tmp_path))
    assert len(seen) > kills // 3


# --- two writers ----------------------------------------------------------------------------------


def together(*work: Callable[[], int]) -> list[int]:
    """What each piece of work returns (0 to 200), each run in a process of its own, all at once."""
    children = []
    for one in work:
        child = os.fork()
        if child == 0:
            code = 255
            try:
                code = one()
            finally:
                os._exit(code)
        children.append(child)
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]


def test_two_simultaneous_replacements_leave_the_file_of_one(tmp_path: Path) -> None:
    path = tmp_path / "a.vlat"
    write_archive(path, 0)

    def replace(first: int) -> int:
        for version in range(first, first + 60):
            write_archive(path, version)
        return 0

    def watch() -> int:
        end = time.monotonic() + 0.3
        while time.monotonic() < end:
            check_versions(path)
        return 0

    assert together(lambda: replace(1000), lambda: replace(2000), watch) == [0, 0, 0]
    assert check_versions(path)[0] in (1059, 2059)
    assert litter(tmp_path) == []


def test_of_simultaneous_writers_of_a_new_file_one_succeeds(tmp_path: Path) -> None:
    for trial in range(10):
        path = tmp_path / f"{trial}.vlat"

        def write(version: int, path: Path = path) -> int:
            try:
                with atomic_write(path) as stream:
                    writer = VlatWriter(stream, header())
                    writer.add_many(payloads(version), [f"{version} {i}" for i in range(EACH)])
                    writer.close()
            except OutputExistsError:
                return 1
            return 0

        codes = together(*[lambda version=v: write(version) for v in range(4)])
        assert sorted(codes) == [0, 1, 1, 1]
        assert check_versions(path) == [codes.index(0)]


def test_additions_of_two_processes_follow_one_another(tmp_path: Path) -> None:
    path = tmp_path / "a.vlat"
    write_archive(path, 0)

    def add(first: int) -> int:
        for version in range(first, first + 20):
            while True:
                try:
                    add_to_archive(path, version)
                    break
                except LockedError:
                    time.sleep(0.001)
        return 0

    assert together(lambda: add(100), lambda: add(200)) == [0, 0]
    versions = check_versions(path)
    assert sorted(versions[1:]) == [*range(100, 120), *range(200, 220)]
    for first in (100, 200):
        assert [v for v in versions if first <= v < first + 20] == list(range(first, first + 20))
