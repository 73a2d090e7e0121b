"""Principal components of generated models, with ideal code lengths: a linear latent."""

from __future__ import annotations

import functools
from typing import ClassVar

import numpy as np

from velcodec.formats.arrays import Float64

from .base import CannotKeepError, Known, Models, Peer, Setting, Stored, geometric, streams_of

COMPONENTS = 256
PER_FAMILY = 200
SEED = 20_000
LARGEST = 128 * 128
"""Most samples; for more, the components would take too long to compute."""

STEP_BYTES = 1.0
"""Bytes per model for the logarithm of the step."""


class Pca(Peer):
    """COMPONENTS components of models drawn by `velcodec.synth`, with one step size.

    A stream holds int32 numbers, but its size is that of an ideal arithmetic coder with a Laplace
    distribution of each component's spread in training.
    """

    name = "PCA-256, ideal code length"
    needs = ("torch",)
    lossy = geometric(6.0, 0.01, 26)
    ideal: ClassVar[bool] = True

    def encode(self, models: Models, known: Known, setting: Setting) -> list[bytes]:
        basis = components(*known.shape[1:])
        rows = models.reshape(len(models), -1).astype(np.float64) / 1000.0 - basis.mean
        steps = np.rint(rows @ basis.vectors.T / setting.value).astype("<i4")
        step = np.float64(setting.value).tobytes()
        return [step + row.tobytes() for row in steps]

    def decode(self, stored: Stored, known: Known) -> Models:
        basis = components(*known.shape[1:])
        step, numbers = _parts(stored)
        rows = basis.mean + numbers * step @ basis.vectors
        return (1000.0 * rows).clip(known.low, known.high).reshape(known.shape).astype("f4")

    def sizes(self, stored: Stored, known: Known) -> Float64:
        step, numbers = _parts(stored)
        spread = components(*known.shape[1:]).spread
        above = _laplace(numbers + 0.5, step / spread)
        below = _laplace(numbers - 0.5, step / spread)
        bits = -np.log2(np.maximum(above - below, 2.0**-32)).sum(axis=1)
        return STEP_BYTES + bits / 8.0


def _parts(stored: Stored) -> tuple[Float64, Float64]:
    """Steps (n, 1) and numbers (n, COMPONENTS)."""
    streams = streams_of(stored)
    steps = np.array([np.frombuffer(stream, np.float64, 1) for stream in streams])
    return steps, np.array([np.frombuffer(stream[8:], "<i4") for stream in streams], np.float64)


def _laplace(numbers: Float64, scale: Float64) -> Float64:
    """Cumulative Laplace distribution of standard deviation 1 at numbers * scale."""
    at = numbers * scale * np.sqrt(2.0)
    tail = 0.5 * np.exp(-np.abs(at))
    return np.where(at < 0, tail, 1.0 - tail)


class Basis:
    """Mean (samples,), orthonormal vectors (components, samples) and their spread, km/s."""

    def __init__(self, mean: Float64, vectors: Float64, spread: Float64) -> None:
        self.mean, self.vectors, self.spread = mean, vectors, spread


@functools.cache
def components(nz: int, nx: int) -> Basis:
    """Learned from PER_FAMILY generated models of each family, never from models under test."""
    from velcodec import synth

    if nz * nx > LARGEST:
        raise CannotKeepError(f"found {nz} x {nx} samples, expected at most {LARGEST}")
    drawn = [
        synth.draw(family, SEED, 0, PER_FAMILY).render(nz, nx).cpu().numpy()
        for family in synth.FAMILIES
    ]
    rows = np.concatenate(drawn).reshape(-1, nz * nx).astype(np.float64) / 1000.0
    mean = rows.mean(axis=0)
    rows -= mean
    # There are fewer models than samples, so products are between models.
    powers, weights = np.linalg.eigh(rows @ rows.T)
    powers, weights = powers[::-1][:COMPONENTS], weights[:, ::-1][:, :COMPONENTS]
    kept = powers > 1e-9 * powers[0]
    vectors = (weights[:, kept].T @ rows) / np.sqrt(powers[kept])[:, None]
    return Basis(mean, vectors, np.sqrt(powers[kept] / len(rows)))
