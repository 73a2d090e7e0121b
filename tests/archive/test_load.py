"""Many threads and processes read one archive at random, and every result is right."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from checkers import layered

import velcodec
from velcodec.decoder import Decoder
from velcodec.formats.container import reader, shards
from velcodec.formats.container.shards import Shard, shard_name, write_manifest
from velcodec.formats.storage.locks import ForkableLock, lazy_property

THREADS, PROCESSES = 16, 8
ROUNDING = 0.01
"""m/s; what is rendered with other models may differ in the last float32 bit."""

HANGS_S = 60
"""A process that takes longer than this has stopped for good."""


@dataclass(frozen=True)
class Expected:
    """Where an archive is, and what is in it."""

    path: Path
    samples: np.ndarray
    latents: list[np.ndarray]
    large: list[np.ndarray]

    def check(self, archive: velcodec.Archive, draw: random.Random) -> None:
        """Read something, and compare it."""
        exact = len(self.samples)
        number = draw.randrange(exact + len(self.latents))
        which: Any = draw.choice([number, f"k{number}"])
        assert archive.metadata(which)["number"] == number
        if number < exact:
            some = sorted(draw.sample(range(exact), 3))
            assert np.array_equal(archive[which], self.samples[number])
            assert np.array_equal(archive.decode(some), self.samples[some])
            return
        row = number - exact
        np.testing.assert_allclose(archive[which], self.latents[row], atol=ROUNDING)
        found = archive.decode(which, self.large[row].shape)
        np.testing.assert_allclose(found, self.large[row], atol=ROUNDING)


@pytest.fixture(scope="module", params=["file", "folder"])
def expected(
    request: pytest.FixtureRequest, tiny_home: Path, tmp_path_factory: pytest.TempPathFactory
) -> Expected:
    """Ten parts of samples and one of latents: in a file with a page for each, or in shards."""
    folder = tmp_path_factory.mktemp("load")
    decoder = tiny_home / "decoders" / "tiny.safetensors"
    samples, fitted = layered(30, 13, 17), layered(3, 9, 8, seed=3)
    ways: list[tuple[np.ndarray, dict[str, Any]]] = [
        (samples[i : i + 3], {"lossless": True}) for i in range(0, 30, 3)
    ]
    ways.append((fitted, {"latent_only": True, "psnr": 15.0}))
    first, shards = 0, []
    for i, (models, how) in enumerate(ways):
        numbers = range(first, first + len(models))
        first += len(models)
        keys, fields = [f"k{n}" for n in numbers], {"number": list(numbers)}
        path = folder / (shard_name(i) if request.param == "folder" else "a.vlat")
        data = velcodec.compress(models, keys=keys, fields=fields, decoder=decoder, **how)
        if request.param == "folder":
            path.write_bytes(data)
            shards.append(Shard(path.name, len(models), len(data)))
        elif path.exists():
            with velcodec.append(path, decoder=decoder, **how) as archive:
                archive.add(models, keys=keys, fields=fields)
        else:
            path.write_bytes(data)
    if request.param == "folder":
        write_manifest(folder, shards)
        path = folder
    with velcodec.open(path, decoder=decoder) as archive:
        large = [archive.decode(n, (31, 29)) for n in range(30, 33)]
        return Expected(path, samples, [archive[n] for n in range(30, 33)], large)


@pytest.fixture(autouse=True)
def little_is_kept(monkeypatch: pytest.MonkeyPatch, tiny: Decoder) -> None:
    """So few pages and shards that threads push out each other's."""
    monkeypatch.setattr(reader, "PAGES_KEPT", 2)
    monkeypatch.setattr(shards, "SHARDS_OPEN", 2)


def read_by_threads(
    expected: Expected, archive: velcodec.Archive, more: Callable[[int], bool]
) -> int:
    """Reads that were right, by 16 threads together, each while there is `more` after so many."""

    def read(seed: int) -> int:
        draw, done = random.Random(seed), 0
        while more(done):
            expected.check(archive, draw)
            done += 1
        return done

    with ThreadPoolExecutor(THREADS) as pool:
        return sum(pool.map(read, range(THREADS)))


