"""The volumes' sampler: exact at samples, within their range, equivariant, the same in blocks."""

import numpy as np
import pytest
import torch

from velcodec import synth
from velcodec.decode.volume_field import points_per_cell
from velcodec.formats.errors import CorruptError, OptionError, SamplerError
from velcodec.metrics import psnr
from velcodec.report.upsampling import upsample_volume
from velcodec.sampler.compiled import cell_positions
from velcodec.sampler.volume import compiled
from velcodec.sampler.volume.compiled import AROUND, SampledVolume, spline_coefficients
from velcodec.sampler.volume.form import (
    NEWEST_VOLUME_SAMPLER,
    VolumeWeights,
    volume_sampler_of,
)
from velcodec.sampler.volume.network import VolumeNetwork

SHAPE, FINE = (13, 10, 12), (26, 20, 24)


@pytest.fixture(scope="module")
def weights():
    """A network that was not trained: the properties hold for any weights."""
    return VolumeNetwork(torch.Generator().manual_seed(3)).to_weights()


@pytest.fixture(scope="module")
def volume():
    return synth.volumes("salt", 1, 5, SHAPE)[0]


def cells_of(shape, samples):
    axes = [(np.arange(n) + 0.5) * s / n for n, s in zip(shape, samples, strict=True)]
    z, y, x = np.meshgrid(*axes, indexing="ij")
    return np.stack([x, y, z], axis=-1).reshape(-1, 3)


def test_the_native_grid_is_the_samples(volume, weights):
    assert np.array_equal(SampledVolume(volume, weights).grid(*SHAPE), volume)


def test_three_times_the_grid_holds_the_samples(volume, weights):
    fine = SampledVolume(volume, weights).grid(*(3 * n for n in SHAPE))
    assert np.array_equal(fine[1::3, 1::3, 1::3], volume)


def test_values_stay_within_the_samples(volume, weights):
    fine = SampledVolume(volume, weights).grid(*FINE)
    assert volume.min() <= fine.min() < fine.max() <= volume.max()


@pytest.mark.parametrize("axis", range(3), ids="zyx")
def test_a_mirrored_volume_has_the_mirrored_field(volume, weights, axis):
    fine = SampledVolume(volume, weights).grid(*FINE)
    mirrored = SampledVolume(np.flip(volume, axis), weights).grid(*FINE)
    assert np.abs(np.flip(mirrored, axis) - fine).max() < 0.01


def test_scaled_and_shifted_samples_have_the_scaled_and_shifted_field(volume, weights):
    fine = SampledVolume(volume, weights).grid(*FINE)
    other = SampledVolume(volume * 0.25 - 300.0, weights).grid(*FINE)
    assert np.abs((other + 300.0) * 4.0 - fine).max() < 0.01


def test_points_have_the_values_of_the_grid(volume, weights):
    field = SampledVolume(volume, weights)
    values = field.points(cells_of(FINE, SHAPE)).reshape(FINE)
    assert np.array_equal(values, field.grid(*FINE))


def test_a_window_has_the_values_of_the_whole(volume, weights):
    field, whole = SampledVolume(volume, weights), SampledVolume(volume, weights).grid(*FINE)
    z, y, x = ((np.arange(n) + 0.5) * s / n for n, s in zip(FINE, SHAPE, strict=True))
    out = np.empty((1, 5, 9))
    for plane in (0, 7, 25):
        for piece, values in field.pieces(z[plane : plane + 1], y[3:8], x[-9:]):
            out[piece] = values
        assert np.array_equal(out, whole[plane : plane + 1, 3:8, -9:])


def test_blocks_do_not_show(volume, weights, monkeypatch):
    whole = SampledVolume(volume, weights).grid(*FINE)
    monkeypatch.setattr(compiled, "BLOCK", 5)
    assert np.array_equal(SampledVolume(volume, weights).grid(*FINE), whole)


def means(field, cells, average="cell"):
    along = points_per_cell(field.samples.shape, cells)
    at = (
        cell_positions(size, n * k)
        for size, n, k in zip(field.samples.shape, cells, along, strict=True)
    )
    return field.means(*at, along, average, "a")


