"""Both architectures satisfy the interface."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from tiny_decoder import untrained_decoder
from torch import Tensor

from velcodec.decode import torch_tiles
from velcodec.decoder import ConcatConfig, Decoder, MixtureConfig, SirenConcat, SirenMixture
from velcodec.decoder.file import build_decoder, pack
from velcodec.decoder.points import grid_points as torch_points
from velcodec.decoder.siren_mixture import cpu
from velcodec.decoder.siren_mixture.network import freeze
from velcodec.formats.errors import DecoderFileError
from velcodec.geometry import cell_centres, grid_points

SMALL = {
    "mixture": lambda: SirenMixture(MixtureConfig(width=16, gates=8, components=4)),
    "mixture-without-warp": lambda: SirenMixture(MixtureConfig(16, 2, 8, 4, 0, 0)),
    "mixture-with-strata": lambda: SirenMixture(MixtureConfig(16, 1, 8, 4, 1, 8, strata=5)),
    "concat": lambda: SirenConcat(ConcatConfig(width=32, hidden_layers=2)),
    "concat-relu": lambda: SirenConcat(ConcatConfig(32, 2, activation="relu")),
}


@pytest.fixture(params=sorted(SMALL))
def decoder(request: pytest.FixtureRequest) -> Decoder:
    torch.manual_seed(3)
    return SMALL[request.param]().double()


@pytest.fixture
def latent() -> Tensor:
    return 0.3 * torch.randn(3, 256, generator=torch.Generator().manual_seed(4)).double()


@pytest.fixture
def points() -> Tensor:
    where = torch.rand(3, 25, 2, generator=torch.Generator().manual_seed(5))
    return 2 * where.double() - 1


def test_jacobian_is_autograds(decoder: Decoder, latent: Tensor, points: Tensor) -> None:
    values, slope = decoder.jacobian(points, latent)
    for i in range(len(latent)):
        one = points[i : i + 1]
        by_autograd = torch.func.jacrev(lambda z, p=one: decoder(p, z[None])[0])(latent[i])
        torch.testing.assert_close(slope[i], by_autograd, rtol=1e-9, atol=1e-11)
    torch.testing.assert_close(values, decoder(points, latent))


def test_point_gradient_is_finite_differences(
    decoder: Decoder, latent: Tensor, points: Tensor
) -> None:
    values, gradient = decoder.point_gradient(points, latent)
    for axis in range(2):
        step = torch.zeros(2, dtype=torch.float64)
        step[axis] = 1e-6
        slope = (decoder(points + step, latent) - decoder(points - step, latent)) / 2e-6
        torch.testing.assert_close(gradient[..., axis], slope, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(values, decoder(points, latent))


def test_shared_points_are_the_same_as_repeated_points(decoder: Decoder, latent: Tensor) -> None:
    shared = torch.from_numpy(grid_points(5, 7))
    torch.testing.assert_close(
        decoder(shared, latent), decoder(shared.expand(3, -1, -1).clone(), latent)
    )


def test_a_change_of_basis_changes_no_rendering(
    decoder: Decoder, latent: Tensor, points: Tensor
) -> None:
    before = decoder(points, latent)
    basis = torch.randn(256, 256, generator=torch.Generator().manual_seed(6)).double()
    decoder.reparametrise_(basis)
    moved = torch.linalg.solve(basis, latent.T).T
    torch.testing.assert_close(decoder(points, moved), before, rtol=1e-6, atol=1e-6)


def test_points_are_x_first(decoder: Decoder, latent: Tensor) -> None:
    x_only = torch.tensor([[0.5, 0.0]]).double()
    z_only = torch.tensor([[0.0, 0.5]]).double()
    first = decoder.first if isinstance(decoder, SirenMixture) else decoder.first.weight
    if isinstance(decoder, SirenMixture):
        with torch.no_grad():
            decoder.modulation.zero_()
            if decoder.settings.strata:
                decoder.jump.zero_()  # strata see only z
    with torch.no_grad():
        first[:, 1] = 0  # the decoder no longer sees z ...
    reference = decoder(torch.zeros(1, 2).double(), latent)
    assert torch.equal(decoder(z_only, latent), reference)
    assert not torch.allclose(decoder(x_only, latent), reference)


def test_the_papers_decoder_has_the_papers_parameters() -> None:
    decoder = SirenConcat()
    assert sum(p.numel() for p in decoder.parameters()) == 1_183_745
    bound = math.sqrt(6 / 512) / 30
    assert decoder.first.weight.abs().max() <= 1 / 258
    assert decoder.first.weight.abs().max() > 0.99 / 258
    for layer in (*decoder.hidden, decoder.output):
        assert 0.99 * bound < layer.weight.abs().max() <= bound
    first = decoder(torch.tensor([[0.1, -0.4]]), torch.zeros(1, 256))
    assert first.shape == (1, 1)


def test_the_default_trunk_is_narrow() -> None:
    c = SirenMixture().settings
    per_point = 2 * (c.faults * 4 + c.warp_features * 4 + 2 * c.width)
    per_point += 2 * c.hidden_layers * c.width**2 + 2 * (c.components + 1) * c.width
    assert per_point <= 25_000


def test_renderings_at_other_resolutions_line_up(decoder: Decoder, latent: Tensor) -> None:
    """Odd refinements share cell centres with the coarse grid."""
    coarse, fine = (torch.from_numpy(grid_points(n, n)) for n in (6, 18))
    at_coarse = decoder(coarse, latent).view(-1, 6, 6)
    at_fine = decoder(fine, latent).view(-1, 18, 18)[:, 1::3, 1::3]
    torch.testing.assert_close(at_coarse, at_fine)
    assert abs(cell_centres(6)[0] - cell_centres(18)[1]) < 1e-15


def test_a_sine_configuration_does_not_name_its_activation() -> None:
    """So that files from before the option keep their identity."""
    config = SirenConcat(ConcatConfig(width=16, hidden_layers=1)).config
    assert "activation" not in config
    assert build_decoder(config).config == config


def test_a_relu_configuration_builds_the_same_decoder_again() -> None:
    decoder = SirenConcat(ConcatConfig(16, 1, activation="relu"))
    again = build_decoder(decoder.config)
    again.load_state_dict(decoder.state_dict())
    latent, points = torch.ones(1, 256), torch.rand(9, 2)
    assert again.config["activation"] == "relu"
    assert torch.equal(again(points, latent), decoder(points, latent))


def test_an_unknown_activation_is_refused() -> None:
    with pytest.raises(DecoderFileError, match="activation: found 'tanh'"):
        build_decoder({"architecture": "siren-concat", "activation": "tanh"})


ABSURD = {
    "weights of a model": {"architecture": "siren-mixture", "width": 500, "hidden_layers": 2},
    "weights": {"architecture": "siren-mixture", "width": 16, "components": 4000},
    "multiplications of its gates": {
        "architecture": "siren-mixture", "width": 300, "gates": 4000, "hidden_layers": 1,
    },
    "multiplications of a point": {"architecture": "siren-concat", "width": 1100},
    "activations of a point": {
        "architecture": "siren-concat", "width": 100, "hidden_layers": 64,
    },
}  # fmt: skip


@pytest.mark.parametrize("what", ABSURD)
def test_a_decoder_that_would_take_much_for_a_model_is_refused(what: str) -> None:
    with pytest.raises(DecoderFileError, match=f"configuration: {what}: found .* expected at most"):
        build_decoder(ABSURD[what])


def test_a_decoder_that_no_reader_would_take_is_not_written() -> None:
    decoder = SirenMixture(MixtureConfig(width=500, hidden_layers=2))
    decoder.tables = untrained_decoder().tables
    with pytest.raises(DecoderFileError, match="weights of a model"):
        pack(decoder, {})


def test_how_many_models_are_rendered_together_changes_rounding_at_most(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    decoder = untrained_decoder()
    latents = 0.1 * torch.randn(9, 256, generator=torch.Generator().manual_seed(1))
    low = np.full(9, 1500.0)
    tiles = torch_tiles.render_tiles(latents, low, low + 900.0, decoder)
    points = torch.from_numpy(grid_points(3, 4)).float()
    where = points.numpy().T
    frozen = cpu.cpu_renderer(freeze(decoder))

    def rendered() -> tuple[np.ndarray, np.ndarray]:
        own = frozen.velocities(latents.numpy(), low, low + 900.0, where)
        with monkeypatch.context() as patched:
            patched.setattr(SirenMixture, "compiled", lambda _: None)
            return own, torch_tiles.tile_values(decoder, tiles, points).numpy()

    together = rendered()
    monkeypatch.setattr(cpu, "WEIGHTS_AT_ONCE", 1)
    monkeypatch.setattr(torch_tiles, "WEIGHTS_AT_ONCE", 1)
    assert torch_tiles.models_at_once(decoder) == 1
    alone = rendered()
    assert np.array_equal(alone[0], together[0])
    np.testing.assert_allclose(alone[1], together[1], atol=0.1)  # torch's sums hang on the batch


def test_draws_from_the_prior_have_its_deviations() -> None:
    tiny = untrained_decoder()
    drawn = tiny.sample(4000, generator=torch.Generator().manual_seed(1))
    assert drawn.shape == (4000, 256)
    assert (drawn.std(0) / tiny.deviations) == pytest.approx(torch.ones(256), abs=0.06)
    again = tiny.sample(4000, generator=torch.Generator().manual_seed(1))
    assert torch.equal(drawn, again)


def test_the_log_prior_is_the_density_of_the_draws() -> None:
    tiny = untrained_decoder()
    latents = tiny.sample(5, generator=torch.Generator().manual_seed(2)).view(5, 1, 256)
    normal = torch.distributions.Normal(torch.zeros(256), tiny.deviations)
    assert tiny.log_prior(latents) == pytest.approx(normal.log_prob(latents).sum(-1), rel=1e-4)


def test_points_as_tensors_are_those_of_the_arrays() -> None:
    points = torch_points(5, 7, dtype=torch.float64)
    assert np.array_equal(points.numpy(), grid_points(5, 7))
