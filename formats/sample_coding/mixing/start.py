"""What streams of mixed decisions begin with, learned from generated models by
`velcodec.train.mixing`, and how a data file keeps it.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any

import numpy as np
import zstandard
from numpy.typing import NDArray

from velcodec.formats.arrays import Float64, Int32
from velcodec.formats.sample_coding.mixing.mixer import (
    MOST_LOGIT,
    MOST_USES,
    REFINED_BITS,
    SQUASH,
    STRETCH,
    WIDE,
    Mixing,
)

FILE = "mixing-1.safetensors.zst"
"""In the package's data. Once archives hold such streams it is never changed."""

UNITS = {"counters": 224, "meanings": 192}
"""Logits are kept in such units, as how far they moved. Finer ones make a file thrice as large, and
streams 0.7 % shorter.
"""

LEAST_USES, NEVER = 16, -128
"""Counters that were used less are kept as such that never were."""

USES = 64
"""All others begin as if they had been used so often."""

PRIOR_UNIT = 1.0 / 256.0
"""Of prediction weights."""

WEIGHT_UNIT, SECOND_UNIT, REFINED_UNIT = 4096, 64, 8192

MOST_REFINED = (1 << REFINED_BITS) - 1

Tensors = dict[str, NDArray[np.generic]]


def _kept_counters(counters: Int32, first: Int32, unit: int) -> NDArray[np.int8]:
    moved = STRETCH[counters >> WIDE].astype(np.int64) - STRETCH[first >> WIDE]
    kept_moves = np.clip(np.rint(moved / unit), -127, 127)
    return np.where((counters & MOST_USES) >= LEAST_USES, kept_moves, NEVER).astype(np.int8)


def _counters(moved: NDArray[Any], first: Int32, unit: int) -> Int32:
    logits = moved.astype(np.int64) * unit + STRETCH[first >> WIDE]
    chances = SQUASH[np.clip(logits, -MOST_LOGIT, MOST_LOGIT) + MOST_LOGIT].astype(np.int64)
    found: Int32 = np.where(moved == NEVER, first, (chances << WIDE) + USES).astype(np.int32)
    return found


def kept(mixing: Mixing, part: str, blank: Mixing) -> Tensors:
    """The tensors of a part, in what a data file holds; `blank` is what it was before."""
    found: Tensors = {
        f"{part}.weights": np.rint(mixing.weights[:, mixing.columns] / WEIGHT_UNIT).astype(
            np.int16
        ),
        f"{part}.second": np.rint(mixing.second / SECOND_UNIT).astype(np.int16),
        f"{part}.refined": np.rint(mixing.refined / REFINED_UNIT).astype(np.uint16),
    }
    for name, unit in UNITS.items():
        counters, first = getattr(mixing, name).ravel(), getattr(blank, name).ravel()
        found[f"{part}.{name}"] = _kept_counters(counters, first, unit)
    return found


def restored(tensors: Mapping[str, NDArray[np.generic]], part: str, blank: Mixing) -> Mixing:
    """The inverse of `kept`, but for rounding: a new one, the rest as in `blank`."""

    def array(name: str) -> NDArray[Any]:
        return tensors[f"{part}.{name}"]

    def counters(name: str) -> Int32:
        first: Int32 = getattr(blank, name)
        return _counters(array(name).reshape(first.shape), first, UNITS[name])

    found = blank.copy()
    found.counters[:] = counters("counters")
    found.weights[:] = 0
    found.weights[:, blank.columns] = array("weights").astype(np.int32) * np.int32(WEIGHT_UNIT)
    return found._replace(
        meanings=counters("meanings"),
        second=array("second").astype(np.int32) * np.int32(SECOND_UNIT),
        refined=np.minimum(array("refined").astype(np.int32) * REFINED_UNIT, MOST_REFINED),
    )


@cache
def released_prior() -> Float64:
    """The weights that linear predictions are drawn to."""
    prior: Float64 = released_tensors()["prior"].astype(np.float64) * PRIOR_UNIT
    return prior


@cache
def released_tensors() -> Mapping[str, NDArray[np.generic]]:
    """The tensors that streams begin with."""
    from safetensors.numpy import load

    packed = resources.files("velcodec").joinpath("data", FILE).read_bytes()
    return load(zstandard.ZstdDecompressor().decompress(packed))
