"""What the encoder expects a coefficient to cost."""

from __future__ import annotations

import torch
from torch import Tensor

from velcodec.formats.latent_coding.stream import PRECISION, LatentTables


class BitCosts:
    """Code length of every symbol of every table row, for decisions of the encoder only."""

    def __init__(self, tables: LatentTables, device: torch.device) -> None:
        frequency = torch.from_numpy(tables.frequencies.astype("float32"))
        self.bits = (PRECISION - torch.log2(frequency)).to(device)
        self.classes = torch.from_numpy(tables.classes.astype("int64")).to(device)
        self.limit = (frequency.shape[1] - 2) // 2

    def of(self, coefficients: Tensor, rows: Tensor) -> Tensor:
        """Bits of integer coefficients under table rows of the same shape."""
        size = coefficients.abs()
        symbol = torch.where(size > self.limit, 2 * self.limit + 1, coefficients + self.limit)
        beyond = (size - self.limit).clamp(min=1).to(self.bits.dtype)
        escape = torch.where(size > self.limit, 2 + 2 * torch.log2(beyond).floor(), 0.0)
        return self.bits[rows, symbol.long()] + escape

    def best_rows(self, coefficients: Tensor, step_index: Tensor) -> Tensor:
        """Table rows (B, D) of the record class that codes each tile (B, D) in the fewest bits."""
        rows = self.classes[:, step_index]
        total = torch.stack([self.of(coefficients, r).sum(1) for r in rows])
        return rows[total.argmin(0), torch.arange(len(coefficients), device=rows.device)]
