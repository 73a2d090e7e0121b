"""Generated models of 70 x 70 per second, drawn and rendered, by family and number of threads.

`python benchmarks/generator.py [--device cuda] [FAMILY...]`; `--volumes`: seconds of one thread for
a volume of 128^3. Each figure is the best of several runs, because other work on the machine only
slows a run down. With one CPU thread the unit is CPU seconds, which other work affects least;
otherwise wall-clock seconds.
"""

from __future__ import annotations

import argparse
import time

import torch

from velcodec import synth

MODELS, VOLUMES = 128, 4
THREADS = {1: "one thread", 2: "two threads"}


def models_per_second(family: str, device: str, threads: int, runs: int) -> float:
    """Best of `runs` runs, after one that warms up."""
    clock = time.process_time if device == "cpu" and threads == 1 else time.perf_counter
    times = []
    for seed in range(runs + 1):
        started = clock()
        synth.draw(family, seed, 0, MODELS, device).render(70, 70).cpu()
        times.append(clock() - started)
    return MODELS / min(times[1:])


def seconds_per_volume(family: str, runs: int) -> float:
    """Best of `runs` runs, each the mean of a few volumes, drawn and rendered."""
    times = []
    for seed in range(runs):
        started = time.process_time()
        synth.volumes(family, VOLUMES, seed)
        times.append((time.process_time() - started) / VOLUMES)
    return min(times)


def main() -> None:
    """Print a markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("families", nargs="*", default=list(synth.FAMILIES))
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--volumes", action="store_true", help="time volumes instead")
    asked = parser.parse_args()
    if asked.volumes:
        torch.set_num_threads(1)
        print("| family | seconds of CPU |\n|---|---|")
        for family in synth.VOLUME_FAMILIES:
            print(f"| {family} | {seconds_per_volume(family, asked.runs):.3f} |")
        return
    print(f"| family | {' | '.join(THREADS.values())} | over the slowest |")
    print("|---" * (len(THREADS) + 2) + "|")
    speeds: dict[str, list[float]] = {family: [] for family in asked.families}
    for threads in THREADS:
        torch.set_num_threads(threads)
        for family, found in speeds.items():
            found.append(models_per_second(family, asked.device, threads, asked.runs))
    slowest = min(found[0] for found in speeds.values())
    for family, found in speeds.items():
        cells = " | ".join(f"{speed:.0f}" for speed in found)
        print(f"| {family} | {cells} | {found[0] / slowest:.1f} |")


if __name__ == "__main__":
    main()
