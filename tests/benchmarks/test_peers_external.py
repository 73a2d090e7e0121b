"""Figures of programs that run elsewhere, and the images that they are given."""

from __future__ import annotations

import csv
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from benchmarks.peers import images
from benchmarks.peers.__main__ import main
from benchmarks.peers.base import Models, Setting
from benchmarks.peers.budgets import ELSEWHERE, best_external
from benchmarks.peers.external import (
    MARK,
    External,
    ExternalFileError,
    read_external,
    write_external,
)
from benchmarks.peers.images import ProgramError, TooManyLevelsError, images_of, to_pgm
from velcodec import synth
from velcodec.metrics import PSNR_CAP

HEADER = "file,codec,setting,bytes_per_model,psnr_db\n"

ROWS = [
    External("layered", "other", Setting("lossless"), 70.25),
    External("layered", "other", Setting("bound", 12.5), 40.0, 51.5),
    External("layered", "other", Setting("lossy"), 30.0, 44.25),
]


@pytest.fixture(scope="module")
def layered() -> Models:
    """Three layered models in whole m/s, of fewer than 256 velocities."""
    models = synth.draw("flatvel_a", 3, 0, 3).render(40, 36).numpy()
    return np.rint(models).astype(np.float32)


def _file(folder: Path, models: Models) -> Path:
    path = folder / "layered.npy"
    np.save(path, models)
    return path


def _run(models: Path, *options: str) -> None:
    main([str(models), "--out", str(models.parent), "--only", "stack", *options])


def test_rows_read_back_as_they_were_written(tmp_path: Path) -> None:
    write_external(tmp_path / "rows.csv", ["a program", "a date"], ROWS)
    assert read_external(tmp_path / "rows.csv") == ROWS


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("file,codec,setting,bytes\n", "columns"),
        ("", "columns"),
        (HEADER + "# a comment\n\na,b,lossless,1\n", "line 4: found 4 fields, expected 5"),
        (HEADER + "a,b,lossless,none,\n", "line 2: bytes_per_model"),
        (HEADER + "a,b,lossless,-3,\n", "line 2: bytes_per_model"),
        (HEADER + "a,b,about 10,3,\n", "line 2: setting"),
        (HEADER + "a,b,10,3,nan\n", "line 2: psnr_db"),
        (HEADER + "a,b,lossy,3,\n", "line 2: psnr_db"),
        (HEADER + ",b,lossless,3,\n", "line 2: found no file or codec"),
    ],
)
def test_what_is_wrong_is_named_by_its_line(tmp_path: Path, text: str, place: str) -> None:
    (tmp_path / "rows.csv").write_text(text)
    with pytest.raises(ExternalFileError, match=place):
        read_external(tmp_path / "rows.csv")


def test_external_rows_stand_in_every_table_and_are_marked(
    tmp_path: Path, layered: Models, capsys: pytest.CaptureFixture[str]
) -> None:
    write_external(tmp_path / "rows.csv", ["a comment"], ROWS)
    _run(_file(tmp_path, layered), "--external", str(tmp_path / "rows.csv"), "--budgets", "32,64")
    printed = capsys.readouterr().out
    within, bounded, _ = printed.split("| bytes per model")
    assert f"| other ({MARK}) | 44.2 | 51.5 |" in within
    columns = bounded.splitlines()[0]
    assert columns == " within m/s | 1 | 5 | 10 | 12.5 | 25 | 50 | lossless |"
    assert f"| other ({MARK}) |  |  |  | 40.0 |  |  | 70.2 |" in bounded

    def rows(name: str) -> list[dict[str, str]]:
        found = list(csv.DictReader((tmp_path / name).open()))
        assert {row["measured"] for row in found if row["codec"] != "other"} == {"yes"}
        return [row for row in found if row["codec"] == "other"]

    assert [(row["asked_m_s"], row["measured"]) for row in rows("bounds.csv")] == [
        ("lossless", "no"),
        ("12.5", "no"),
    ]
    assert [(row["setting"], row["psnr_db"]) for row in rows("rates.csv")] == [
        ("12.5", "51.500"),
        ("lossy", "44.250"),
    ]
    assert ELSEWHERE in (tmp_path / "budgets.csv").read_text()


