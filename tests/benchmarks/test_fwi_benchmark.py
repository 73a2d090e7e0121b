"""The inversion's benchmark: kept figures make the tables of the documentation."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest
from paths import DOCS

from benchmarks import fwi
from benchmarks.fwi_tables import rows_by_setting, table, thresholds, verdicts

PAGE = (DOCS / "inversion.md").read_text()
ROWS = fwi.kept_rows(DOCS / "inversion.jsonl")


def test_tables_of_the_guide_are_those_of_kept_figures() -> None:
    for said, rows in rows_by_setting(ROWS).items():
        for line in table(rows).splitlines():
            assert line in PAGE, said
    for line in [*verdicts(ROWS).splitlines(), *thresholds(ROWS).splitlines()]:
        assert line in PAGE


def test_a_model_with_kept_figures_is_not_inverted_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def one(*given: object) -> None:
        raise AssertionError(given)

    monkeypatch.setattr(fwi, "one", one)
    path = tmp_path / "kept.jsonl"
    row = {"name": "flatvel_a", "number": 0, "setting": asdict(fwi.Setting(noise=0.1))}
    path.write_text(json.dumps(row) + "\n")
    assert list(fwi.measured(("flatvel_a",), 1, fwi.Setting(noise=0.1), path)) == [row]
    with pytest.raises(AssertionError):
        list(fwi.measured(("flatvel_a",), 1, fwi.Setting(), path))
