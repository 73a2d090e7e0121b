"""Where the golden corpus is, and what it decodes to; imports nothing of velcodec."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

GOLDEN = Path(__file__).parent
LATENTS, METADATA, SHARDS = (GOLDEN / name for name in ("latents", "metadata", "shards"))
WITH_SAMPLES = [GOLDEN / "exact", GOLDEN / "samples"]

TOLERANCE_M_S = 0.25
"""What renderings of bare latents may differ by, between machines and readers."""


def sha_of(array: np.ndarray) -> str:
    """Of an array with its dtype and shape."""
    head = f"{array.dtype.str} {array.shape} ".encode()
    return hashlib.sha256(head + np.ascontiguousarray(array).tobytes()).hexdigest()


def hashes() -> dict[str, Any]:
    """Of samples: by folder and name, one hash of all models together, or one for each (None for a
    model without samples).
    """
    return {
        f"{folder.name}/{name}": found
        for folder in WITH_SAMPLES
        for name, found in json.loads((folder / "hashes.json").read_text()).items()
    }


def renderings() -> dict[str, np.ndarray]:
    """Of latents: `name/number` at the native grid, `name/number/other` at another."""
    with np.load(LATENTS / "renderings.npz") as kept:
        return dict(kept)


def check_rendering(found: np.ndarray, kept: np.ndarray) -> float:
    """Same shape and dtype, and within the tolerance; the greatest difference in m/s."""
    assert found.shape == kept.shape
    assert found.dtype == kept.dtype
    scale = 1000.0 if kept.max() < 20 else 1.0
    difference = scale * np.abs(found.astype(np.float64) - kept.astype(np.float64)).max()
    rounding = 1.0 if kept.dtype.kind in "iu" else 0.0
    assert difference <= TOLERANCE_M_S + rounding
    return float(difference)


def told() -> dict[str, Any]:
    """What the archives of metadata say, as JSON."""
    return json.loads((METADATA / "told.json").read_text())


def jsonable(value: Any) -> Any:
    """Bytes in hexadecimal, what is not a number as None, NumPy's scalars as Python's."""
    if isinstance(value, bytes):
        return {"hex": value.hex()}
    if isinstance(value, dict):
        return {key: jsonable(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [jsonable(each) for each in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not np.isfinite(value) else value


def digest(value: Any) -> str:
    """Of JSON, for what is too long to be kept."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
