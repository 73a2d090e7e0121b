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

from .mixing import MOST_LOGIT, MOST_USES, ONE, SQUASH, STRETCH, WIDE, Int32, Mixing

FILE = "mixing-1.safetensors.zst"
"""In the package's data; never changed, as streams depend on it."""

PARTS = ("quiet", "like", "layered_miss", "smooth_miss")

LOGIT_UNIT = 24
"""Logits of counters are kept in so many units."""

USES_UNIT = 8
WEIGHT_UNIT = 512
SECOND_UNIT, REFINED_UNIT = 64, 64

Tensors = dict[str, NDArray[np.generic]]


def _kept_counters(counters: Int32) -> tuple[NDArray[np.int8], NDArray[np.uint8]]:
    used = counters & MOST_USES
    logits = STRETCH[counters >> WIDE].astype(np.int64)
    # Away from 0, so that what is restored is kept as the same.
    away = np.sign(logits) * -(-np.abs(logits) // LOGIT_UNIT)
    logits = np.where(used > 0, away, 0)
    grades = np.where(used > 0, used // USES_UNIT + 1, 0)
    return logits.astype(np.int8), grades.astype(np.uint8)


def _counters(logits: NDArray[Any], grades: NDArray[Any]) -> Int32:
    places = np.clip(logits.astype(np.int64) * LOGIT_UNIT, -MOST_LOGIT, MOST_LOGIT) + MOST_LOGIT
    chances = SQUASH[places].astype(np.int64) << WIDE
    uses = np.where(grades > 0, (grades.astype(np.int64) - 1) * USES_UNIT + USES_UNIT // 2, 0)
    found: Int32 = (chances + uses).astype(np.int32)
    return found


def kept(mixing: Mixing, part: str) -> Tensors:
    """The tensors of a part, in what a data file holds."""
    found: Tensors = {}
    for name in ("counters", "meanings"):
        logits, grades = _kept_counters(getattr(mixing, name))
        found[f"{part}.{name}"], found[f"{part}.{name}_uses"] = logits, grades
    found[f"{part}.weights"] = np.rint(mixing.weights / WEIGHT_UNIT).astype(np.int16)
    found[f"{part}.second"] = np.rint(mixing.second / SECOND_UNIT).astype(np.int16)
    found[f"{part}.refined"] = np.minimum(mixing.refined // REFINED_UNIT, ONE - 1).astype(np.uint16)
    return found


def restored(tensors: Mapping[str, NDArray[np.generic]], part: str, blank: Mixing) -> Mixing:
    """The inverse of `kept`, but for rounding: a new one, the rest as in `blank`."""

    def array(name: str) -> NDArray[Any]:
        return tensors[f"{part}.{name}"]

    return blank._replace(
        counters=_counters(array("counters"), array("counters_uses")),
        meanings=_counters(array("meanings"), array("meanings_uses")),
        weights=array("weights").astype(np.int32) * np.int32(WEIGHT_UNIT),
        second=array("second").astype(np.int32) * np.int32(SECOND_UNIT),
        refined=array("refined").astype(np.int32) * np.int32(REFINED_UNIT),
    )


@cache
def released() -> Mapping[str, NDArray[np.generic]]:
    """The tensors that streams begin with."""
    from safetensors.numpy import load

    packed = resources.files("velcodec").joinpath("data", FILE).read_bytes()
    return load(zstandard.ZstdDecompressor().decompress(packed))
