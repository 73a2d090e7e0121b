"""Rounding a latent costs little, and less than plain rounding."""

from __future__ import annotations

from copy import deepcopy

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from velcodec.decoder import Decoder, MixtureConfig, SirenMixture
from velcodec.fit import LMOptions, fit_latents
from velcodec.fit.lm import Descent, error_and_gradient, hessian_of, squared_error
from velcodec.formats.latent_coding.stream import LatentTables
from velcodec.geometry import grid_points
from velcodec.quantise import (
    BitCosts,
    Expansion,
    Passes,
    dequantise,
    expand,
    quantise,
    quantise_within,
)
from velcodec.train.finish import class_rows, laplace_rows, step_ladder

PROBE = 0.7 * torch.randn(6, 256, generator=torch.Generator().manual_seed(23))
SPREAD = 0.05


@pytest.fixture(scope="module")
def decoder() -> Decoder:
    """A decoder in whose latent basis one step means one error, as in finished decoders."""
    torch.manual_seed(21)
    decoder = SirenMixture(MixtureConfig(16, 1, 8, 4, 1, 8, omega_0=6.0)).freeze_()
    curvature = hessian_of(decoder, torch.from_numpy(grid_points(20, 20)).float(), PROBE)
    decoder.reparametrise_(torch.diag(curvature.diagonal(dim1=1, dim2=2).mean(0).rsqrt()))
    decoder.steps = step_ladder()
    decoder.prior_precision = torch.full((256,), 1 / SPREAD**2)
    rows = laplace_rows()
    classes = class_rows(torch.tensor([SPREAD, SPREAD / 4])[:, None].expand(2, 256), decoder.steps)
    shares = torch.tensor([2**13, 2**13], dtype=torch.int32).numpy().astype("uint16")
    decoder.tables = LatentTables(rows, classes, shares)
    return decoder


@pytest.fixture(scope="module")
def points() -> Tensor:
    return torch.from_numpy(grid_points(20, 20)).float()


@pytest.fixture(scope="module")
def fitted(decoder: Decoder, points: Tensor) -> tuple[Tensor, Tensor]:
    latent = SPREAD * torch.randn(6, 256, generator=torch.Generator().manual_seed(22))
    target = decoder(points, latent)
    return fit_latents(decoder, target, points, precision=torch.full((6,), 1e-7)), target


def _expanded(
    decoder: Decoder, points: Tensor, latent: Tensor, target: Tensor
) -> tuple[Expansion, NDArray[np.float64]]:
    """The expansion, and no limit of bits."""
    return expand(decoder, latent, target, points), np.full(len(latent), np.inf)


def test_a_fine_step_keeps_the_fit(
    decoder: Decoder, points: Tensor, fitted: tuple[Tensor, Tensor]
) -> None:
    latent, target = fitted
    index = torch.full((6,), len(decoder.steps) - 1)
    coefficients = quantise(decoder, latent, target, points, index)
    assert coefficients.dtype == torch.int32
    error = squared_error(decoder, points, dequantise(decoder, coefficients, index), target)
    rounding = 256 * decoder.steps[-1].square() / 12
    assert error.mean() < 2 * squared_error(decoder, points, latent, target).mean() + rounding


@pytest.mark.parametrize("step", [8, 14])
def test_descent_beats_plain_rounding(
    decoder: Decoder, points: Tensor, fitted: tuple[Tensor, Tensor], step: int
) -> None:
    latent, target = fitted
    index = torch.full((6,), step)
    plain = torch.round(latent / decoder.steps[index][:, None]).int()
    chosen = quantise(decoder, latent, target, points, index)
    assert decoder.tables is not None
    costs = BitCosts(decoder.tables)

    def loss(coefficients: Tensor) -> Tensor:
        error = squared_error(decoder, points, dequantise(decoder, coefficients, index), target)
        bits = torch.from_numpy(costs.lengths(coefficients.numpy(), index.numpy()))
        return error + decoder.bit_price(index) * bits

    assert loss(chosen).mean() < loss(plain).mean()


def test_a_coarser_step_costs_fewer_bits(
    decoder: Decoder, points: Tensor, fitted: tuple[Tensor, Tensor]
) -> None:
    latent, target = fitted
    size = []
    for step in (4, 12, 20):
        index = torch.full((6,), step)
        found = quantise(decoder, latent, target, points, index)
        size.append(found.abs().sum().item())
    assert size[0] < size[1] < size[2]


def test_bit_costs_count_every_symbol(decoder: Decoder) -> None:
    """The code lengths of a table row satisfy Kraft's inequality."""
    assert decoder.tables is not None
    costs = BitCosts(decoder.tables)
    total = (2.0**-costs.bits).sum(1)
    np.testing.assert_allclose(total, np.ones_like(total), rtol=1e-5)
    limit = (costs.bits.shape[1] - 2) // 2

    def length(value: int) -> float:
        coefficients = np.zeros((1, 256), np.int32)
        coefficients[0, 0] = value
        return float(costs.lengths(coefficients, np.array([12]))[0])

    assert length(limit + 9) > length(limit + 1) > length(0)


