"""A whole campaign: seeds, every target with its share of the executions, a table of counts.

python tests/fuzz/campaign.py FOLDER [EXECUTIONS]

The corpora in FOLDER grow and are reused; failures are kept there as `TARGET-crash-...`, and belong
in tests/fuzz/regressions/TARGET once they are fixed. The exit code is 1 if anything failed.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
EXECUTIONS = 1_000_000
SHARES = {"entropy": 0.3, "volumes": 0.1, "parts": 0.3, "files": 0.2, "container": 0.1}
CALLS = 0.3
"""Executions of the calls, as a fraction of those of the targets."""

ROUNDS = {"container": 10_000}
"""Executions of a process, 100,000 where nothing is said: the fuzzer's own memory grows by some
50 kB with each archive.
"""

LONGEST = {"container": 1536}
LIMITS = (
    "-timeout=20", "-rss_limit_mb=1024", "-malloc_limit_mb=512",
    "-len_control=0", "-print_final_stats=1", "-keep_seed=1", "-reduce_inputs=0",
)  # fmt: skip


def run(target: str, executions: int, folder: Path) -> tuple[int, int, str]:
    """Run a target. Returns executions done, exit code, and coverage.

    Runs in rounds, each in a process of its own.
    """
    total, code, about = 0, 0, ""
    most = ROUNDS.get(target, 100_000)
    for number in range(-(-executions // most)):
        done, code, about = run_once(target, min(most, executions - total), folder, number)
        total += done
        if code:
            break
    return total, code, about


def run_once(target: str, executions: int, folder: Path, number: int) -> tuple[int, int, str]:
    """One round."""
    corpus = folder / target
    corpus.mkdir(parents=True, exist_ok=True)
    regressions = HERE / "regressions" / target
    folders = [corpus, folder / "seeds" / target, *([regressions] if regressions.is_dir() else [])]
    command = [
        sys.executable, str(HERE / "fuzz.py"), target, *map(str, folders), f"-runs={executions}",
        f"-artifact_prefix={folder}/{target}-", f"-seed={number + 1}",
        f"-max_len={LONGEST.get(target, 8192)}", *LIMITS,
    ]  # fmt: skip
    log = folder / f"{target}-{number}.log"
    environment = os.environ | {"NUMBA_BOUNDSCHECK": "1", "NUMBA_CACHE_DIR": str(folder / "numba")}
    with log.open("wb") as stream:
        code = subprocess.run(
            command, stdout=stream, stderr=subprocess.STDOUT, check=False, env=environment
        )
    text = log.read_text(errors="replace")
    done = re.findall(r"stat::number_of_executed_units:\s*(\d+)", text)
    done = done or re.findall(r"^#(\d+)\s", text, flags=re.MULTILINE) or ["0"]
    covered = re.findall(r"cov: (\d+) ft: (\d+) corp: (\d+)", text)
    about = "{} edges, {} features, {} inputs kept".format(*covered[-1]) if covered else ""
    return int(done[-1]), code.returncode, about


def main(folder: Path, executions: int = EXECUTIONS) -> int:
    """Run every target. Returns the exit code."""
    subprocess.run([sys.executable, str(HERE / "seeds.py"), str(folder / "seeds")], check=True)
    failed, total = False, 0
    for target, share in SHARES.items():
        done, code, about = run(target, round(share * executions), folder)
        total += done
        failed |= code != 0
        fate = "" if code == 0 else ": FAILED"
        print(f"{target:10} {done:9,} executions, {about}{fate}", flush=True)
    print(f"{'in all':10} {total:9,} executions")
    return int(run_calls(round(CALLS * executions), folder) != 0 or failed)


def run_calls(executions: int, folder: Path) -> int:
    """Run the public calls, in a process of their own, after the targets. Returns the exit code."""
    log = folder / "calls.log"
    command = [sys.executable, str(HERE / "calls.py"), str(folder), str(executions)]
    with log.open("wb") as stream:
        code = subprocess.run(command, stdout=stream, check=False).returncode
    print(f"{'calls':10} {(log.read_text().splitlines() or ['FAILED'])[-1]}", flush=True)
    return code


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="a whole fuzzing campaign")
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    parser.add_argument("executions", type=int, nargs="?", default=EXECUTIONS)
    asked = parser.parse_args()
    sys.exit(main(asked.folder.resolve(), asked.executions))
