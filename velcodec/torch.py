"""For PyTorch: a data set whose models stay in an archive and are decoded batch by batch, and more.

    from velcodec.torch import VelocityDataset, grid_points, upsample

Each process opens the archive once; decoded models are not cached.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from velcodec.decode.stored import x_first
from velcodec.device import pick_device
from velcodec.formats.errors import OptionError
from velcodec.formats.extras import torch_for
from velcodec.interop.shared import SharedArchive, one_kind
from velcodec.resolution import Resolution
from velcodec.sampler.cell_average import check_average

with torch_for("velcodec.torch"):
    import torch  # PyTorch: imports are absolute, this module is velcodec.torch
    from torch import Tensor
    from torch.utils.data import Dataset

    from velcodec.decoder.points import grid_points
    from velcodec.sampler.render import upsample

if TYPE_CHECKING:
    from velcodec.decoder import Decoder

__all__ = ["VelocityDataset", "grid_points", "upsample"]


class VelocityDataset(Dataset[Any]):
    """The models of an archive as tensors (1, nz, nx), depth down, in the archive's units.

    `res` is N or (nz, nx); by default each model's own grid. With `value_range` (low, high) values
    are scaled to map these to -1 and 1, without clipping; absent samples are NaN. `transform` is
    applied last, to each tensor. `device`, `decoder` and `average` are as for `velcodec.open` and
    `Archive.decode`; tensors stay on `device`, so use the CPU with worker processes.

    A DataLoader fetches and decodes each batch at once. Raises on construction what `velcodec.open`
    raises, MixedShapesError (different shapes without `res`), ResolutionError (a model of more than
    100 million samples without `allow_large`) and OptionError; raises MissingDecoderError when a
    model is read.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        res: Resolution | None = None,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
        transform: Callable[[Tensor], Any] | None = None,
        average: str = "none",
        decoder: str | Path | Decoder | None = None,
        *,
        value_range: tuple[float, float] | None = None,
        allow_large: bool = False,
    ) -> None:
        if not isinstance(path, (str, os.PathLike)):
            raise OptionError(f"path: expected that of an archive, found {type(path).__name__}")
        if not dtype.is_floating_point:
            raise OptionError(f"dtype: expected a floating-point type, found {dtype}")
        self.value_range = None if value_range is None else _checked_range(value_range)
        self.device, self.dtype, self.transform = pick_device(device), dtype, transform
        self._average = check_average(average)
        self._shared = SharedArchive(path, decoder, str(self.device))
        with self._shared.reading() as archive:
            layout, grid = one_kind(archive, res, allow_large)
            self.shape = (1, *grid)
            self._res = None if res is None else grid
            self._models = len(archive)
            self._x_first = x_first(layout)
            layouts = archive.layouts_in_use
            self._no_data = {
                float(each.no_data) for each in layouts if isinstance(each.no_data, int | float)
            }

    def __len__(self) -> int:
        return self._models

    def __getitem__(self, number: int) -> Any:
        """A model; negative numbers count from the end. Raises ModelNumberError (an IndexError)."""
        return self.__getitems__([number])[0]

    def __getitems__(self, numbers: Sequence[int]) -> list[Any]:
        """Several models, decoded together; a DataLoader calls this for each batch."""
        with self._shared.reading() as archive:
            models = archive.decode(
                list(numbers),
                self._res,
                self.device,
                average=self._average,
                allow_large=True,
            )
        models = (models.mT if self._x_first else models).to(self.dtype).contiguous()
        if self.value_range is not None:
            low, high = self.value_range
            for value in self._no_data:
                models = models.masked_fill(models == value, math.nan)
            models = (models - low).mul_(2 / (high - low)).sub_(1)
        tensors = list(models.unsqueeze(1))
        return tensors if self.transform is None else [self.transform(one) for one in tensors]

    def close(self) -> None:
        """Close the archive; the next read opens it again."""
        self._shared.close()


def _checked_range(value_range: tuple[float, float]) -> tuple[float, float]:
    low, high = (float(value) for value in value_range)
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise OptionError(f"value_range: expected (low, high), found ({low:g}, {high:g})")
    return low, high
