"""Samples for a PSNR in few trials."""

from __future__ import annotations

import numpy as np
import pytest
from checkers import layered

from velcodec.effort import LEVELS
from velcodec.encode.sample_trials import SampleTrials
from velcodec.encode.samples import SampleCoder
from velcodec.encode.tiles import ModelSet
from velcodec.metrics import mse_of_psnr


@pytest.mark.parametrize("level", [1, 5, 9])
@pytest.mark.parametrize("psnr", [30.0, 40.0])
def test_few_trials_reach_the_error_and_one_foretells_the_length(level: int, psnr: float) -> None:
    models = layered(3, 40, 36, seed=2)
    source = ModelSet(list(models.astype(np.float32)), "m/s")
    trials, mse = SampleTrials(SampleCoder(source), LEVELS[level]), mse_of_psnr(psnr)
    for i in range(len(source)):
        found = trials.reaching(i, mse)
        assert found.mse <= mse
        assert found.bits < trials.coder.within(i, 0.0).bits
        assert 0.4 * found.bits < trials.about(i, mse) < 2.5 * found.bits
