"""A field is a differentiable function of latents, within bounds, with a decoder of its own."""

from __future__ import annotations

import copy
import io

import numpy as np
import pytest
import torch
from checkers import layered

from velcodec.decoder import Decoder
from velcodec.field import Field
from velcodec.formats.errors import (
    InputShapeError,
    MixedShapesError,
    NonFiniteError,
    OptionError,
    PointsOutsideError,
)

LARGE = (40, 56)
"""A shape of 2 x 2 tiles of 28."""


def drawn(decoder: Decoder, shape: tuple[int, int] = (24, 20), **options: object) -> Field:
    """A field in float64 with latents of the prior."""
    field = Field(shape, decoder=decoder, dtype=torch.float64, **options)  # type: ignore[arg-type]
    generator = torch.Generator().manual_seed(1)
    count = field.models * field.tiling.tiles
    latents = decoder.sample(count, generator=generator).view_as(field.half_whitened)
    low = torch.full((field.models, field.tiling.tiles), 1800.0)
    return field.set_(latents, low, low + 2000)


def test_only_latents_and_value_ranges_are_parameters(tiny: Decoder) -> None:
    field = drawn(tiny)
    shapes = {name: tuple(each.shape) for name, each in field.named_parameters()}
    assert shapes == {"half_whitened": (1, 1, 256), "ends": (1, 1, 2)}
    assert set(field.state_dict()) == set(shapes)


def test_a_field_renders_one_model_or_a_batch(tiny: Decoder) -> None:
    assert drawn(tiny)().shape == (24, 20)
    assert drawn(tiny, models=3)().shape == (3, 24, 20)
    assert drawn(tiny, models=3)(res=(5, 7)).shape == (3, 5, 7)
    assert drawn(tiny)(res=9).shape == (9, 9)


@pytest.mark.parametrize("tiles", ["auto", 28])
def test_gradients_are_those_of_finite_differences(tiny: Decoder, tiles: str | int) -> None:
    field = drawn(tiny, LARGE, tiles=tiles)
    assert field.tiling.tiles == (1 if tiles == "auto" else 4)
    random = torch.Generator().manual_seed(2)
    weights = torch.randn(LARGE, generator=random, dtype=torch.float64)
    (field() * weights).sum().backward()
    for parameter in field.parameters():
        assert parameter.grad is not None
        direction = torch.randn(parameter.shape, generator=random, dtype=torch.float64)
        sides = []
        for step in (1e-6, -1e-6):
            with torch.no_grad():
                parameter += step * direction
                sides.append(float((field() * weights).sum()))
                parameter -= step * direction
        slope = (sides[0] - sides[1]) / 2e-6
        assert float((parameter.grad * direction).sum()) == pytest.approx(slope, rel=1e-4)


def test_no_value_leaves_the_bounds_however_far_the_parameters_go(tiny: Decoder) -> None:
    field = drawn(tiny, LARGE, tiles=28, bounds=(1500.0, 4500.0))
    with torch.no_grad():
        field.half_whitened.mul_(50)
        field.ends.copy_(torch.tensor([-500.0, 900.0]))
    field().sum().backward()
    assert field().min() >= 1500
    assert field().max() <= 4500
    assert field.ends.grad is not None
    assert (field.ends.grad != 0).all()


def test_without_bounds_value_ranges_are_what_they_are_set_to(tiny: Decoder) -> None:
    ends = drawn(tiny, bounds=None).value_range
    assert [float(end.detach()) for end in ends] == pytest.approx([1800.0, 3800.0])


def test_a_field_changes_no_decoder_but_its_own(tiny: Decoder) -> None:
    before = copy.deepcopy(tiny.state_dict())
    field = Field((20, 20), decoder=tiny).double()
    assert field().dtype == torch.float64
    assert next(tiny.parameters()).dtype == torch.float32
    assert all(torch.equal(value, before[name]) for name, value in tiny.state_dict().items())


def test_a_copy_and_a_saved_state_render_the_same(tiny: Decoder) -> None:
    field, other = drawn(tiny), Field((24, 20), decoder=tiny, dtype=torch.float64)
    stream = io.BytesIO()
    torch.save(field.state_dict(), stream)
    stream.seek(0)
    other.load_state_dict(torch.load(stream, weights_only=True))
    assert torch.equal(other(), field())
    assert torch.equal(copy.deepcopy(field)(), field())


@pytest.mark.parametrize("tiles", ["auto", 28])
def test_values_at_points_are_those_of_the_grid(tiny: Decoder, tiles: str | int) -> None:
    field = drawn(tiny, LARGE, tiles=tiles, models=2, dx=12.5, dz=5.0, origin=(100.0, -20.0))
    points = field.geometry.sample_points()
    found = field.at(points).detach().view(2, *LARGE)
    assert found == pytest.approx(field().detach(), abs=1e-6)


@pytest.mark.parametrize("tiles", ["auto", 28])
def test_values_at_points_are_differentiable_in_the_points(tiny: Decoder, tiles: str | int) -> None:
    field = drawn(tiny, LARGE, tiles=tiles)
    points = torch.tensor([[272.0, 91.0], [100.5, 195.0], [281.0, 203.0]], dtype=torch.float64)
    assert torch.autograd.gradcheck(field.at, (points.requires_grad_(),), atol=1e-3)


