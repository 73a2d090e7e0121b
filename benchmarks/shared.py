"""What several benchmarks do alike: take the time, and draw latents as a decoder expects them."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from velcodec.formats.latent_coding.tables import LatentTables


def seconds(work: Callable[[], object], runs: int = 9) -> float:
    """Seconds of the process: the best of some runs, after one that warms up."""
    found = []
    for _ in range(runs + 1):
        started = time.process_time()
        work()
        found.append(time.process_time() - started)
    return min(found[1:])


def drawn_coefficients(
    tables: LatentTables, classes: NDArray[np.integer], count: int, random: np.random.Generator
) -> NDArray[np.int32]:
    """Coefficients (count, D) drawn by the frequencies of these classes (D,); no escapes."""
    share = np.cumsum(tables.frequencies[classes][:, :-1].astype(np.float64), axis=-1)
    share /= share[:, -1:]
    drawn = random.random((count, len(classes), 1)) >= share
    return (drawn.sum(axis=-1) - tables.limit).astype(np.int32)
