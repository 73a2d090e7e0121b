"""No small file costs much time or memory, whatever it claims (docs/trust.md)."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import bombs
import pytest

SECONDS, MEGABYTES = 2.0, 300
SLACK = 2.5
"""Allowance for a busy machine."""

READ = (
    "headers_of_unknown_keys",
    "columns_of_models_one_by_one",
    "a_decoder_as_wide_as_may_be",
    "repair_of_sections_without_end_in_a_gap",
)
"""Cases that are valid, and read in little time and memory."""

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(), reason="only Linux tells what a process took"
)
for package in ("h5py", "zarr", "xarray"):
    pytest.importorskip(package)


@pytest.fixture(scope="module")
def found() -> dict[str, dict[str, Any]]:
    """The result of every case."""
    command = [sys.executable, str(Path(bombs.__file__))]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return {line["name"]: line for line in lines}


@pytest.mark.parametrize("name", bombs.CASES)
def test_a_small_hostile_file_gets_little_memory_and_time(
    name: str, found: dict[str, dict[str, Any]]
) -> None:
    assert name in found, "it took longer than a minute, or the process ended"
    one = found[name]
    assert one["seconds"] < SLACK * SECONDS
    assert one["MB"] < MEGABYTES
    if name in READ:
        assert one["error"] is None
    else:
        assert one["error"] is not None
        assert not one["error"].startswith("UNTYPED"), one["error"]
