"""The volumes' sampler in torch: gradients, and rendering on a GPU.

`velcodec.sampler.volume.compiled` renders on a CPU without torch. Points are taken in blocks of
samples with a margin, as there.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import numpy as np
import torch
from torch import Tensor

from velcodec.sampler.render import TorchPoints
from velcodec.sampler.volume.compiled import AROUND, Samples, ends_of
from velcodec.sampler.volume.form import volume_sampler_of
from velcodec.sampler.volume.network import Prepared, VolumeNetwork

BLOCK = 64
POINTS_AT_ONCE = 1 << 15


@cache
def _network(number: int, device: str) -> VolumeNetwork:
    network = VolumeNetwork.from_weights(volume_sampler_of(number)).to(device, torch.float64)
    return network.requires_grad_(False)


class TorchVolume(TorchPoints):
    """The continuous field of samples (nz, ny, nx), in their units, in float64 on a device; like
    `velcodec.sampler.volume.compiled.SampledVolume`.
    """

    def __init__(
        self,
        samples: Samples,
        sampler: int,
        device: torch.device | str = "cpu",
        ends: tuple[float, float] | None = None,
    ) -> None:
        self.samples, self.device = samples, torch.device(device)
        self.least, self.most = torch.tensor(
            ends or ends_of(samples), dtype=torch.float64, device=device
        )
        self.network: VolumeNetwork = _network(sampler, str(device))

    def _parts(self, cells: Tensor) -> Iterator[tuple[Tensor, Prepared, Tensor]]:
        sizes = self.samples.shape
        shape = torch.tensor(sizes, device=cells.device)
        counts = (shape + BLOCK - 1) // BLOCK
        corner = (cells - 0.5).floor().clamp(min=0).long().flip(1).minimum(shape - 1)
        block = corner // BLOCK
        number = (block[:, 0] * counts[1] + block[:, 1]) * counts[2] + block[:, 2]
        for one in number.unique():
            (numbers,) = torch.nonzero(number == one, as_tuple=True)
            ends = zip(corner[numbers].amin(0).tolist(), corner[numbers].amax(0).tolist(), sizes,
                       strict=True)  # fmt: skip
            z, y, x = (slice(max(a - AROUND, 0), min(b + 2 + AROUND, size)) for a, b, size in ends)
            part = np.ascontiguousarray(self.samples[z, y, x], np.float64)
            with torch.no_grad():
                span = (self.most - self.least)[None]
                samples = torch.as_tensor(part, device=self.device)[None]
                prepared = self.network.prepare(samples, span)
            start = torch.tensor([x.start, y.start, z.start]).to(cells)
            for chosen in numbers.split(POINTS_AT_ONCE):
                yield chosen, prepared, cells[chosen] - start
