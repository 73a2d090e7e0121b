"""What every family promises: one model for one seed, one geology at every resolution."""

import pytest
import torch

from velcodec import synth
from velcodec.geometry import grid_points

families = pytest.mark.parametrize("family", synth.FAMILIES)


def differing(a, b, metres_per_second=0.05):
    """Share of samples that differ: a sharp edge may fall on either side of a rounded point."""
    return float(((a - b).abs() > metres_per_second).float().mean())


@families
def test_a_model_does_not_depend_on_its_batch(family):
    whole = synth.draw(family, 7, 0, 40).render(70, 70)
    part = synth.draw(family, 7, 21, 5).render(70, 70)
    alone = synth.draw(family, 7, 23, 1).render(70, 70)
    assert differing(whole[21:26], part) < 1e-4
    assert differing(whole[23:24], alone) < 1e-4


@families
def test_seeds_and_numbers_give_other_models(family):
    first = synth.draw(family, 1, 0, 30).render(20, 20)
    other = synth.draw(family, 2, 0, 30).render(20, 20)
    later = synth.draw(family, 1, 30, 30).render(20, 20)
    rows = torch.cat([first, other, later]).flatten(1)
    assert len(torch.unique(rows, dim=0)) == 90


@families
def test_every_resolution_shows_the_same_geology(family):
    models = synth.draw(family, 3, 0, 12)
    coarse = models.render(70, 70)
    # Cell centres of a 70 x 70 grid are every third of a 210 x 210 one.
    assert differing(models.render(210, 210)[:, 1::3, 1::3], coarse) < 2e-4
    # At 140 and 280 they lie between samples: what the samples bracket, no more, no less.
    for n in (140, 280):
        fine = models.render(n, n).unflatten(1, (70, n // 70)).unflatten(3, (70, n // 70))
        inside = (coarse > fine.amin(dim=(2, 4)) - 15.0) & (coarse < fine.amax(dim=(2, 4)) + 15.0)
        assert inside.float().mean() > 0.97


@families
def test_rendering_is_evaluating_at_cell_centres(family):
    models = synth.draw(family, 4, 0, 6)
    points = torch.tensor(grid_points(35, 50), dtype=torch.float32)
    shared = models.evaluate(points)
    own = models.evaluate(points.expand(6, -1, -1))
    assert shared.shape == (6, 35 * 50)
    assert shared.dtype == torch.float32
    assert differing(shared, own) < 2e-4
    assert differing(shared.reshape(6, 35, 50), models.render(35, 50)) < 2e-4


@families
def test_each_model_may_have_its_own_points(family):
    models = synth.draw(family, 5, 0, 4)
    points = torch.rand(4, 100, 2, generator=torch.Generator().manual_seed(0)) * 2.0 - 1.0
    together = models.evaluate(points)
    for k in range(4):
        single = synth.draw(family, 5, k, 1).evaluate(points[k])
        assert differing(together[k : k + 1], single) < 0.02


@families
def test_large_batches_are_cut_without_a_seam(family):
    models = synth.draw(family, 6, 0, 30)
    points = torch.rand(80_000, 2, generator=torch.Generator().manual_seed(1)) * 2.0 - 1.0
    whole = models.evaluate(points)
    last = synth.draw(family, 6, 27, 3).evaluate(points)
    assert differing(whole[27:], last) < 1e-4


@families
def test_velocities_are_finite_and_in_range(family):
    low, high = (1000.0, 6000.0) if family == "geology" else (1500.0, 4500.0)
    velocity = synth.draw(family, 8, 0, 300).render(35, 35)
    assert torch.isfinite(velocity).all()
    assert velocity.min() >= low - 0.5
    assert velocity.max() <= high + 0.5


@pytest.mark.parametrize("family", ["flatvel_a", "flatvel_b", "curvevel_a", "curvevel_b"])
def test_layers_have_whole_velocities_and_sharp_edges(family):
    velocity = synth.draw(family, 9, 0, 50).render(70, 70)
    assert torch.equal(velocity, velocity.round())
    assert max(len(torch.unique(model)) for model in velocity) <= 8


def test_wrong_arguments_are_refused():
    with pytest.raises(ValueError, match="family"):
        synth.draw("marmousi", 0, 0, 1)
    with pytest.raises(ValueError, match="count"):
        synth.draw("style_a", 0, 0, 0)
    with pytest.raises(ValueError, match="start"):
        synth.draw("style_a", 0, -1, 1)
    models = synth.draw("flatvel_a", 0, 0, 2)
    with pytest.raises(ValueError, match="points"):
        models.evaluate(torch.zeros(5, 3))
    with pytest.raises(ValueError, match="2 models"):
        models.evaluate(torch.zeros(3, 5, 2))