@pytest.mark.parametrize("cells", [(13, 10, 12), (4, 5, 3), (20, 11, 12)], ids=str)
def test_means_are_those_of_a_finer_rendering(volume, cells):
    field = SampledVolume(volume, volume_sampler_of(NEWEST_VOLUME_SAMPLER))
    along = [4 * max(1, -(-n // m)) + 3 for n, m in zip(SHAPE, cells, strict=True)]
    fine = field.grid(*(n * k for n, k in zip(cells, along, strict=True)))
    fine = fine.reshape([size for pair in zip(cells, along, strict=True) for size in pair])
    cell, slowness = means(field, cells), means(field, cells, "slowness")
    assert (slowness <= cell + 1e-9).all()
    for found, expected in (
        (cell, fine.mean((1, 3, 5))),
        (slowness, 1.0 / (1.0 / fine).mean((1, 3, 5))),
    ):
        assert np.sqrt(np.square(found - expected).mean()) < 0.01 * np.ptp(volume)
        assert np.quantile(np.abs(found - expected), 0.99) < 0.05 * np.ptp(volume)


def test_a_coarser_mean_is_the_mean_of_finer_ones(volume, weights):
    field = SampledVolume(volume[:12], weights)
    fine = means(field, (12, 10, 12)).reshape(4, 3, 5, 2, 6, 2)
    assert np.allclose(means(field, (4, 5, 6)), fine.mean((1, 3, 5)), atol=1e-6)
    assert means(field, (1, 1, 1)) == pytest.approx(fine.mean(), abs=1e-6)
    slow = (1.0 / means(field, (12, 10, 12), "slowness")).mean()
    assert means(field, (1, 1, 1), "slowness") == pytest.approx(1.0 / slow, abs=1e-6)


def test_blocks_and_pieces_do_not_show_in_means(volume, weights, monkeypatch):
    field = SampledVolume(volume, weights)
    whole = means(field, (7, 10, 5))
    monkeypatch.setattr(compiled, "BLOCK", 5)
    monkeypatch.setattr(compiled, "POINTS_AT_ONCE", 300)
    assert np.allclose(means(field, (7, 10, 5)), whole, atol=1e-9)


@pytest.mark.parametrize("least", [0.0, -10.0])
def test_velocities_that_are_not_positive_have_no_slowness(weights, least):
    samples = np.full((6, 5, 4), least)
    samples[:3] = 2000.0 if least else least
    field = SampledVolume(samples, weights)
    assert means(field, (3, 3, 3)).shape == (3, 3, 3)
    with pytest.raises(OptionError, match="a: average slowness: found a velocity of"):
        means(field, (12, 10, 9), "slowness")


def test_torch_computes_the_same_field(volume, weights):
    network = VolumeNetwork.from_weights(weights).double()
    cells = torch.tensor(cells_of(FINE, SHAPE))[None]
    with torch.no_grad():
        values = network(network.prepare(torch.tensor(volume)[None].double()), cells)
    expected = values.numpy().reshape(FINE).clip(volume.min(), volume.max())
    assert np.abs(SampledVolume(volume, weights).grid(*FINE) - expected).max() < 0.02


def test_gradients_are_those_of_the_field(volume, weights, monkeypatch):
    from velcodec.sampler.volume import render

    monkeypatch.setattr(render, "volume_sampler_of", lambda name: weights)
    monkeypatch.setattr(render, "BLOCK", 6)
    render._network.cache_clear()
    field = render.TorchVolume(volume, None)
    cells = np.random.default_rng(1).random((40, 3)) * SHAPE[::-1]
    values = field.points(torch.tensor(cells)).numpy()
    assert np.abs(values - SampledVolume(volume, weights).points(cells)).max() < 0.02
    slopes = field.gradient(cells)
    for axis in range(3):
        step = np.eye(3)[axis] * 1e-5
        ahead, behind = (field.points(torch.tensor(cells + s)).numpy() for s in (step, -step))
        found = (ahead - behind) / 2e-5
        assert np.median(np.abs(found - slopes[:, axis])) < 0.1
    render._network.cache_clear()


def test_a_part_with_enough_around_it_has_the_field_of_the_whole(weights):
    volume = synth.volumes("gradient", 1, 5, (8, 6, 2 * AROUND + 12))[0]
    whole = SampledVolume(volume, weights)
    part = SampledVolume(volume[:, :, : AROUND + 6], weights, (whole.least, whole.most))
    cells = cells_of((8, 6, 12), (8, 6, 6))
    assert np.abs(part.points(cells) - whole.points(cells)).max() < 1e-3


def test_a_constant_volume_stays_constant(weights):
    assert np.array_equal(
        SampledVolume(np.full(SHAPE, 7), weights).grid(4, 5, 6), np.full((4, 5, 6), 7)
    )


@pytest.mark.parametrize("shape", [(1, 1, 2), (2, 1, 1), (1, 3, 1), (2, 2, 2)], ids=str)
def test_volumes_of_a_few_samples_have_a_field(weights, shape):
    samples = np.arange(np.prod(shape), dtype=float).reshape(shape)
    fine = SampledVolume(samples, weights).grid(*(3 * n for n in shape))
    assert np.isfinite(fine).all()
    assert np.array_equal(fine[1::3, 1::3, 1::3], samples)


def test_the_spline_passes_through_the_samples(volume):
    c = spline_coefficients(volume.astype(float))
    for axis in range(3):
        n = volume.shape[axis]
        c = sum(
            w * c.take(range(1 + k, 1 + k + n), axis) for k, w in enumerate((1 / 6, 4 / 6, 1 / 6))
        )
    assert np.abs(c - volume).max() < 1e-8


def test_samples_that_would_overflow_are_refused(weights):
    with pytest.raises(SamplerError, match="expected at most"):
        SampledVolume(np.array([[[0.0, 2e300]]]), weights)


def test_weights_come_back_from_a_file(weights, tmp_path):
    weights.save(tmp_path / "w.safetensors")
    again = VolumeWeights.read(tmp_path / "w.safetensors")
    assert all(
        np.array_equal(a, b)
        for a, b in zip(vars(weights).values(), vars(again).values(), strict=True)
    )
    with pytest.raises(CorruptError, match="here: sampler"):
        VolumeWeights.from_bytes(b"nothing", "here")


@pytest.mark.parametrize("family", [name for name in synth.VOLUME_FAMILIES if name != "flat"])
def test_twice_the_grid_is_better_than_the_usual_interpolations(family):
    """Flat interfaces leave no trace of where between two samples they lie: nothing to gain."""
    weights = volume_sampler_of(NEWEST_VOLUME_SAMPLER)
    gains = []
    for number in range(2):
        volume = synth.draw_volumes(family, 41, number, 1)
        stored, truth = (volume.render(n, n, n)[0].numpy() for n in (28, 56))
        ours = psnr(truth, SampledVolume(stored, weights).grid(56, 56, 56))
        others = [
            psnr(truth, upsample_volume(stored.astype(float), (56, 56, 56), method))
            for method in ("bilinear", "bicubic", "spline")
        ]
        gains.append(ours - max(others))
    assert np.mean(gains) > 0.5


def test_a_sampler_of_another_number_is_refused():
    with pytest.raises(SamplerError, match="volume-sampler: found number 9, expected 1 to 1"):
        volume_sampler_of(9)