def test_figures_of_other_files_are_reported_as_left_out(
    tmp_path: Path, layered: Models, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "rows.csv").write_text(HEADER + "another,other,lossless,3,\n")
    _run(_file(tmp_path, layered), "--external", str(tmp_path / "rows.csv"), "--bounds-only")
    captured = capsys.readouterr()
    assert "external figures of another: left out" in captured.err
    assert "other (" not in captured.out


def test_the_best_external_row_within_a_budget_counts() -> None:
    found = best_external(ROWS, (20.0, 35.0, 64.0, 128.0))
    assert [(one.budget, one.psnr) for one in found] == [
        (35.0, 44.25),
        (64.0, 51.5),
        (128.0, PSNR_CAP),
    ]


def _from_pgm(data: bytes) -> np.ndarray:
    kind, size, most, pixels = data.split(b"\n", 3)
    assert (kind, most) == (b"P5", b"255")
    columns, rows = map(int, size.split())
    return np.frombuffer(pixels, np.uint8).reshape(rows, columns)


def test_exact_images_tell_all_samples_apart_and_count_the_list(layered: Models) -> None:
    found = images_of(layered, 0.0)
    assert found.solid is not None
    assert found.psnr == PSNR_CAP
    together = np.concatenate([image.pixels for image in found.single])
    assert np.array_equal(_from_pgm(to_pgm(found.solid.pixels)), together)
    assert found.solid.list_bytes == sum(image.list_bytes for image in found.single)
    for image, model in zip(found.single, layered, strict=True):
        levels = np.unique(model)
        assert np.array_equal(levels[image.pixels], model)
        # Each velocity is one of about 3,000 whole m/s, in any order.
        assert 0.5 * len(levels) < image.list_bytes <= 1.5 * len(levels)


def test_bounded_images_need_no_list_and_keep_the_bound(layered: Models) -> None:
    found = images_of(layered, 10.0)
    assert [image.list_bytes for image in found.single] == [0, 0, 0]
    for image, model in zip(found.single, layered, strict=True):
        one = image.pixels.astype(float)
        # Pixels are steps of one size above one velocity.
        step, base = np.polyfit(one.ravel(), model.ravel(), 1)
        assert np.abs(base + step * one - model).max() <= 12.0


def test_too_many_levels_are_refused() -> None:
    values = np.arange(300, dtype=np.float32).reshape(1, 20, 15) * 7 + 1500
    with pytest.raises(TooManyLevelsError, match="found 300 levels"):
        images_of(values, 0.0)


def _program(folder: Path, body: str) -> str:
    script = folder / "packer.py"
    script.write_text(f"import sys, zlib\nimage, packed = sys.argv[1:]\n{body}\n")
    return f"{sys.executable} {script}"


def _images(models: Path, *options: str | Sequence[str]) -> None:
    images.main([str(models), "--out", str(models.parent), *map(str, options)])


def test_a_programs_bytes_become_rows_of_one_by_one_and_of_all(
    tmp_path: Path, layered: Models
) -> None:
    program = _program(tmp_path, "open(packed, 'wb').write(bytes(100))")
    path = _file(tmp_path, layered)
    _images(path, "--last", "2", "--bounds", "0,10", "--program", program, "--name", "packer")
    exact = images_of(layered[1:], 0.0)
    assert exact.solid is not None
    listed = [image.list_bytes for image in exact.single]
    rows = read_external(tmp_path / "external.csv")
    assert [(row.codec, str(row.setting), row.bytes_per_model) for row in rows] == [
        ("packer", "lossless", 100 + sum(listed) / 2),
        ("packer, solid", "lossless", (100 + exact.solid.list_bytes) / 2),
        ("packer", "10", 100.0),
        ("packer, solid", "10", 50.0),
    ]
    assert rows[0].psnr is None
    assert rows[2].psnr == pytest.approx(images_of(layered[1:], 10.0).psnr, abs=0.01)
    assert len(list(tmp_path.glob("*.pgm"))) == 2 * 3


def test_a_program_that_fails_is_named(tmp_path: Path, layered: Models) -> None:
    program = _program(tmp_path, "sys.exit('no memory')")
    with pytest.raises(ProgramError, match=r"layered_lossless_000\.pgm: status 1, .*no memory"):
        _images(_file(tmp_path, layered), "--program", program)
