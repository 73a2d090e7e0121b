"""The compiled loops of `siren-mixture` agree with autograd; they serve float32 on the CPU only."""

from __future__ import annotations

from copy import deepcopy

import numpy as np
import pytest
import torch
from torch import Tensor

from velcodec.decoder import Decoder, MixtureConfig, SirenMixture, load_decoder
from velcodec.decoder.siren_mixture import fit_cpu as compiled
from velcodec.decoder.siren_mixture import fit_kernels
from velcodec.fit.lm import hessian_of
from velcodec.geometry import grid_points

KINDS = {
    "all parts": MixtureConfig(16, 2, 8, 4, 2, 8, strata=3, omega_0=6.0),
    "no strata": MixtureConfig(16, 1, 8, 4, 1, 8, omega_0=6.0),
    "no warp, no faults": MixtureConfig(16, 1, 8, 4, 0, 0, strata=2, omega_0=6.0),
    "as shipped": None,
}


@pytest.fixture(params=sorted(KINDS))
def decoder(request: pytest.FixtureRequest) -> Decoder:
    config = KINDS[request.param]
    if config is None:
        return load_decoder("velcodec-2")
    torch.manual_seed(8)
    return SirenMixture(config).freeze_()


@pytest.fixture
def latent(decoder: Decoder) -> Tensor:
    drawn = torch.randn(3, 256, generator=torch.Generator().manual_seed(4))
    return 0.5 * drawn * decoder.prior_precision.rsqrt()


@pytest.fixture
def points() -> Tensor:
    return torch.from_numpy(grid_points(9, 11)).float()


def in_double(decoder: Decoder) -> Decoder:
    """A copy whose derivatives by autograd are the truth."""
    again = SirenMixture(decoder.settings).double()  # type: ignore[arg-type]
    again.load_state_dict({key: value.double() for key, value in decoder.state_dict().items()})
    return again


def close(found: Tensor, expected: Tensor, tolerance: float) -> None:
    """Within `tolerance` of the largest value, everywhere."""
    assert found.shape == expected.shape
    assert (found.double() - expected).abs().max() <= tolerance * expected.abs().max()


def test_values_are_those_of_autograds_rendering(
    decoder: Decoder, latent: Tensor, points: Tensor
) -> None:
    assert compiled.serves(latent)
    expected = in_double(decoder)(points.double(), latent.double())
    close(decoder.values(points, latent), expected, 1e-5)


@pytest.mark.parametrize("training", [False, True])
def test_the_gradient_of_the_error_is_autograds(
    decoder: Decoder, latent: Tensor, points: Tensor, training: bool
) -> None:
    """In one pass over blocks of points, and from stored layers while the weights may change."""
    decoder = deepcopy(decoder)
    for parameter in decoder.parameters():
        parameter.requires_grad_(training)
    assert (decoder.compiled() is None) == training
    target = torch.rand(3, 99, generator=torch.Generator().manual_seed(5))
    error, gradient = decoder.error_and_gradient(points, latent, target)
    exact = in_double(decoder)
    z = latent.double().requires_grad_(True)
    expected = (exact(points.double(), z) - target).square().mean(1)
    (slope,) = torch.autograd.grad(expected.sum(), z)
    close(error, expected.detach(), 1e-5)
    close(gradient, slope / 2, 1e-4)
    close(decoder.squared_error(points, latent, target), expected.detach(), 1e-5)


def test_every_model_may_have_its_own_points(decoder: Decoder, latent: Tensor) -> None:
    drawn = torch.Generator().manual_seed(6)
    points, target = 2 * torch.rand(3, 150, 2, generator=drawn) - 1, torch.rand(3, 150)
    error, gradient = decoder.error_and_gradient(points, latent, target)
    for k in range(3):
        alone = decoder.error_and_gradient(points[k], latent[k : k + 1], target[k : k + 1])
        torch.testing.assert_close(error[k : k + 1], alone[0])
        torch.testing.assert_close(gradient[k : k + 1], alone[1])


@pytest.mark.parametrize("leading", [None, 40])
def test_the_jacobian_is_autograds(
    decoder: Decoder, latent: Tensor, points: Tensor, leading: int | None
) -> None:
    values, slope = decoder.jacobian(points, latent, leading)
    exact = in_double(decoder)
    for i in range(len(latent)):
        expected = torch.func.jacrev(lambda z: exact(points.double(), z[None])[0])(
            latent[i].double()
        )
        close(slope[i], expected[:, :leading], 1e-4)
    close(values, exact(points.double(), latent.double()), 1e-5)


def test_each_model_may_have_separate_points(decoder: Decoder, latent: Tensor) -> None:
    where = 2 * torch.rand(3, 40, 2, generator=torch.Generator().manual_seed(5)) - 1
    exact = in_double(decoder)
    close(
        decoder.jacobian(where, latent)[1], exact.jacobian(where.double(), latent.double())[1], 1e-4
    )
    close(decoder.values(where, latent), exact(where.double(), latent.double()), 1e-5)


@pytest.mark.parametrize(("bfloat16", "tolerance"), [(False, 1e-4), (True, 2e-2)])
@pytest.mark.parametrize("leading", [None, 40])
def test_the_hessian_is_autograds_jacobian_squared(
    decoder: Decoder,
    latent: Tensor,
    points: Tensor,
    leading: int | None,
    bfloat16: bool,
    tolerance: float,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(compiled, "quick_bfloat16", lambda: bfloat16)
    exact = in_double(decoder)
    found = hessian_of(decoder, points, latent, leading)
    for i in range(len(latent)):
        J = torch.func.jacrev(lambda z: exact(points.double(), z[None])[0])(latent[i].double())
        J = J[:, :leading]
        close(found[i], J.T @ J / len(points), tolerance)


@pytest.mark.parametrize(
    "tensor",
    [torch.zeros(1, dtype=torch.float64), torch.zeros(1, device="meta")],
    ids=["float64", "another device"],
)
def test_other_tensors_use_torch(tensor: Tensor) -> None:
    assert not compiled.serves(tensor)


def test_sine_and_cosine_keep_their_accuracy_far_out() -> None:
    argument = np.linspace(-3000, 3000, 60_001, dtype=np.float32)[None, None]
    exact = argument.astype(np.float64)
    sine, cosine, zero = argument.copy(), np.empty_like(argument), np.zeros((1, 1), np.float32)
    fit_kernels.sine_and_cosine_(sine, zero, cosine)
    assert np.abs(sine - np.sin(exact)).max() < 2e-7
    assert np.abs(cosine - np.cos(exact)).max() < 2e-7
    alone = argument.copy()
    fit_kernels.sine_(alone, zero)
    assert np.array_equal(alone, sine)


def test_one_component_far_above_the_others_leaves_no_nan(points: Tensor) -> None:
    """A softmax of logits hundreds apart, an infinitely steep fault."""
    torch.manual_seed(8)
    decoder = SirenMixture(KINDS["all parts"]).freeze_()
    with torch.no_grad():
        decoder.logit_bias[0] = 5e4
        decoder.fault_plane *= 1e6
        decoder.log_rate += 30
    latent = torch.zeros(2, 256)
    values, slope = decoder.jacobian(points, latent)
    assert values.isfinite().all()
    assert slope.isfinite().all()
    torch.testing.assert_close(values, decoder(points, latent), rtol=1e-4, atol=1e-4)
