"""Several predictions blended by how well each did nearby, without a division for each."""

from __future__ import annotations

import numpy as np

from velcodec.formats.arrays import Int64
from velcodec.formats.compiled import njit
from velcodec.formats.entropy.magnitudes import bit_length

LEAST_BITS = 8
"""The least cost is shifted to so many bits."""

WEIGHTS = np.array([(1 << 20) // (s * s) for s in range(1, 1 << (LEAST_BITS + 2))], dtype=np.int64)
FARTHEST = 1 << 34


@njit(cache=True, allocates=False)
def blended(count: int, predictions: Int64, costs: Int64) -> int:
    """The mean of the first `count` predictions, weighted by the inverse square of their `costs`
    (at least 0): those over four times the least count nothing.
    """
    least = costs[0]
    for k in range(1, count):
        least = min(least, costs[k])
    shift = max(0, bit_length(least) - LEAST_BITS)
    base = predictions[0]
    weights, total = 0, 0
    for k in range(count):
        place = costs[k] >> shift
        if place < len(WEIGHTS):
            weight = WEIGHTS[place]
            weights += weight
            total += weight * min(max(predictions[k] - base, -FARTHEST), FARTHEST)
    return base + (2 * total + weights) // (2 * weights)
