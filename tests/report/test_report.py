"""`velcodec evaluate --report`: every table, in three forms, for any decoder and data."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from velcodec.cli import main
from velcodec.decoder.registry import HOME_VARIABLE
from velcodec.metrics import psnr
from velcodec.report.coding import DEFAULT_BYTES, CodedFamily, budget_of
from velcodec.report.data import Family
from velcodec.report.figures import METRICS
from velcodec.report.markdown import markdown
from velcodec.report.super_resolution import METHODS, RESOLUTIONS

SECTIONS = [
    "Reconstruction, all models",
    "Reconstruction, by family",
    "Interpolation between two latents",
    "Super-resolution",
    "Storage",
    "Latent norm and quality",
    "Sine against ReLU at equal cost",
]


@pytest.fixture
def evaluate(folder: Path, tiny_home: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run `velcodec evaluate` in the folder of files and report."""
    monkeypatch.setenv(HOME_VARIABLE, str(tiny_home))
    monkeypatch.chdir(folder)

    def invoke(*arguments: str) -> Result:
        return CliRunner().invoke(main, ["evaluate", *arguments, "--decoder", "tiny"])

    return invoke


def test_every_table_is_there(folder: Path) -> None:
    text = (folder / "report" / "report.md").read_text()
    assert re.findall(r"^## (.*)$", text, re.M) == SECTIONS


def test_every_table_has_as_many_cells_in_every_row(folder: Path) -> None:
    text = (folder / "report" / "report.md").read_text()
    for block in re.findall(r"(?:^\|.*\n)+", text, re.M):
        assert len({line.count("|") for line in block.splitlines()}) == 1, block


def test_every_picture_is_there_and_shown(folder: Path) -> None:
    text = (folder / "report" / "report.md").read_text()
    shown = re.findall(r"\]\((.*\.png)\)", text)
    pictures = {path.name for path in (folder / "report").glob("*.png")}
    assert set(shown) == pictures
    assert len(pictures) == 5
    for name in pictures:
        assert (folder / "report" / name).read_bytes().startswith(b"\x89PNG")


def test_overall_and_family_figures_are_those_of_the_models(tables: dict[str, Any]) -> None:
    for coding in ("unquantised", "latents"):
        figures = tables["per_model"]["a"][coding]
        assert len(figures) == 2
        for metric in METRICS:
            values = [one[metric] for one in figures]
            found = tables["overall"][coding][metric]
            assert found["mean"] == pytest.approx(np.mean(values))
            assert (found["max"], found["min"]) == (max(values), min(values))
            assert tables["families"]["a"][coding][metric] == found


def test_super_resolution_has_every_resolution_and_method(tables: dict[str, Any]) -> None:
    rows = tables["super_resolution"]
    assert [(row["resolution"], row["family"]) for row in rows] == [
        (res, family) for res in RESOLUTIONS for family in ("flatvel_a", "all")
    ]
    for row in rows:
        assert set(METHODS) < set(row)
    assert rows[0]["nearest"]["mse"] == 0.0  # nothing is upsampled at the native grid
    assert rows[0]["lossless"]["mse"] == 0.0
    assert any(res % RESOLUTIONS[0] for res in RESOLUTIONS)  # a ratio that is not an integer


def test_super_resolution_reports_the_sizes_of_archives(tables: dict[str, Any]) -> None:
    for row in tables["super_resolution"]:
        assert list(row["bytes_per_model"]) == ["default", "lossless", "stored", "latents"]
        assert row["bytes_per_model"]["stored"] <= 200  # as in conftest.py


def test_stored_bytes_are_those_of_the_file_that_compress_writes(
    folder: Path, tables: dict[str, Any], evaluate: Any
) -> None:
    arguments = ["compress", "a.npy", "a.vlat", "--decoder", "tiny", "--device", "cpu"]
    written = CliRunner().invoke(main, [*arguments, "--latent-only", "--bytes-per-model", "200"])
    assert written.exit_code == 0, written.stderr
    assert tables["storage"]["files"][0]["bytes"] == (folder / "a.vlat").stat().st_size
    (folder / "a.vlat").unlink()


def test_renderings_are_what_the_figures_say(coded: CodedFamily) -> None:
    for coding in coded.codings.values():
        fine = coding.rendering(0, (24, 32))
        assert fine.shape == (24, 32)
        assert psnr(coded.family.models.m_s(0), coding.rendering(0)) > 20


def test_a_report_is_not_replaced_without_force(evaluate: Any) -> None:
    result = evaluate("a.npy", "--report", "report")
    assert result.exit_code == 60
    assert "report.md: output exists already" in result.stderr


def test_a_file_in_place_of_the_folder_is_refused(evaluate: Any) -> None:
    result = evaluate("--report", "a.npy")
    assert result.exit_code == 61
    assert "a.npy: is a file, expected a folder" in result.stderr


def test_an_unknown_generator_family_is_refused(evaluate: Any) -> None:
    result = evaluate("--report", "new", "--family", "flatvel_c")
    assert result.exit_code == 2
    assert "--family: found 'flatvel_c', expected one of flatvel_a, " in result.stderr


@pytest.mark.parametrize(
    "option", [["--models", "2"], ["--ablation-steps", "0"], ["--no-picture"], ["--force"]]
)
def test_report_options_need_a_report(option: list[str], evaluate: Any) -> None:
    result = evaluate("a.npy", *option)
    assert result.exit_code == 2
    assert f"{option[0]} needs --report FOLDER" in result.stderr


def test_without_files_and_report_there_is_nothing_to_do(evaluate: Any) -> None:
    result = evaluate()
    assert result.exit_code == 2
    assert "Missing argument 'IN...'" in result.stderr


def test_a_budget_that_cannot_be_kept_names_the_file(evaluate: Any) -> None:
    result = evaluate("a.npy", "--report", "small", "--bytes-per-model", "9", "--models", "1")
    assert result.exit_code == 50
    assert "a.npy: budget of 9 bytes" in result.stderr


def test_the_default_budget_grows_with_the_models(coded: CodedFamily) -> None:
    source = coded.family.source

    def family(nz: int, nx: int) -> Family:
        return Family("any", type(source)(np.zeros((1, nz, nx)), "nzx", source.dtype))

    assert budget_of(family(70, 70), None) == DEFAULT_BYTES
    assert budget_of(family(20, 24), None) == DEFAULT_BYTES
    assert budget_of(family(140, 140), None) == 4 * DEFAULT_BYTES
    assert budget_of(family(140, 140), 9.0) == 9.0


def test_unmeasured_tables_are_marked_or_omitted(tables: dict[str, Any]) -> None:
    text = markdown({**tables, "interpolation": None, "ablation": None}, {})
    assert "No family has two models." in text
    assert SECTIONS[-1] not in text
    assert ".png" not in text


def test_an_unreadable_later_file_does_not_lose_the_figures_of_the_first(evaluate: Any) -> None:
    np.save("even.npy", np.full((8, 8), 2000.0))
    result = evaluate("even.npy", "absent.npy", "--device", "cpu")
    assert result.exit_code == 14
    assert [line.split()[0] for line in result.stdout.splitlines()] == ["file", "even.npy"]
    assert result.stderr == "velcodec: error: absent.npy: No such file or directory\n"
