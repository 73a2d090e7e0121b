"""Fuzzing within the tests: earlier findings, and some mutations of every seed.

Real campaigns are `make fuzz` (docs/trust.md).
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import calls
import pytest
import seeds
from mutations import mutations
from targets import TARGETS

HERE = Path(__file__).parent
REGRESSIONS = sorted(path for path in (HERE / "regressions").rglob("*") if path.is_file())
SUITE = ("container", "parts", "entropy", "volumes", "files")
MUTATIONS = 1500


@pytest.fixture(scope="module")
def corpus() -> dict[str, list[bytes]]:
    return seeds.seeds()


@pytest.mark.usefixtures("few_samples")
@pytest.mark.parametrize("path", REGRESSIONS, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_earlier_findings_stay_fixed(path: Path) -> None:
    (TARGETS | {"calls": calls.check})[path.parent.name](path.read_bytes())


@pytest.mark.parametrize("name", TARGETS)
def test_every_seed_is_read(name: str, corpus: dict[str, list[bytes]]) -> None:
    assert len(corpus[name]) > 3
    for data in corpus[name]:
        TARGETS[name](data)


@pytest.mark.parametrize("name", SUITE)
def test_mutated_seeds_are_read_or_refused(name: str, corpus: dict[str, list[bytes]]) -> None:
    for data in mutations(corpus[name], MUTATIONS, 1):
        TARGETS[name](data)


@pytest.fixture
def few_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls return few samples by default."""
    monkeypatch.setattr(calls.resolution, "LARGE_CELLS", calls.MOST_SAMPLES)


@pytest.mark.usefixtures("few_samples")
def test_calls_on_altered_archives_take_little_time_and_memory() -> None:
    found = calls.seeds()
    for data in (*found, *mutations(found, MUTATIONS // 3, 1)):
        calls.check(data)


@pytest.mark.slow
@pytest.mark.parametrize("name", SUITE)
def test_many_mutated_seeds_are_read_or_refused(name: str, corpus: dict[str, list[bytes]]) -> None:
    for data in mutations(corpus[name], 20 * MUTATIONS, 2):
        TARGETS[name](data)


@pytest.mark.slow
def test_a_short_campaign_finds_nothing(tmp_path: Path) -> None:
    pytest.importorskip("atheris")
    command = [sys.executable, str(HERE / "campaign.py"), str(tmp_path), "8000"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "in all         8,000 executions" in done.stdout
