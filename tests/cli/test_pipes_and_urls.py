"""Where archives come from and go: URLs and pipes."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from checkers import figures, keys_of, layered
from click.testing import Result

import velcodec
from velcodec.formats.storage.retry import TIMEOUT_VARIABLE

Run = Callable[..., Result]


def test_every_command_reads_urls(run: Run, data: bytes) -> None:
    fsspec = pytest.importorskip("fsspec")
    fsspec.filesystem("memory").pipe("/far/a.vlat", data)
    url = "memory://far/a.vlat"
    try:
        assert figures(run("info", url, "--json"))["models"] == 12
        assert len(figures(run("ls", url, "--json"))["rows"]) == 12
        assert figures(run("verify", url, "--json"))["whole"] is True
        assert run("cat", url, "copy.vlat").exit_code == 0
        assert Path("copy.vlat").read_bytes() == data
        assert run("subset", url, "some.vlat", "--models", "3").exit_code == 0
        assert run("split", url, "shards").exit_code == 0
        assert run("decompress", url).stdout.startswith("a.npy: 12 x 9 x 14")
        assert run("preview", url, "--coefficients", "8").stdout.startswith("a.preview.npy: ")
        gone = run("ls", "memory://far/b.vlat")
        assert gone.exit_code == 14
        assert gone.stderr.startswith("velcodec: error: memory://far/b.vlat")
    finally:
        fsspec.filesystem("memory").rm("/far", recursive=True)


def test_a_server_that_never_answers_is_given_up_after_the_timeout(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsspec = pytest.importorskip("fsspec")
    never = threading.Event()
    memory = type(fsspec.filesystem("memory"))
    monkeypatch.setattr(memory, "info", lambda *_, **__: never.wait(20))
    try:
        for command in ("info", "ls", "verify", "decompress"):
            done = run("--timeout", "0.05", command, "memory://far/a.vlat")
            assert done.exit_code == 14
            assert "memory://far/a.vlat: no answer within 0.05 s (--timeout" in done.stderr
        assert TIMEOUT_VARIABLE not in os.environ
        monkeypatch.setenv(TIMEOUT_VARIABLE, "0.07")
        assert "within 0.07 s" in run("info", "memory://far/a.vlat").stderr
        assert "within 0.05 s" in run("--timeout", "0.05", "info", "memory://far/a.vlat").stderr
        assert os.environ[TIMEOUT_VARIABLE] == "0.07"
    finally:
        never.set()
    assert run("--timeout", "0", "info", "memory://far/a.vlat").exit_code == 2


def test_every_command_reads_a_pipe(run: Run, data: bytes) -> None:
    assert figures(run("info", "-", "--json", input=data))["models"] == 12
    assert len(figures(run("ls", "-", "--json", input=data))["rows"]) == 12
    assert figures(run("verify", "-", "--json", input=data))["whole"] is True
    assert run("cat", "-", "copy.vlat", input=data).exit_code == 0
    assert Path("copy.vlat").read_bytes() == data
    assert run("subset", "-", "some.vlat", "--models", "3", input=data).exit_code == 0
    assert run("split", "-", "shards", input=data).exit_code == 0
    assert run("preview", "-", "coarse.npy", "--coefficients", "8", input=data).exit_code == 0
    bad = run("info", "-", input=b"no archive")
    assert bad.exit_code == 20
    assert bad.stderr.startswith("velcodec: error: standard input: ")
    assert run("cat", "-", "-", "twice.vlat", input=data).exit_code == 2


def test_archives_go_down_pipes(run: Run, data: bytes) -> None:
    some = run("subset", "a.vlat", "-", "--models", "::4")
    assert some.exit_code == 0
    assert keys_of(some.stdout_bytes) == ["m0", "m4", "m8"]
    assert "3 models" in some.stderr
    assert run("cat", "a.vlat", "-").stdout_bytes == data
    result = run("decompress", "-", "piped.npy", input=some.stdout_bytes)
    assert result.stdout.startswith("piped.npy: 3 x 9 x 14")
    with velcodec.open(data) as archive:
        assert np.allclose(np.load("piped.npy"), archive[::4])


def test_a_pipe_without_a_target_is_a_usage_error(run: Run, data: bytes) -> None:
    for command in (["decompress", "-"], ["preview", "-", "--bytes", "20"]):
        result = run(*command, input=data)
        assert result.exit_code == 2
        assert "expected a target" in result.stderr
    assert run("decompress", "a.vlat", "--count", "3").exit_code == 2


def test_models_go_down_pipes(run: Run, data: bytes) -> None:
    shown = run("decompress", "a.vlat", "-")
    assert shown.exit_code == 0
    Path("out.npy").write_bytes(shown.stdout_bytes)
    assert np.load("out.npy").shape == (12, 9, 14)
    assert "12 x 9 x 14" in shown.stderr
    raw = run("decompress", "-", "-", "--format", "raw", input=data)
    assert np.allclose(
        np.frombuffer(raw.stdout_bytes, "<f4").reshape(12, 9, 14), np.load("out.npy")
    )
    for count in (["--count", "12"], []):
        piped = run("decompress", "-", "-", *count, input=data)
        assert piped.exit_code == 0
        Path("piped.npy").write_bytes(piped.stdout_bytes)
        assert np.allclose(np.load("piped.npy"), np.load("out.npy"))
    assert run("decompress", "a.vlat", "-", "--format", "hdf5").exit_code == 2


def test_compress_reads_a_pipe(run: Run, compress: Run) -> None:
    models = layered(3, 9, 14)
    np.save("in.npy", models)
    piped = compress("-", "-", "--lossless", input=Path("in.npy").read_bytes())
    assert piped.exit_code == 0, piped.stderr
    with velcodec.open(piped.stdout_bytes) as archive:
        assert np.array_equal(archive[:], models)
    more = Path("in.npy").read_bytes()
    Path("a.vlat").write_bytes(piped.stdout_bytes)
    result = run("append", "-", "a.vlat", "--decoder", "tiny", "--lossless", input=more)
    assert result.exit_code == 0, result.stderr
    with velcodec.open("a.vlat") as archive:
        assert len(archive) == 6
    assert compress("-", "b.vlat", "--dask", "local", input=more).exit_code == 2
    raw = compress("-", "c.vlat", "--lossless", "--shape", "3x9x14", input=models.tobytes())
    assert raw.exit_code == 0, raw.stderr
    assert sorted(path.name for path in Path.cwd().iterdir()) == ["a.vlat", "c.vlat", "in.npy"]
