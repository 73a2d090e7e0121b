"""The volumes' sampler in torch: gradients, and rendering on a GPU.

`velcodec.sampler.volume.compiled` renders on a CPU without torch. Points are taken in blocks of
samples with a margin, as there.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from velcodec.formats.sample_coding.coding import SamplerName
from velcodec.sampler.render import TorchPoints
from velcodec.sampler.volume.compiled import AROUND
from velcodec.sampler.volume.form import volume_sampler_of
from velcodec.sampler.volume.network import Prepared, VolumeNetwork

BLOCK = 64
POINTS_AT_ONCE = 1 << 15


@cache
def _network(name: SamplerName, device: str) -> VolumeNetwork:
    network = VolumeNetwork.from_weights(volume_sampler_of(name)).to(device, torch.float64)
    return network.requires_grad_(False)


class TorchVolume(TorchPoints):
    """The continuous field of samples (nz, ny, nx), in their units, in float64 on a device; like
    `velcodec.sampler.volume.compiled.SampledVolume`.
    """

    def __init__(
        self,
        samples: NDArray[np.generic],
        sampler: SamplerName,
        device: torch.device | str = "cpu",
        ends: tuple[float, float] | None = None,
    ) -> None:
        self.samples = torch.as_tensor(np.ascontiguousarray(samples, np.float64), device=device)
        least, most = ends or (float(self.samples.min()), float(self.samples.max()))
        self.least, self.most = (self.samples.new_tensor(end) for end in (least, most))
        self.network: VolumeNetwork = _network(sampler, str(device))

    def _parts(self, cells: Tensor) -> Iterator[tuple[Tensor, Prepared, Tensor]]:
        shape = torch.tensor(self.samples.shape, device=cells.device)
        blocks = (shape + BLOCK - 1) // BLOCK
        corner = (cells - 0.5).floor().clamp(min=0).long().flip(1).minimum(shape - 1) // BLOCK
        number = (corner[:, 0] * blocks[1] + corner[:, 1]) * blocks[2] + corner[:, 2]
        for one in number.unique():
            (numbers,) = torch.nonzero(number == one, as_tuple=True)
            first = [int(each) * BLOCK for each in corner[numbers[0]]]
            low = [max(each - AROUND, 0) for each in first]
            cut = tuple(slice(a, b + BLOCK + 1 + AROUND) for a, b in zip(low, first, strict=True))
            with torch.no_grad():
                span = (self.most - self.least)[None]
                prepared = self.network.prepare(self.samples[cut][None], span)
            start = torch.tensor(low[::-1]).to(cells)
            for chosen in numbers.split(POINTS_AT_ONCE):
                yield chosen, prepared, cells[chosen] - start
