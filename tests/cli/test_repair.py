"""`velcodec repair` saves intact models and reports losses, also in its exit code."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from builders import records_apart
from click.testing import Result

import velcodec
from velcodec.formats import errors
from velcodec.formats.container.reader import VlatReader

Run = Callable[..., Result]


@pytest.fixture
def archive(archive_bytes: bytes, tmp_path: Path) -> Path:
    """Every model is in a block of its own."""
    path = tmp_path / "in.vlat"
    with records_apart():
        velcodec.cat([archive_bytes], path)
    return path


def spoil(path: Path, number: int) -> None:
    """Damage a record."""
    data = bytearray(path.read_bytes())
    data[VlatReader(bytes(data)).locate(number).at + 3] ^= 0x55
    path.write_bytes(data)


def test_an_intact_archive_is_copied(run: Run, archive: Path) -> None:
    result = run("repair", "in.vlat", "out.vlat")
    assert result.exit_code == 0
    assert result.stdout == "out.vlat: saved 3 models\nnothing was lost\n"
    whole = velcodec.decompress(archive.read_bytes())
    assert np.array_equal(velcodec.decompress(Path("out.vlat").read_bytes()), whole)


def test_losses_are_reported_and_set_the_exit_code(run: Run, archive: Path) -> None:
    whole = velcodec.decompress(archive.read_bytes())
    spoil(archive, 1)
    result = run("repair", "in.vlat", "out.vlat")
    assert result.exit_code == 4
    assert "saved 2 models" in result.stdout
    assert "lost 1 model: numbers 1\n" in result.stdout
    with velcodec.open("out.vlat") as saved:
        assert list(saved.keys) == ["0", "2"]
        assert np.array_equal(saved["2"], whole[2])
    assert run("verify", "out.vlat").exit_code == 0


def test_a_truncated_archive_reports_that_more_may_be_lost(run: Run, archive: Path) -> None:
    with VlatReader(archive) as reader:
        at = reader.locate(2).at
    archive.write_bytes(archive.read_bytes()[:at])
    result = run("repair", "in.vlat", "out.vlat")
    assert result.exit_code == 4
    assert "saved 2 models" in result.stdout
    assert "the end of in.vlat is missing: more models may be lost" in result.stdout
    assert "nothing was lost" not in result.stdout


def test_a_gap_in_shard_numbers_is_named(run: Run, archive: Path) -> None:
    assert run("split", "in.vlat", "shards", "--models-per-shard", 1).exit_code == 0
    for name in ("manifest.json", "shard-00001.vlat"):
        (Path("shards") / name).unlink()
    result = run("repair", "shards", "out.vlat")
    assert result.exit_code == 4
    assert "lost 1 file: shard-00001.vlat" in result.stdout
    assert "nothing was lost" not in result.stdout


def test_the_first_of_many_missing_shards_are_named(run: Run, archive: Path) -> None:
    Path("shards").mkdir()
    archive.rename("shards/shard-99999.vlat")
    (Path("shards") / "shard-999999999.vlat").write_bytes(b"no shard")
    result = run("repair", "shards", "out.vlat")
    assert result.exit_code == 4
    assert "saved 3 models" in result.stdout
    assert "lost 100,000 files: shard-00000.vlat, shard-00001.vlat, " in result.stdout
    assert "shard-00008.vlat" not in result.stdout


def test_figures_are_printed_as_json(run: Run, archive: Path) -> None:
    spoil(archive, 0)
    result = run("repair", "in.vlat", "out.vlat", "--json")
    assert result.exit_code == 4
    found = json.loads(result.stdout)
    assert found["saved"] == 2
    assert found["lost"] == [[0, 1]]
    assert (found["lost_models"], found["whole"]) == (1, False)


def test_an_unsalvageable_archive_is_refused(run: Run, archive: Path) -> None:
    archive.write_bytes(b"nothing" * 100)
    result = run("repair", "in.vlat", "out.vlat")
    assert result.exit_code == errors.RepairError.exit_code
    assert result.stderr.startswith("velcodec: error: in.vlat: ")
    assert result.stderr.count("\n") == 1
    assert not Path("out.vlat").exists()


def test_another_version_is_refused_without_any_version(run: Run, archive: Path) -> None:
    data = bytearray(archive.read_bytes())
    data[8] = 77
    archive.write_bytes(data)
    assert run("repair", "in.vlat", "out.vlat").exit_code == errors.VersionError.exit_code
    assert run("repair", "in.vlat", "out.vlat", "--any-version").exit_code == 0
