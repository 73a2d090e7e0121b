"""`velcodec repair` saves what is intact, says what is not, and ends with a code that tells it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result

import velcodec
from velcodec.formats import errors
from velcodec.formats.container.reader import VlatReader

Run = Callable[..., Result]


@pytest.fixture
def archive(archive_bytes: bytes, tmp_path: Path) -> Path:
    path = tmp_path / "in.vlat"
    path.write_bytes(archive_bytes)
    return path


def spoil(path: Path, number: int) -> None:
    """Damage a record."""
    data = bytearray(path.read_bytes())
    page, entry, row = VlatReader(bytes(data)).locate(number)
    data[entry.records_at + int(page.places[row]) + 3] ^= 0x55
    path.write_bytes(data)


def test_an_archive_that_is_whole_is_copied(run: Run, archive: Path) -> None:
    result = run("repair", "in.vlat", "out.vlat")
    assert result.exit_code == 0
    assert result.stdout == "out.vlat: saved 3 models\nnothing was lost\n"
    whole = velcodec.decompress(archive.read_bytes())
    assert np.array_equal(velcodec.decompress(Path("out.vlat").read_bytes()), whole)


def test_what_was_lost_is_told_and_the_code_says_that_something_was(
    run: Run, archive: Path
) -> None:
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


def test_a_cut_archive_says_that_the_number_lost_is_not_known(run: Run, archive: Path) -> None:
    with VlatReader(archive) as reader:
        page, entry, row = reader.locate(2)
    archive.write_bytes(archive.read_bytes()[: entry.records_at + int(page.places[row])])
    result = run("repair", "in.vlat", "out.vlat")
    assert result.exit_code == 4
    assert "saved 2 models" in result.stdout
    assert "the end of in.vlat is gone: how many more models were lost is not known" in (
        result.stdout
    )
    assert "nothing was lost" not in result.stdout


def test_a_gap_in_the_numbers_of_shards_is_named(run: Run, archive: Path) -> None:
    assert run("split", "in.vlat", "shards", "--models-per-shard", 1).exit_code == 0
    for name in ("manifest.json", "shard-00001.vlat"):
        (Path("shards") / name).unlink()
    result = run("repair", "shards", "out.vlat")
    assert result.exit_code == 4
    assert "lost 1 file: shard-00001.vlat" in result.stdout
    assert "nothing was lost" not in result.stdout


def test_of_many_missing_shards_the_first_are_named(run: Run, archive: Path) -> None:
    Path("shards").mkdir()
    archive.rename("shards/shard-99999.vlat")
    (Path("shards") / "shard-999999999.vlat").write_bytes(b"no shard")
    result = run("repair", "shards", "out.vlat")
    assert result.exit_code == 4
    assert "saved 3 models" in result.stdout
    assert "lost 100,000 files: shard-00000.vlat, shard-00001.vlat, " in result.stdout
    assert "shard-00008.vlat" not in result.stdout


def test_figures_come_as_json(run: Run, archive: Path) -> None:
    spoil(archive, 0)
    result = run("repair", "in.vlat", "out.vlat", "--json")
    assert result.exit_code == 4
    found = json.loads(result.stdout)
    assert found["saved"] == 2
    assert found["lost"] == [[0, 1]]
    assert (found["lost_models"], found["whole"]) == (1, False)


def test_what_cannot_be_saved_is_refused(run: Run, archive: Path) -> None:
    archive.write_bytes(b"nothing" * 100)
    result = run("repair", "in.vlat", "out.vlat")
    assert result.exit_code == errors.RepairError.exit_code
    assert result.stderr.startswith("velcodec: error: in.vlat: ")
    assert result.stderr.count("\n") == 1
    assert not Path("out.vlat").exists()


def test_another_version_is_refused_unless_its_byte_is_said_to_be_damaged(
    run: Run, archive: Path
) -> None:
    data = bytearray(archive.read_bytes())
    data[8] = 77
    archive.write_bytes(data)
    assert run("repair", "in.vlat", "out.vlat").exit_code == errors.VersionError.exit_code
    assert run("repair", "in.vlat", "out.vlat", "--any-version").exit_code == 0