def test_points_outside_are_refused(tiny: Decoder) -> None:
    with pytest.raises(PointsOutsideError):
        drawn(tiny).at([[500.0, 0.0]])


def test_energy_is_one_for_the_prior_and_zero_at_its_mean(tiny: Decoder) -> None:
    many = drawn(tiny, models=400)
    assert float(many.energy().mean().detach()) == pytest.approx(1.0, abs=0.02)
    assert float(Field((20, 20), decoder=tiny).energy().detach()) == 0.0


def test_energy_is_the_log_density_of_the_prior(tiny: Decoder) -> None:
    field = drawn(tiny, models=3)
    prior = field.decoder.log_prior(field.latents[:, 0])
    falls = prior - field.decoder.log_prior(torch.zeros(256, dtype=torch.float64))
    assert falls.detach() == pytest.approx(-128 * field.energy().detach(), rel=1e-6)


def test_a_fit_comes_close_and_keeps_the_bounds(tiny: Decoder) -> None:
    model = layered(1, 24, 20)[0]
    field = Field((24, 20), decoder=tiny, bounds=(1500.0, 4500.0)).fit_(model)
    error = field().detach().numpy() - model
    assert np.sqrt(np.square(error).mean()) < 0.4 * model.std()
    narrow = Field((24, 20), decoder=tiny, bounds=(2000.0, 2500.0)).fit_(model)()
    assert narrow.min() >= 2000
    assert narrow.max() <= 2500


def test_a_constant_model_is_fitted_exactly(tiny: Decoder) -> None:
    field = Field((24, 20), decoder=tiny, models=2)
    field.fit_(np.full((2, 24, 20), 2345.0))
    assert field().detach() == pytest.approx(torch.full((2, 24, 20), 2345.0), abs=0.01)


def test_fitting_in_float64_leaves_the_field_in_float64(tiny: Decoder) -> None:
    field = Field((24, 20), decoder=tiny).double().fit_(layered(1, 24, 20)[0])
    assert field().dtype == torch.float64


def test_reset_goes_back_to_a_new_field(tiny: Decoder) -> None:
    field, new = drawn(tiny), Field((24, 20), decoder=tiny, dtype=torch.float64)
    assert not torch.allclose(field(), new())
    assert torch.equal(field.reset_()(), new())


def test_samples_repeat_with_the_generator_and_stay_near_with_a_spread(tiny: Decoder) -> None:
    field = drawn(tiny)

    def models(seed: int, spread: float | None) -> torch.Tensor:
        generator = torch.Generator().manual_seed(seed)
        return field.sample(3, spread=spread, generator=generator)().detach()

    assert torch.equal(models(5, None), models(5, None))
    assert not torch.equal(models(5, None), models(6, None))
    far, near = ((models(5, s) - field().detach()).abs().mean() for s in (0.5, 0.05))
    assert 0 < near < far / 4
    assert torch.allclose(models(5, 0.0), field().detach(), atol=1e-3)


def test_between_reaches_both_ends(tiny: Decoder) -> None:
    one, other = drawn(tiny), drawn(tiny).sample(1, generator=torch.Generator().manual_seed(9))
    single = Field((24, 20), decoder=tiny, dtype=torch.float64)
    single.load_state_dict(other.state_dict())
    path = one.between(single, [0.0, 0.5, 1.0])()
    assert torch.allclose(path[0], one(), atol=1e-3)
    assert torch.allclose(path[2], single(), atol=1e-3)
    assert not torch.allclose(path[1], path[0], atol=10.0)


def test_between_refuses_other_grids_and_batches(tiny: Decoder) -> None:
    with pytest.raises(MixedShapesError, match="24 x 20"):
        drawn(tiny).between(drawn(tiny, (20, 20)), [0.5])
    with pytest.raises(OptionError, match="batch"):
        drawn(tiny).between(drawn(tiny, models=2), [0.5])
    with pytest.raises(OptionError, match="batch"):
        drawn(tiny, models=2).sample(3)


@pytest.mark.parametrize(
    "options",
    [
        {"bounds": (4500.0, 1500.0)},
        {"models": 0},
        {"tiles": 1},
        {"tiles": "some"},
        {"dx": 0.0},
        {"origin": (0.0, float("nan"))},
    ],
    ids=str,
)
def test_what_makes_no_field_is_refused(tiny: Decoder, options: dict[str, object]) -> None:
    with pytest.raises(OptionError, match=next(iter(options))):
        Field((20, 20), decoder=tiny, **options)  # type: ignore[arg-type]


def test_a_model_with_a_gap_is_refused(tiny: Decoder) -> None:
    model = layered(1, 24, 20)[0]
    model[3, 4] = np.nan
    with pytest.raises(NonFiniteError, match="model: found NaN"):
        Field((24, 20), decoder=tiny).fit_(model)


def test_other_shapes_are_refused_with_what_was_expected(tiny: Decoder) -> None:
    with pytest.raises(InputShapeError, match=r"found shape \(20, 24\), expected \(24, 20\)"):
        Field((24, 20), decoder=tiny).fit_(np.zeros((20, 24)))
    with pytest.raises(InputShapeError, match="latents"):
        Field((24, 20), decoder=tiny).set_(torch.zeros(1, 2, 256), *torch.zeros(2, 1, 2))
