"""Learn what streams of waves begin with: encode generated models, and let the models learn on.

    python -m velcodec.train.waves waves.safetensors --models 300 --seed 11

writes tensors as those of `velcodec/data/waves-1.safetensors`, which
`formats/sample_coding/dct/start.py` reads. No published model is read.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from safetensors.numpy import save

from velcodec.formats.sample_coding.dct.coder import FRACTION, quantise, short_integer, write
from velcodec.formats.sample_coding.dct.start import NAMES, Models, untrained
from velcodec.formats.sample_coding.dct.transform import analyse
from velcodec.train.smooth import kept, smooth_models

SHARES = {"style_a": 0.7, "style_b": 0.15, "geology": 0.15}
BOUNDS = 0.5, 120.0
"""m/s."""

STEPS = 1.3, 3.8
"""Quantiser steps over the bound."""

FINENESS = 12
"""Integers to a bound."""

RATES = (24, 16, 10, 6, 4, 2, 1)
"""How fast models learn, sweep by sweep."""

SPAN = 1 << 20


def learn(count: int, seed: int) -> Models:
    """Models after all sweeps."""
    rng = np.random.default_rng(seed)
    models_mm_s = (1000 * model for model in smooth_models(SHARES, count, seed))
    samples = [np.rint(model).astype(np.int64) for model in models_mm_s]
    models = untrained()
    for rate in RATES:
        for k in rng.permutation(len(samples)):
            bound = np.exp(rng.uniform(*np.log(BOUNDS)))
            codes = np.rint(samples[k] * (FINENESS / (1000 * bound))).astype(np.int64)
            codes += SPAN // 2 - int(codes.mean())
            step = short_integer(round(FINENESS * rng.uniform(*STEPS)))
            q = quantise(analyse((codes - SPAN // 2) << FRACTION), step)
            allowed = np.stack([codes - FINENESS, codes, codes + FINENESS], -1)
            write(q, step, allowed, SPAN, models, rate)
    return models


def main() -> None:
    """Write the tensors."""
    parser = argparse.ArgumentParser(description="learn what streams of waves begin with")
    parser.add_argument("out", type=Path)
    parser.add_argument("--models", type=int, default=300)
    parser.add_argument("--seed", type=int, default=11)
    arguments = parser.parse_args()
    models = learn(arguments.models, arguments.seed)
    learned = (models.weights, models.which[0], models.side[0])
    tensors = {name: kept(array) for name, array in zip(NAMES, learned, strict=True)}
    arguments.out.write_bytes(save(tensors | {"more": models.more[:, 0].astype(np.int32)}))


if __name__ == "__main__":
    main()
