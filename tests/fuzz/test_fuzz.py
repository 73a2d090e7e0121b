"""Fuzzing as far as it fits into the tests: what was found once, and some mutations of every seed.

Real campaigns are `make fuzz` (docs/trust.md).
"""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import seeds
from targets import TARGETS

HERE = Path(__file__).parent
REGRESSIONS = sorted(path for path in (HERE / "regressions").rglob("*") if path.is_file())
SUITE = ("container", "parts", "entropy", "files")
MUTATIONS = 1500
INTERESTING = (0, 1, 0x7F, 0x80, 0xFF)


@pytest.fixture(scope="module")
def corpus() -> dict[str, list[bytes]]:
    return seeds.seeds()


@pytest.mark.parametrize("path", REGRESSIONS, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_what_was_found_once_stays_mended(path: Path) -> None:
    TARGETS[path.parent.name](path.read_bytes())


@pytest.mark.parametrize("name", TARGETS)
def test_every_seed_is_read(name: str, corpus: dict[str, list[bytes]]) -> None:
    assert len(corpus[name]) > 3
    for data in corpus[name]:
        TARGETS[name](data)


def mutations(found: list[bytes], count: int, seed: int) -> Iterator[bytes]:
    """Seeds with bytes and bits changed, put in, taken out, doubled, and two of them joined."""
    chance = random.Random(seed)
    for _ in range(count):
        data = bytearray(chance.choice(found))
        for _ in range(chance.choice((1, 1, 2, 4, 8))):
            at = chance.randrange(len(data) + 1)
            match chance.randrange(6):
                case 0 if at < len(data):
                    data[at] ^= 1 << chance.randrange(8)
                case 1:
                    data[at : at + 1] = bytes([chance.choice(INTERESTING)])
                case 2:
                    data[at:at] = chance.randbytes(chance.randrange(1, 9))
                case 3:
                    del data[at : at + chance.randrange(1, 33)]
                case 4:
                    data[at:at] = data[at : at + chance.randrange(1, 65)]
                case _:
                    other = chance.choice(found)
                    data[at:] = other[chance.randrange(len(other) + 1) :]
        yield bytes(data)


@pytest.mark.parametrize("name", SUITE)
def test_mutated_seeds_are_read_or_refused(name: str, corpus: dict[str, list[bytes]]) -> None:
    for data in mutations(corpus[name], MUTATIONS, 1):
        TARGETS[name](data)


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
