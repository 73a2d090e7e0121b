"""Generated volumes: one volume for one seed, the same at every grid, like the 2-D families."""

import numpy as np
import pytest
import torch

from velcodec import synth
from velcodec.synth.layered import HIGH, LOW
from velcodec.synth.statistics import interface_depths, transitional_share

families = pytest.mark.parametrize("family", synth.VOLUME_FAMILIES)
SHARP = ("flat", "folded", "faulted", "channels")


@families
def test_the_same_seed_gives_the_same_bytes_on_any_number_of_threads(family):
    before = torch.get_num_threads()
    rendered = []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            rendered.append(synth.draw_volumes(family, 5, 2, 1).render(40, 70, 65).numpy())
    finally:
        torch.set_num_threads(before)
    assert rendered[0].tobytes() == rendered[1].tobytes() == rendered[2].tobytes()


@families
def test_a_volume_does_not_depend_on_its_batch(family):
    whole = synth.draw_volumes(family, 7, 0, 5).render(20, 16, 12)
    assert torch.equal(whole[3], synth.draw_volumes(family, 7, 3, 1).render(20, 16, 12)[0])
    assert np.array_equal(whole.numpy(), synth.volumes(family, 5, 7, (20, 16, 12)))


@families
def test_seeds_and_numbers_give_other_volumes(family):
    some = [synth.volumes(family, 8, seed, (24, 6, 5)) for seed in (1, 2)]
    assert len(np.unique(np.concatenate(some).reshape(16, -1), axis=0)) == 16


@families
def test_another_grid_shows_the_same_volume(family):
    volumes = synth.draw_volumes(family, 3, 0, 3)
    coarse, fine = volumes.render(32, 24, 28), volumes.render(96, 72, 84)
    # Cell centres of the coarse grid are every third of the fine one; rounding may move an edge.
    differ = (fine[:, 1::3, 1::3, 1::3] - coarse).abs() > 0.5
    assert differ.float().mean() < 1e-3


@families
def test_points_have_the_values_of_the_grid(family):
    volumes = synth.draw_volumes(family, 4, 0, 2)
    grid = volumes.render(16, 12, 8)
    z, y, x = (torch.arange(n) * (2.0 / n) + (1.0 / n - 1.0) for n in (16, 12, 8))
    points = torch.stack(torch.meshgrid(z, y, x, indexing="ij")[::-1], dim=-1).reshape(-1, 3)
    for values in (volumes.evaluate(points), volumes.evaluate(points.expand(2, -1, -1))):
        assert values.dtype == torch.float32
        assert ((values.reshape(2, 16, 12, 8) - grid).abs() > 0.5).float().mean() < 2e-3


@families
def test_velocities_are_those_of_the_published_sets(family):
    volumes = synth.volumes(family, 12, 9, (32, 32, 32))
    assert volumes.min() >= LOW
    assert volumes.max() <= HIGH
    assert 2100 < volumes.mean() < 3300
    assert 250 < volumes.std() < 1300


@pytest.mark.parametrize("family", SHARP)
def test_sharp_families_hold_a_few_whole_velocities(family):
    volumes = synth.volumes(family, 6, 2, (35, 35, 35))
    assert transitional_share(volumes) == 0.0
    assert all(len(np.unique(volume)) <= 32 for volume in volumes)


def test_sections_of_flat_volumes_are_like_models_of_flatvel():
    volumes = synth.volumes("flat", 150, 1, (70, 3, 2))
    assert np.array_equal(volumes, np.broadcast_to(volumes[:, :, :1, :1], volumes.shape))
    models = torch.cat([synth.draw(f"flatvel_{kind}", 1, 0, 75).render(70, 2) for kind in "ab"])

    def interfaces(columns):
        return np.array([len(interface_depths(column)) for column in columns])

    found, expected = interfaces(volumes[:, :, 0, 0]), interfaces(models[:, :, 0].numpy())
    assert set(found) <= set(range(2, 8))
    assert abs(found.mean() - expected.mean()) < 0.4


def test_sections_of_folded_volumes_undulate_like_models_of_curvevel():
    def reliefs(sections):
        """Depth range of the first interface that crosses the whole section."""
        found = []
        for section in sections:
            first = (section != section[0, 0]).argmax(axis=0)
            if first.min() > 0:
                found.append(np.ptp(first))
        return np.median(found)

    volumes = synth.volumes("folded", 80, 1, (70, 2, 70))[:, :, 0]
    models = synth.draw("curvevel_a", 1, 0, 200).render(70, 70).numpy()
    assert 0.5 < reliefs(volumes) / reliefs(models) < 2.0


def test_faulted_volumes_have_planes_that_dip():
    """The same section, further along y, has its fault elsewhere."""
    volumes = synth.volumes("faulted", 12, 1, (48, 24, 48))
    moved = [(volume[:, 0] != volume[:, -1]).mean() for volume in volumes]
    assert np.median(moved) > 0.02


def test_blended_volumes_have_edges_a_cell_wide():
    share = transitional_share(synth.volumes("blended", 20, 1, (70, 8, 70)))
    models = synth.draw("flatfault_a", 1, 0, 40).render(70, 70).numpy()
    assert 0.3 < share / transitional_share(models) < 2.0


def test_an_unknown_family_is_refused():
    with pytest.raises(ValueError, match=r"family: expected one of flat, .*, found 'round'"):
        synth.draw_volumes("round", 1, 0, 1)


def test_points_of_two_coordinates_are_refused():
    with pytest.raises(ValueError, match="points: expected"):
        synth.draw_volumes("flat", 1, 0, 1).evaluate(torch.zeros(4, 2))
