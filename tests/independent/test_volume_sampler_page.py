"""docs/format-sampler.md says enough to render volumes: a second reader agrees within 0.25 m/s."""

import numpy as np
import pytest
import torch
from vlatlite.volume_sampler import SHAPES, VolumeSampler

from velcodec import synth
from velcodec.sampler.volume.compiled import SampledVolume
from velcodec.sampler.volume.network import VolumeNetwork


@pytest.mark.parametrize("family", ["salt", "gradient"])
@pytest.mark.parametrize(("shape", "grid"), [((9, 8, 11), (18, 16, 22)), ((2, 1, 5), (5, 4, 7))])
def test_the_second_reader_agrees(family, shape, grid):
    volume = synth.volumes(family, 1, 4, shape)[0]
    weights = VolumeNetwork(torch.Generator().manual_seed(1)).to_weights()
    reader = VolumeSampler({name: getattr(weights, name) for name in SHAPES})
    found = SampledVolume(volume, weights).grid(*grid)
    assert np.abs(found - reader.render(volume, grid)).max() < 0.25
