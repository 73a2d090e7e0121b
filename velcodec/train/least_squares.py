"""Learn what streams of least squares begin with: encode generated models, and let the weights
learn on.

    python -m velcodec.train.least_squares least-squares.safetensors --models 480 --seed 12

writes tensors as those of `velcodec/data/least-squares-1.safetensors`, which
`formats/sample_coding/prediction/start.py` reads. No published model is read.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from velcodec.formats.sample_coding.prediction.least_squares import Int64, write
from velcodec.formats.sample_coding.prediction.regression import (
    MOST_ORDER,
    NEIGHBOURS,
    PADDING,
    Float64,
)
from velcodec.formats.sample_coding.prediction.start import PRIOR_UNIT, Start, untrained
from velcodec.train.smooth import kept, smooth_models

SHARES = {"style_a": 0.5, "style_b": 0.25, "geology": 0.25}
STEPS_M_S, FINE_STEPS_M_S, FINE = (0.1, 120.0), (1e-4, 0.1), 0.25
"""Of the integers: usually, and of so many models, as those of floating point may be."""

RATES = (24, 16, 10, 6, 4, 2)
"""How fast weights learn, sweep by sweep."""


def codes_of(model: Float64, rng: np.random.Generator) -> Int64:
    """Integers from 0 on, in steps that suit some bound."""
    between = FINE_STEPS_M_S if rng.random() < FINE else STEPS_M_S
    codes = np.rint(model / np.exp(rng.uniform(*np.log(between)))).astype(np.int64)
    return codes - codes.min()


def prior_of(images: list[Int64]) -> NDArray[np.int16]:
    """The weights of linear prediction that suit all these images at once, each counting alike."""
    system, right = np.eye(MOST_ORDER), np.zeros(MOST_ORDER)
    for image in images:
        columns, inner = image.T.astype(np.float64), np.s_[PADDING:, PADDING:-PADDING]
        at = [np.roll(columns, (-dx, -dz), (0, 1))[inner].ravel() for dx, dz in NEIGHBOURS]
        wanted = columns[inner].ravel() - at[0]
        near = np.stack(at[1:]) - at[0]
        scale = max(float(np.square(near).mean()), 1.0)
        system += near @ near.T / scale
        right += near @ wanted / scale
    weights = np.linalg.solve(system, right)
    return np.rint(weights / PRIOR_UNIT).astype(np.int16)


def learn(count: int, seed: int) -> Start:
    """The start after all sweeps."""
    rng = np.random.default_rng(seed)
    samples = smooth_models(SHARES, count, seed)
    images = [codes_of(model, rng) for model in samples]
    start = untrained()._replace(prior=prior_of(images).astype(np.float64) * PRIOR_UNIT)
    for rate in RATES:
        size = 0
        for k in rng.permutation(len(samples)):
            codes = codes_of(samples[k], rng)
            size += len(write(codes, int(codes.max()) + 1, start, rate))
        print(f"rate {rate}: {size / len(samples):.1f} bytes a model", flush=True)
    return start


def main() -> None:
    """Write the tensors."""
    parser = argparse.ArgumentParser(description="learn what streams of least squares begin with")
    parser.add_argument("out", type=Path)
    parser.add_argument("--models", type=int, default=480)
    parser.add_argument("--seed", type=int, default=12)
    arguments = parser.parse_args()
    start = learn(arguments.models, arguments.seed)
    prior = np.rint(start.prior / PRIOR_UNIT).astype(np.int16)
    learned = {"weights": kept(start.weights), "signs": kept(start.signs)}
    arguments.out.write_bytes(save({**learned, "prior": prior}))


if __name__ == "__main__":
    main()