def test_coefficients_that_the_prior_holds_do_not_keep_others_from_being_rounded_well(
    decoder: Decoder, points: Tensor, fitted: tuple[Tensor, Tensor]
) -> None:
    """The fit omits them from its Hessian; rounding uses the mean curvature instead."""
    decoder = deepcopy(decoder)
    decoder.prior_precision[100:] = 1e9
    _, target = fitted
    index = torch.full((6,), 12)
    weight = decoder.prior_weight(index)[:, None] * decoder.prior_precision
    descent = Descent(decoder, fitted[0], weight, LMOptions())
    assert descent.leading == 100
    latent = fit_latents(decoder, target, points, precision=decoder.prior_weight(index))
    found = quantise(decoder, latent, target, points, index)
    error = squared_error(decoder, points, dequantise(decoder, found, index), target)
    assert (error < 0.5 * squared_error(decoder, points, torch.zeros_like(latent), target)).all()


def test_the_number_of_threads_changes_no_coefficient(
    decoder: Decoder, points: Tensor, fitted: tuple[Tensor, Tensor]
) -> None:
    many = [tensor.repeat(3, 1) for tensor in fitted]
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            found.append(
                quantise(decoder, *many, points, torch.full((18,), 12), passes=Passes(1, 1))
            )
    finally:
        torch.set_num_threads(before)
    assert torch.equal(found[0], found[1])


@pytest.mark.parametrize("share", [0.02, 0.2])
def test_an_error_that_is_asked_for_is_kept_at_the_coarsest_step_found(
    decoder: Decoder, points: Tensor, fitted: tuple[Tensor, Tensor], share: float
) -> None:
    latent, target = fitted
    most = share * target.square().mean(1)
    guess, last = torch.full((6,), 20), len(decoder.steps) - 1
    found, index = quantise_within(
        decoder,
        latent,
        target,
        points,
        guess,
        most,
        Passes(4, 4),
        *_expanded(decoder, points, latent, target),
    )
    error = squared_error(decoder, points, dequantise(decoder, found, index), target)
    assert (error <= most).all()
    finest, at = torch.full((6,), last), torch.full((6,), last)
    fine = quantise(decoder, latent, target, points, finest, Passes(0, 0))
    assert decoder.tables is not None
    costs = BitCosts(decoder.tables)
    bits = costs.lengths(found.numpy(), index.numpy())
    assert (bits < 0.7 * costs.lengths(fine.numpy(), at.numpy())).all()


def test_an_error_out_of_reach_gives_the_closest_that_was_found(
    decoder: Decoder, points: Tensor, fitted: tuple[Tensor, Tensor]
) -> None:
    latent, target = fitted
    noisy = target + 0.1 * torch.randn(target.shape, generator=torch.Generator().manual_seed(4))
    guess, never = torch.full((6,), 12), torch.full((6,), 1e-9)
    found, index = quantise_within(
        decoder,
        latent,
        noisy,
        points,
        guess,
        never,
        Passes(1, 1),
        *_expanded(decoder, points, latent, noisy),
    )
    error = squared_error(decoder, points, dequantise(decoder, found, index), noisy)
    assert (error < 2.0 * squared_error(decoder, points, latent, noisy)).all()


def test_an_expansion_foretells_the_slope_nearby(
    decoder: Decoder, points: Tensor, fitted: tuple[Tensor, Tensor]
) -> None:
    latent, target = fitted
    around = expand(decoder, latent, target, points)
    moved = torch.randn(latent.shape, generator=torch.Generator().manual_seed(5))
    moved *= 1e-3
    _, slope = error_and_gradient(decoder, points, latent + moved, target)
    change = (slope - around.slope).norm(dim=1)
    missed = (slope - around.slope_at(moved)).norm(dim=1)
    assert (missed < 0.2 * change).all()


def test_the_pass_of_the_expansion_alone_beats_rounding(
    decoder: Decoder, points: Tensor, fitted: tuple[Tensor, Tensor]
) -> None:
    latent, target = fitted
    assert decoder.tables is not None
    index = torch.full((6,), 16)
    costs, at = BitCosts(decoder.tables), index.numpy()
    price = decoder.bit_price(index)

    def cost(coefficients: Tensor) -> Tensor:
        error = squared_error(decoder, points, dequantise(decoder, coefficients, index), target)
        return error + price * torch.from_numpy(costs.lengths(coefficients.numpy(), at))

    steps = decoder.steps[index].numpy()
    rounded = torch.from_numpy(costs.rounded(latent.numpy(), at, steps, price.numpy()))
    around = expand(decoder, latent, target, points)
    found = quantise(decoder, latent, target, points, index, Passes(0, 0), around)
    assert cost(found).mean() < cost(rounded).mean()


def test_a_tile_of_too_many_bits_is_given_up_and_others_are_not(
    decoder: Decoder, points: Tensor, fitted: tuple[Tensor, Tensor]
) -> None:
    latent, target = fitted
    guess, most = torch.full((6,), 8), torch.full((6,), 1e-6)
    around, few = expand(decoder, latent, target, points), np.full(6, np.inf)
    few[:3] = 1.0
    aim = latent, target, points, guess, most, Passes(2, 2), around
    found, at = quantise_within(decoder, *aim, few)
    whole, steps = quantise_within(decoder, *aim, np.full(6, np.inf))
    assert torch.equal(found[3:], whole[3:])
    assert torch.equal(at[3:], steps[3:])
    assert (at[:3] <= steps[:3]).all()
