"""Fitting finds latents, stops where it should, and is reproducible."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from velcodec.decoder import ConcatConfig, Decoder, MixtureConfig, SirenConcat, SirenMixture
from velcodec.decoder.encoder import read_encoder, save_encoder
from velcodec.fit import Encoder, LMOptions, amortised_latents, fit_latents
from velcodec.fit.lm import descend, error_and_gradient, hessian_of, squared_error
from velcodec.formats.errors import (
    DecoderFileError,
    InputDtypeError,
    InputShapeError,
    OptionError,
    VelcodecError,
)
from velcodec.geometry import grid_points
from velcodec.parallel import by_parts

GRID = (20, 20)


@pytest.fixture(scope="module")
def decoder() -> Decoder:
    torch.manual_seed(11)
    decoder = SirenMixture(MixtureConfig(16, 1, 8, 4, 1, 8, omega_0=6.0)).freeze_()
    decoder.steps = torch.tensor([1.0, 0.1, 0.01])
    return decoder


@pytest.fixture(scope="module")
def points() -> Tensor:
    return torch.from_numpy(grid_points(*GRID)).float()


@pytest.fixture(scope="module")
def target(decoder: Decoder, points: Tensor) -> Tensor:
    """Renderings of known latents: a perfect fit exists."""
    latent = 0.7 * torch.randn(5, 256, generator=torch.Generator().manual_seed(12))
    return decoder(points, latent)


def test_levenberg_marquardt_recovers_a_rendering(
    decoder: Decoder, points: Tensor, target: Tensor
) -> None:
    start = squared_error(decoder, points, torch.zeros(5, 256), target)
    free = torch.zeros(5)
    latent = fit_latents(decoder, target, points, precision=free, options=LMOptions((), 40, 1e-4))
    assert (squared_error(decoder, points, latent, target) < 1e-3 * start).all()


def test_levenberg_marquardt_beats_adam(decoder: Decoder, points: Tensor, target: Tensor) -> None:
    weight = torch.full((5,), 1e-7)
    by_lm = fit_latents(decoder, target, points, precision=weight, options=LMOptions((), 30, 1e-4))
    by_adam = fit_latents(decoder, target, points, method="adam", precision=weight)
    start = squared_error(decoder, points, torch.zeros(5, 256), target)
    lm_error = squared_error(decoder, points, by_lm, target)
    adam_error = squared_error(decoder, points, by_adam, target)
    assert adam_error.mean() < 0.1 * start.mean()
    assert lm_error.mean() < adam_error.mean()


def test_no_step_makes_a_tile_worse(decoder: Decoder, points: Tensor, target: Tensor) -> None:
    latent, prior = torch.zeros(5, 256), torch.full((5, 256), 1e-6)
    before = squared_error(decoder, points, latent, target)
    for _ in range(4):
        latent = descend(decoder, latent, target, points, prior, LMOptions((), 1))
        after = squared_error(decoder, points, latent, target) + 1e-6 * latent.square().sum(1)
        assert (after <= before + 1e-7).all()
        before = after


def test_a_stronger_prior_gives_a_shorter_latent(
    decoder: Decoder, points: Tensor, target: Tensor
) -> None:
    norms = [
        fit_latents(decoder, target, points, precision=torch.full((5,), w)).norm(dim=1)
        for w in (1e-6, 1e-3, 1.0)
    ]
    assert (norms[0] > norms[1]).all()
    assert (norms[1] > norms[2]).all()


def test_only_free_coefficients_move(decoder: Decoder, points: Tensor, target: Tensor) -> None:
    free = torch.arange(40, 256)
    start = 0.1 * torch.ones(5, 256)
    prior = torch.full((5, 256), 1e-6)
    latent = descend(decoder, start, target, points, prior, LMOptions((), 3), free)
    assert torch.equal(latent[:, :40], start[:, :40])
    assert not torch.equal(latent[:, 40:], start[:, 40:])


def test_the_same_call_gives_the_same_latents(
    decoder: Decoder, points: Tensor, target: Tensor
) -> None:
    first = fit_latents(decoder, target, points)
    assert torch.equal(first, fit_latents(decoder, target, points))


@pytest.fixture(params=["mixture", "concat"])
def any_decoder(request: pytest.FixtureRequest, decoder: Decoder) -> Decoder:
    if request.param == "mixture":
        return decoder
    torch.manual_seed(11)
    other = SirenConcat(ConcatConfig(width=32, hidden_layers=1)).freeze_()
    other.steps = decoder.steps
    return other


@pytest.mark.parametrize("method", ["lm"])
def test_the_number_of_threads_changes_no_bit(
    any_decoder: Decoder, points: Tensor, target: Tensor, method: Any
) -> None:
    torch.manual_seed(1)
    encoder, many = Encoder(channels=4).eval(), target.repeat(4, 1)
    brief = LMOptions(((200, 2),), 2, adam_steps=10)
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            latents = fit_latents(
                any_decoder, many, points, method=method, encoder=encoder, grid=GRID, options=brief
            )
            found.append(latents)
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])


def test_an_error_in_a_thread_is_raised_and_the_number_of_threads_restored() -> None:
    before = torch.get_num_threads()

    def work(part: slice) -> Tensor:
        if part.start == 4:
            raise ValueError("here")
        return torch.zeros(part.stop - part.start)

    torch.set_num_threads(2)
    try:
        with pytest.raises(ValueError, match="here"):
            by_parts(work, 9, 2, torch.device("cpu"))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_every_decoder_can_be_fitted(any_decoder: Decoder, points: Tensor) -> None:
    latent = 0.5 * torch.randn(3, 256, generator=torch.Generator().manual_seed(2))
    goal = any_decoder(points, latent)
    start = squared_error(any_decoder, points, torch.zeros(3, 256), goal)
    brief = LMOptions((), 8, adam_steps=10)
    weight = torch.full((3,), 1e-9)
    found = fit_latents(any_decoder, goal, points, precision=weight, options=brief)
    assert (squared_error(any_decoder, points, found, goal) < 0.1 * start).all()


def test_no_tiles_give_no_latents(decoder: Decoder, points: Tensor) -> None:
    assert fit_latents(decoder, torch.zeros(0, 400), points).shape == (0, 256)


def test_gradient_and_hessian_are_those_of_the_error(
    decoder: Decoder, points: Tensor, target: Tensor
) -> None:
    latent = torch.full((5, 256), 0.05)
    error, gradient = error_and_gradient(decoder, points, latent, target)
    values, slope = decoder.jacobian(points, latent)
    residual = values - target
    torch.testing.assert_close(error, residual.square().mean(1))
    expected = (slope.mT @ residual[..., None])[..., 0] / len(points)
    torch.testing.assert_close(gradient, expected, rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(
        hessian_of(decoder, points, latent), slope.mT @ slope / len(points), rtol=1e-3, atol=1e-4
    )


def test_an_unknown_method_is_refused(decoder: Decoder, points: Tensor, target: Tensor) -> None:
    with pytest.raises(OptionError, match="newton"):
        fit_latents(decoder, target, points, method="newton")  # type: ignore[arg-type]


BAD_TENSORS: dict[str, tuple[type[VelcodecError], str, dict[str, object]]] = {
    "one axis": (InputShapeError, r"target: found shape \(400,\)", {"target": torch.zeros(400)}),
    "as a grid": (InputShapeError, r"expected \(B, 400\)", {"target": torch.zeros(5, 20, 20)}),
    "too few": (InputShapeError, r"expected \(B, 400\)", {"target": torch.zeros(5, 399)}),
    "x only": (InputShapeError, "columns x, z", {"points": torch.zeros(400)}),
    "three columns": (InputShapeError, r"points: .*\(400, 3\)", {"points": torch.zeros(400, 3)}),
    "another grid": (InputShapeError, "grid: found 20 x 21 samples", {"grid": (20, 21)}),
    "one weight": (InputShapeError, r"expected \(5,\)", {"precision": torch.zeros(1)}),
    "float64": (
        InputDtypeError,
        "target: found torch.float64",
        {"target": torch.zeros(5, 400).double()},
    ),
    "integers": (
        InputDtypeError,
        "points: found torch.int64",
        {"points": torch.zeros(400, 2).long()},
    ),
    "NumPy": (InputDtypeError, "target: found ndarray", {"target": np.zeros((5, 400))}),
}


@pytest.mark.parametrize("case", BAD_TENSORS)
def test_tensors_of_a_wrong_shape_or_dtype_are_refused(
    decoder: Decoder, points: Tensor, target: Tensor, case: str
) -> None:
    kind, said, bad = BAD_TENSORS[case]
    good: dict[str, Any] = {"target": target, "points": points}
    with pytest.raises(kind, match=said) as refused:
        fit_latents(decoder, **(good | bad))
    assert "expected" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_tile_that_is_near_enough_is_not_fitted_further(
    decoder: Decoder, points: Tensor, target: Tensor
) -> None:
    def error(enough: float) -> Tensor:
        passes, free = LMOptions(((200, 6),), 0, adam_steps=0), torch.full((5,), 1e-7)
        limit = torch.full((5,), enough)
        latent = fit_latents(decoder, target, points, precision=free, options=passes, enough=limit)
        return squared_error(decoder, points, latent, target)

    assert (error(0.0) <= error(1e9)).all()
    assert error(0.0).mean() < 0.5 * error(1e9).mean()


def test_the_amortised_start_is_the_encoders_guess(decoder: Decoder, target: Tensor) -> None:
    torch.manual_seed(1)
    encoder = Encoder(channels=4).eval()
    guess = amortised_latents(decoder, encoder, target, GRID)
    torch.testing.assert_close(guess, encoder(target.view(5, *GRID)))
    assert torch.equal(amortised_latents(decoder, None, target, GRID), torch.zeros(5, 256))


def test_an_encoder_file_makes_the_round_trip(tmp_path: Path, target: Tensor) -> None:
    torch.manual_seed(1)
    encoder, path = Encoder(channels=4).eval(), tmp_path / "a.encoder.safetensors"
    save_encoder(encoder, path)
    again = read_encoder(path)
    torch.testing.assert_close(
        again(target.view(5, *GRID)), encoder(target.view(5, *GRID)), rtol=0.02, atol=0.02
    )


def test_a_file_that_is_not_an_encoder_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "b.encoder.safetensors"
    path.write_bytes(b"not an encoder")
    with pytest.raises(DecoderFileError, match=r"b\.encoder"):
        read_encoder(path)
