"""Inversion by latents and on the grid, of a linear forward model, which needs no deepwave."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from velcodec.decoder import Decoder
from velcodec.field import Field
from velcodec.formats.errors import InputFileError, InputShapeError, NonFiniteError, OptionError
from velcodec.fwi import Inversion, invert

SHAPE = (16, 16)
SAMPLES = 64


class Linear:
    """Two "shots" of 64 times: random sums over the model, counted."""

    shots, dt = 2, 4e-3

    def __init__(self) -> None:
        random = torch.Generator().manual_seed(0)
        self.map = torch.randn(2 * SAMPLES, SHAPE[0] * SHAPE[1], generator=random) / 16
        self.calls = 0

    def __call__(self, velocity: Tensor) -> Tensor:
        self.calls += velocity.requires_grad
        data = self.map.to(velocity) @ (velocity.flatten() - 2500) / 1000
        return data.view(2, SAMPLES)


@pytest.fixture
def truth(tiny: Decoder) -> Tensor:
    """A model that the decoder can draw."""
    drawn = Field(SHAPE, decoder=tiny).sample(1, generator=torch.Generator().manual_seed(4))
    return drawn()[0].detach()


START = torch.full(SHAPE, 3000.0)


def inverted(
    tiny: Decoder, truth: Tensor, forward: Linear | None = None, **options: object
) -> Inversion:
    forward = forward or Linear()
    field = Field(SHAPE, decoder=tiny)
    options = {"bands": (30.0, None), "budget": 160, **options}
    return invert(field, forward, forward(truth), **options)  # type: ignore[arg-type]


def error(model: Tensor, truth: Tensor) -> float:
    return float((model.detach() - truth).abs().mean())


def test_both_methods_come_closer_to_the_truth(tiny: Decoder, truth: Tensor) -> None:
    found = inverted(tiny, truth, start=START)
    assert found.grid is not None
    assert error(found.field(), truth) < 0.6 * error(START, truth)
    assert error(found.grid, truth) < error(START, truth)
    assert found.misfit < 0.2 < found.history[0].misfit


def test_the_budget_is_spent_by_each_method_in_every_band(tiny: Decoder, truth: Tensor) -> None:
    forward = Linear()
    found = inverted(tiny, truth, forward, budget=60)
    assert forward.calls <= 60
    for method in ("latent", "grid"):
        steps = [step for step in found.history if step.method == method]
        assert [step.used for step in steps] == list(range(2, 2 * len(steps) + 1, 2))
        assert list(dict.fromkeys(step.band for step in steps)) == [30.0, None]
        assert len(steps) == 30


class Some(Linear):
    """The same with six shots, of which some can be modelled alone."""

    shots = 6

    def __init__(self, numbers: tuple[int, ...] = tuple(range(6))) -> None:
        super().__init__()
        random = torch.Generator().manual_seed(1)
        whole = torch.randn(6, SAMPLES, SHAPE[0] * SHAPE[1], generator=random) / 16
        self.map, self.shots = whole[list(numbers)].flatten(0, 1), len(numbers)

    def __call__(self, velocity: Tensor) -> Tensor:
        return (self.map.to(velocity) @ (velocity.flatten() - 2500) / 1000).view(-1, SAMPLES)

    def some(self, shots: Sequence[int]) -> Some:
        return Some(tuple(shots))


def test_latents_take_few_shots_in_early_bands_where_the_forward_model_has_them(
    tiny: Decoder, truth: Tensor
) -> None:
    found = inverted(tiny, truth, Some(), budget=120)
    used = {
        method: np.diff([0, *(step.used for step in found.history if step.method == method)])
        for method in ("latent", "grid")
    }
    assert dict.fromkeys(used["latent"]) == {2: None, 3: None}
    assert set(used["grid"]) == {6}
    assert used["latent"].sum() <= 120
    assert used["latent"].sum() > 110
    assert error(found.field(), truth) < 0.6 * error(Field(SHAPE, decoder=tiny)(), truth)


def test_without_a_grid_there_is_no_verdict(tiny: Decoder, truth: Tensor) -> None:
    found = inverted(tiny, truth, compare_grid=False, budget=20)
    assert (found.grid, found.grid_misfit, found.trusted) == (None, None, None)
    assert {step.method for step in found.history} == {"latent"}


@pytest.mark.parametrize(
    ("misfit", "energy", "trusted"), [(0.39, 1.0, True), (0.41, 1.0, False), (0.1, 1e3, False)]
)
def test_a_poor_misfit_or_an_unlikely_latent_is_not_trusted(
    tiny: Decoder, misfit: float, energy: float, trusted: bool
) -> None:
    field = Field(SHAPE, decoder=tiny)
    found = Inversion(field, field().detach() + 5, misfit, 0.1, energy, ())
    assert found.trusted is trusted
    assert found.grid is not None
    assert torch.equal(found.model, field().detach() if trusted else found.grid)


def test_noise_that_explains_both_misfits_hides_no_failure(tiny: Decoder) -> None:
    field = Field(SHAPE, decoder=tiny)

    def verdict(misfit: float, noise_misfit: float) -> bool | None:
        return Inversion(field, field(), misfit, 0.503, 1.0, (), noise_misfit).trusted

    assert verdict(0.53, 0.0) is True
    assert verdict(0.53, 0.5) is False
    assert verdict(0.51, 0.5) is True


def test_the_misfit_of_noise_is_told(tiny: Decoder, truth: Tensor) -> None:
    forward = Linear()
    observed = forward(truth)
    observed += 0.1 * torch.randn(observed.shape, generator=torch.Generator().manual_seed(1))
    found = invert(Field(SHAPE, decoder=tiny), forward, observed, budget=60, noise=0.1)
    assert 0 < found.noise_misfit < 1
    assert inverted(tiny, truth, budget=20).noise_misfit == 0


def test_noise_makes_likelier_models(tiny: Decoder, truth: Tensor) -> None:
    quiet, noisy = (inverted(tiny, truth, budget=80, noise=noise) for noise in (0.0, 3.0))
    assert noisy.energy < 0.9 * quiet.energy


def test_the_same_problem_gives_the_same_model(tiny: Decoder, truth: Tensor) -> None:
    one, other = (inverted(tiny, truth, budget=40) for _ in range(2))
    assert torch.equal(one.field(), other.field())
    assert one.history == other.history


def test_progress_ends_with_the_whole_budget(tiny: Decoder, truth: Tensor) -> None:
    seen: list[tuple[int, int, str]] = []
    inverted(tiny, truth, budget=40, on_progress=lambda *step: seen.append(step))
    assert seen[0] == (2, 80, "latent")
    assert seen[-1] == (80, 80, "grid")


class Interrupted(Exception):  # noqa: N818
    pass


def test_an_interrupted_inversion_goes_on_from_the_last_band(
    tiny: Decoder, truth: Tensor, tmp_path: Path
) -> None:
    whole = inverted(tiny, truth, budget=40)
    path = tmp_path / "kept"

    def stop(done: int, total: int, stage: str) -> None:
        if stage == "grid" and done > 50:
            raise Interrupted

    with pytest.raises(Interrupted):
        inverted(tiny, truth, budget=40, checkpoint=path, on_progress=stop)
    forward = Linear()
    resumed = inverted(tiny, truth, forward, budget=40, checkpoint=path)
    assert forward.calls <= 20
    assert torch.allclose(resumed.field(), whole.field())
    assert whole.grid is not None
    assert resumed.grid is not None
    assert torch.allclose(resumed.grid, whole.grid)
    assert resumed.history == whole.history


def test_a_checkpoint_of_another_problem_is_refused(
    tiny: Decoder, truth: Tensor, tmp_path: Path
) -> None:
    path = tmp_path / "kept"
    inverted(tiny, truth, budget=20, checkpoint=path)
    with pytest.raises(OptionError, match="budget differ"):
        inverted(tiny, truth, budget=40, checkpoint=path)
    path.write_bytes(b"something else")
    with pytest.raises(InputFileError, match="not a checkpoint"):
        inverted(tiny, truth, budget=20, checkpoint=path)


def test_a_forward_model_needs_neither_shots_nor_times(tiny: Decoder, truth: Tensor) -> None:
    linear = Linear()

    def forward(velocity: Tensor) -> Tensor:
        return linear(velocity).flatten()

    field = Field(SHAPE, decoder=tiny)
    found = invert(field, forward, forward(truth), bands=(None,), budget=60)
    assert found.misfit < 0.1
    with pytest.raises(OptionError, match="sampling interval"):
        invert(field, forward, forward(truth), bands=(6.0, None), budget=60)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"bands": (None, 6.0)}, "rising order"),
        ({"bands": ()}, "rising order"),
        ({"budget": 3}, "at least one evaluation in each of 2 bands"),
    ],
    ids=["falling bands", "no bands", "no budget"],
)
def test_what_cannot_be_done_is_refused(
    tiny: Decoder, truth: Tensor, options: dict[str, object], said: str
) -> None:
    with pytest.raises(OptionError, match=said):
        inverted(tiny, truth, **options)


def test_other_shapes_are_refused(tiny: Decoder, truth: Tensor) -> None:
    forward = Linear()
    with pytest.raises(InputShapeError, match=r"found shape \(2, 5\), expected \(2, 64\)"):
        invert(Field(SHAPE, decoder=tiny), forward, torch.zeros(2, 5))
    with pytest.raises(InputShapeError, match="start"):
        inverted(tiny, truth, start=torch.zeros(3, 3))
    with pytest.raises(NonFiniteError, match="observed"):
        invert(Field(SHAPE, decoder=tiny), forward, torch.full((2, 64), torch.nan))
    with pytest.raises(OptionError, match="batch"):
        invert(Field(SHAPE, decoder=tiny, models=2), forward, forward(truth))


def test_the_history_is_of_numbers(tiny: Decoder, truth: Tensor) -> None:
    found = inverted(tiny, truth, budget=20)
    assert np.isfinite([step.misfit for step in found.history]).all()
    assert found.misfit <= found.history[0].misfit