def in_processes(*work: Callable[[], None]) -> list[int]:
    """Exit codes of forked processes that do this at once, 0 where nothing was raised."""
    children = []
    for one in work:
        child = os.fork()
        if child == 0:
            code = 1
            try:
                one()
                code = 0
            finally:
                os._exit(code)
        children.append(child)
    return [_exit_code(child) for child in children]


def _exit_code(child: int) -> int:
    deadline = time.monotonic() + HANGS_S
    while time.monotonic() < deadline:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return -signal.SIGALRM


def load(expected: Expected, more: Callable[[int], bool]) -> None:
    """16 threads here and 8 processes, which are forked while the threads read: half of them with
    the archive that is open here, half with their own.
    """
    with velcodec.open(expected.path) as archive:

        def inherited() -> None:
            read_alone(expected, archive, more)

        def own() -> None:
            with velcodec.open(expected.path) as opened:
                read_alone(expected, opened, more)

        work = [inherited, own] * (PROCESSES // 2)
        found: list[int] = []
        reading = threading.Thread(
            target=lambda: found.append(read_by_threads(expected, archive, more))
        )
        reading.start()
        codes = in_processes(*work)
        reading.join()
        assert codes == [0] * PROCESSES
        assert found[0] >= THREADS


def read_alone(expected: Expected, archive: velcodec.Archive, more: Callable[[int], bool]) -> None:
    draw, done = random.Random(os.getpid()), 0
    while more(done):
        expected.check(archive, draw)
        done += 1


def test_16_threads_and_8_processes_read_what_is_there(expected: Expected) -> None:
    load(expected, lambda done: done < 8)


@pytest.mark.slow
def test_16_threads_and_8_processes_read_what_is_there_for_a_minute(expected: Expected) -> None:
    end = time.monotonic() + 60
    load(expected, lambda done: done < 1 or time.monotonic() < end)


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("two_threads")
def test_a_process_forked_after_rendering_on_two_threads_renders(expected: Expected) -> None:
    """OpenMP's threads are not there after a fork: the child must not wait for them."""
    with velcodec.open(expected.path) as archive:
        wide = archive.decode(30, (400, 400))

        def render() -> None:
            assert torch.get_num_threads() == 1
            found = archive.decode(30, (400, 400))
            np.testing.assert_allclose(found, wide, atol=ROUNDING)

        assert in_processes(render) == [0]


def test_a_process_forked_while_a_thread_encodes_can_encode(tiny: Decoder) -> None:
    models, begun = layered(2, 9, 8), threading.Event()
    how: dict[str, Any] = {"decoder": tiny, "latent_only": True, "psnr": 15.0}
    expected = velcodec.compress(models, **how)
    thread = threading.Thread(
        target=lambda: velcodec.compress(models, on_progress=lambda *_: begun.set(), **how)
    )
    thread.start()
    begun.wait()

    def encode() -> None:
        assert velcodec.compress(models, **how) == expected

    codes = in_processes(encode)
    thread.join()
    assert codes == [0]


class Slow:
    """Its value is ready when `done` is set; `begun` says that somebody waits for it."""

    def __init__(self) -> None:
        self.begun, self.done = threading.Event(), threading.Event()

    @lazy_property
    def value(self) -> int:
        self.begun.set()
        self.done.wait()
        return 7


def test_a_value_that_another_thread_works_out_is_had_in_a_forked_process() -> None:
    slow = Slow()
    thread = threading.Thread(target=lambda: slow.value)
    thread.start()
    slow.begun.wait()

    def take() -> None:
        slow.done.set()
        assert slow.value == 7

    codes = in_processes(take)
    slow.done.set()
    thread.join()
    assert codes == [0]
    assert vars(slow)["value"] == 7


def test_a_lock_that_another_thread_holds_is_free_in_a_forked_process() -> None:
    lock, held, done = ForkableLock(), threading.Event(), threading.Event()

    def hold() -> None:
        with lock:
            held.set()
            done.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()

    def take() -> None:
        with lock:
            pass

    codes = in_processes(take)
    done.set()
    thread.join()
    assert codes == [0]
    with lock:
        assert lock._lock.locked()
