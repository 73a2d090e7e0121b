"""The encoder's estimate of a coefficient's rate, and rounding by it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from velcodec.formats.arrays import Float32, Int64
from velcodec.formats.latent_coding.stream import PRECISION, LatentTables
from velcodec.quantise import kernels


class BitCosts:
    """Code length in bits of every symbol of every table row; for the encoder's decisions only."""

    def __init__(self, tables: LatentTables) -> None:
        frequency = tables.frequencies.astype(np.float32)
        self.bits: Float32 = np.float32(PRECISION) - np.log2(frequency)
        self.classes: Int64 = tables.classes.astype(np.int64)  # (C, S, D)

    def lengths(self, coefficients: NDArray[np.int32], step_index: Int64) -> Float32:
        """Bits (B,) of coefficients (B, D) by the record class that takes the fewest."""
        found = np.empty(len(coefficients), np.float32)
        kernels.lengths(coefficients, step_index, self.classes, self.bits, found)
        return found

    def rounded(
        self, latent: Float32, step_index: Int64, step: Float32, price: Float32
    ) -> NDArray[np.int32]:
        """Integers (B, D) of latents (B, D), each the best of three: the nearest, the next towards
        zero, and zero; by its squared error plus `price` (B,) x bits.
        """
        rounded: NDArray[np.int32] = np.rint(latent / step[:, None]).astype(np.int32)
        kernels.round_by_cost(latent, step_index, step, price, self.classes, self.bits, rounded)
        return rounded
