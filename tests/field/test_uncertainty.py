"""The deviation of a rendering from the model that it was fitted to."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from checkers import layered

from velcodec import synth
from velcodec.decoder import Decoder
from velcodec.field import Field
from velcodec.field.uncertainty import FACTOR
from velcodec.formats.errors import InputShapeError, OptionError
from velcodec.metrics import psnr, rms_of_psnr


def test_deviations_have_the_size_of_the_error(tiny: Decoder) -> None:
    field = Field((24, 20), decoder=tiny, models=2).fit_(layered(2, 24, 20))
    found = field.deviation([50.0, 100.0], [30.0, 60.0])
    assert found.shape == (2, 24, 20)
    size = FACTOR * torch.tensor([50, 100])
    assert found.square().mean((1, 2)).sqrt() == pytest.approx(size, rel=1e-3)
    assert field.deviation(50.0, 30.0)[1] == pytest.approx(found[1] / 2)


def test_a_low_mean_error_concentrates_the_deviations(tiny: Decoder) -> None:
    field = Field((24, 20), decoder=tiny).fit_(layered(1, 24, 20)[0])
    even, peaked = field.deviation(50.0, 45.0), field.deviation(50.0, 5.0)
    assert peaked.max() > 1.2 * even.max()
    assert peaked.median() < 0.97 * even.median()
    assert peaked.flatten().argmax() == even.flatten().argmax()


def test_deviations_of_another_grid_are_those_of_the_same_field(tiny: Decoder) -> None:
    field = Field((24, 20), decoder=tiny).fit_(layered(1, 24, 20)[0])
    fine = field.deviation(50.0, 25.0, res=(72, 60))
    assert fine[1::3, 1::3] == pytest.approx(field.deviation(50.0, 25.0), rel=1e-3)


def test_deviations_of_tiles_are_blended(tiny: Decoder) -> None:
    field = Field((40, 56), decoder=tiny, tiles=28).fit_(layered(1, 40, 56)[0])
    found = field.deviation(80.0, 60.0)
    assert found.shape == (40, 56)
    assert (found > 0).all()
    assert found.square().mean().sqrt() == pytest.approx(80.0, rel=0.25)


def test_a_deviation_for_each_model_is_expected(tiny: Decoder) -> None:
    with pytest.raises(InputShapeError, match="found 3 values, expected 1 or 2"):
        Field((24, 20), decoder=tiny, models=2).deviation([1.0, 2.0, 3.0], 1.0)


def test_errors_of_the_shipped_decoder_are_where_deviations_are_large() -> None:
    truth = synth.draw("curvevel_a", 7, 0, 1).render(70, 70)[0]
    field = Field((70, 70)).fit_(truth)
    rendered = field().detach()
    rms = rms_of_psnr(psnr(truth.numpy(), rendered.numpy()))
    error = (rendered - truth).abs()
    assert rms == pytest.approx(float(error.square().mean().sqrt()), rel=1e-3)
    deviation = field.deviation(rms, float(error.mean()))
    assert np.corrcoef(error.flatten(), deviation.flatten())[0, 1] > 0.5
    assert (error < 2 * deviation).float().mean() > 0.9


@pytest.mark.parametrize("rms", [-1.0, float("nan"), float("inf")])
def test_an_error_that_none_can_be_is_refused(tiny: Decoder, rms: float) -> None:
    field = Field((20, 20), decoder=tiny)
    with pytest.raises(OptionError, match="rms: expected finite errors"):
        field.deviation(rms, 1.0)
    with pytest.raises(OptionError, match="mae: expected at most"):
        field.deviation(1.0, 2.0)
