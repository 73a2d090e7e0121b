"""The field between stored samples: properties that hold for any weights."""

from __future__ import annotations

from collections.abc import Callable
from unittest import mock

import numpy as np
import pytest
import torch
from checkers import layered
from hypothesis import given, settings
from hypothesis import strategies as st

from velcodec.formats.errors import InputDtypeError, InputShapeError, OptionError
from velcodec.sampler import compiled, render
from velcodec.sampler.cell_average import averaged
from velcodec.sampler.compiled import SampledField, cell_positions
from velcodec.sampler.form import NEWEST_SAMPLER, SamplerWeights, sampler_of
from velcodec.sampler.network import SamplerNetwork
from velcodec.sampler.render import TorchField, upsample

QUICK = settings(deadline=None, max_examples=25)
SIDES = st.integers(1, 14)
SEEDS = st.integers(0, 99)
GRIDS = [(31, 40), (11, 3), (7, 9), (1, 1), (1, 30), (25, 1)]


def shipped() -> SamplerWeights:
    return sampler_of(NEWEST_SAMPLER)


def drawn() -> SamplerWeights:
    """Untrained weights, with which the B-spline counts everywhere."""
    return SamplerNetwork(torch.Generator().manual_seed(2)).to_weights()


BOTH = {"shipped": shipped(), "drawn": drawn()}
WEIGHTS = pytest.mark.parametrize("learned", BOTH)
ANY_WEIGHTS = st.sampled_from(list(BOTH))


def layers(random: np.random.Generator, nz: int, nx: int) -> np.ndarray:
    return layered(2, nz, nx, seed=int(random.integers(99)))[1].astype(np.float64)


def hills(random: np.random.Generator, nz: int, nx: int) -> np.ndarray:
    return layered(1, nz, nx, seed=int(random.integers(99)))[0].astype(np.float64)


def noise(random: np.random.Generator, nz: int, nx: int) -> np.ndarray:
    return random.uniform(1500, 4500, (nz, nx))


def blocks(random: np.random.Generator, nz: int, nx: int) -> np.ndarray:
    return random.choice([1500.0, 2200.0, 4500.0], (nz, nx))


KINDS = [layers, hills, noise, blocks]


@st.composite
def samples_of_a_model(draw: st.DrawFn, sides: st.SearchStrategy[int] = SIDES) -> np.ndarray:
    """Samples of any kind and shape, float64 m/s."""
    kind = draw(st.sampled_from(KINDS))
    return kind(np.random.default_rng(draw(SEEDS)), draw(sides), draw(sides))


def rough(nz: int, nx: int, seed: int = 0) -> np.ndarray:
    """Samples with sharp and smooth parts, float64 m/s."""
    random = np.random.default_rng(seed)
    return np.where(random.random((nz, nx)) < 0.1, 4000.0, layers(random, nz, nx))


def on_torch(learned: str, samples: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """Values at points (x, z) in cells by the torch path in float64, not clamped."""
    network = SamplerNetwork.from_weights(BOTH[learned]).double()
    with torch.no_grad():
        prepared = network.prepare(torch.as_tensor(samples)[None])
        return network(prepared, torch.as_tensor(cells)[None])[0].numpy()


def native_cells(nz: int, nx: int) -> np.ndarray:
    """Points (x, z) in cells of the samples themselves."""
    x, z = np.meshgrid(np.arange(nx) + 0.5, np.arange(nz) + 0.5)
    return np.stack([x.ravel(), z.ravel()], axis=1)


def scattered(random: np.random.Generator, count: int, nz: int, nx: int) -> np.ndarray:
    """Points (x, z) in cells anywhere in the extent."""
    return random.random((count, 2)) * (nx, nz)


# The torch path and the compiled one, for properties of both.

Path = Callable[[str, np.ndarray, np.ndarray], np.ndarray]


def on_cpu(learned: str, samples: np.ndarray, cells: np.ndarray) -> np.ndarray:
    return SampledField(samples, BOTH[learned]).points(cells)


PATHS = pytest.mark.parametrize("path", [on_cpu, on_torch])


@QUICK
@given(samples_of_a_model(), ANY_WEIGHTS, st.sampled_from([1, 3, 5, 7, 49]))
def test_the_field_passes_through_every_sample(samples: np.ndarray, learned: str, odd: int) -> None:
    nz, nx = samples.shape
    field = SampledField(samples, BOTH[learned])
    fine = field.grid(odd * nz, odd * nx)
    assert np.array_equal(fine[odd // 2 :: odd, odd // 2 :: odd], samples)
    cells = native_cells(nz, nx)
    assert np.array_equal(field.points(cells), samples.ravel())
    assert np.allclose(on_torch(learned, samples, cells), samples.ravel(), rtol=1e-12, atol=0)


@PATHS
@QUICK
@given(
    samples=samples_of_a_model(),
    learned=ANY_WEIGHTS,
    scale=st.floats(1e-3, 1e3),
    shift=st.floats(-1e4, 1e4),
    seed=SEEDS,
)
def test_the_field_follows_scale_and_shift_of_the_samples(
    path: Path, samples: np.ndarray, learned: str, scale: float, shift: float, seed: int
) -> None:
    cells = scattered(np.random.default_rng(seed), 50, *samples.shape)
    found = path(learned, scale * samples + shift, cells)
    expected = scale * path(learned, samples, cells) + shift
    assert np.abs(found - expected).max() <= 1e-3 * scale * max(1.0, np.ptp(samples))


@QUICK
@given(samples_of_a_model(), ANY_WEIGHTS, SIDES, SIDES, SEEDS)
def test_no_value_leaves_the_range_of_the_samples(
    samples: np.ndarray, learned: str, to_z: int, to_x: int, seed: int
) -> None:
    field = SampledField(samples, BOTH[learned])
    cells = scattered(np.random.default_rng(seed), 50, *samples.shape)
    there = TorchField(samples, NEWEST_SAMPLER, "cpu")
    for found in (
        field.grid(to_z, to_x),
        field.points(cells),
        field.averages(to_z, to_x, "cell", "a"),
        field.averages(to_z, to_x, "slowness", "a"),
        there.grid(to_z, to_x).numpy(),
        there.points(torch.as_tensor(cells)).numpy(),
    ):
        assert samples.min() <= found.min() <= found.max() <= samples.max()


@PATHS
@QUICK
@given(samples=samples_of_a_model(st.integers(2, 9)), learned=ANY_WEIGHTS, seed=SEEDS)
def test_small_steps_make_small_changes(
    path: Path, samples: np.ndarray, learned: str, seed: int
) -> None:
    """Across the lines between samples, at samples, and near the edges of the extent."""
    (nz, nx), random = samples.shape, np.random.default_rng(seed)
    anywhere = scattered(random, 200, nz, nx)
    on_lines = np.where(random.random((200, 2)) < 0.7, np.floor(anywhere) + 0.5, anywhere)
    on_edges = np.where(random.random((200, 2)) < 0.5, np.round(anywhere), anywhere)
    start = np.concatenate([anywhere, on_lines, on_edges])
    step = 1e-10 * random.choice([-1.0, 1.0], start.shape)
    before, after = ((start + side * step).clip(0, (nx, nz)) for side in (-1, 1))
    change = path(learned, samples, after) - path(learned, samples, before)
    assert np.abs(change).max() <= 1e-3 * np.ptp(samples)


@QUICK
@given(
    samples_of_a_model(), ANY_WEIGHTS, SIDES, SIDES, st.sampled_from([(0,), (1,), (0, 1)]), SEEDS
)
def test_mirrored_samples_give_the_mirrored_field(
    samples: np.ndarray,
    learned: str,
    to_z: int,
    to_x: int,
    axes: tuple[int, ...],
    seed: int,
) -> None:
    there = np.flip(samples, axes)
    small = 1e-3 * max(1.0, np.ptp(samples))
    grids = [SampledField(each, BOTH[learned]).grid(to_z, to_x) for each in (samples, there)]
    assert np.abs(np.flip(grids[1], axes) - grids[0]).max() <= small
    cells = scattered(np.random.default_rng(seed), 50, *samples.shape)
    moved = cells.copy()
    for axis in axes:
        moved[:, 1 - axis] = samples.shape[axis] - cells[:, 1 - axis]
    for path in (on_cpu, on_torch):
        found = path(learned, there.copy(), moved) - path(learned, samples, cells)
        assert np.abs(found).max() <= small


@WEIGHTS
@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (2, 2), (7, 9)])
def test_models_of_any_shape_have_any_grid(shape: tuple[int, int], learned: str) -> None:
    samples = noise(np.random.default_rng(1), *shape)
    for nz, nx in GRIDS:
        cells = np.stack(
            [
                np.tile(cell_positions(shape[1], nx), nz),
                np.repeat(cell_positions(shape[0], nz), nx),
            ],
            axis=1,
        )
        field = SampledField(samples, BOTH[learned])
        found = field.grid(nz, nx)
        assert found.shape == (nz, nx)
        assert np.array_equal(found.ravel(), field.points(cells))
        assert TorchField(samples, NEWEST_SAMPLER, "cpu").grid(nz, nx).shape == (nz, nx)
        assert upsample(torch.as_tensor(samples)[None], nz, nx).shape == (1, nz, nx)


def test_the_field_of_a_constant_is_that_constant() -> None:
    for value in (1500.0, 0.1, -3.0, 0.0, 1e300):
        samples = np.full((6, 8), value)
        field, there = (
            SampledField(samples, shipped()),
            TorchField(samples, NEWEST_SAMPLER, "cpu"),
        )
        for nz, nx in GRIDS:
            assert (field.grid(nz, nx) == value).all()
            assert (field.averages(nz, nx, "cell", "a") == value).all()
            assert (there.grid(nz, nx) == value).all()
        assert (field.points(np.array([[0.0, 0.0], [3.3, 6.0]])) == value).all()
        assert np.abs(there.gradient(np.array([[0.7, 1.2], [3.3, 6.0]]))).max() <= 1e-12 * abs(
            value
        )


@pytest.fixture
def blockwise(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Sets the samples along a side of a block."""

    def use(size: int) -> None:
        monkeypatch.setattr(compiled, "BLOCK", size)
        monkeypatch.setattr(render, "BLOCK", size)

    return use


@WEIGHTS
@pytest.mark.parametrize("shape", [(50, 70), (48, 64), (1, 90)])
def test_blocks_leave_no_seams(
    blockwise: Callable[[int], None], shape: tuple[int, int], learned: str
) -> None:
    samples = rough(*shape)
    field = SampledField(samples, BOTH[learned])
    cells = scattered(np.random.default_rng(0), 500, *shape)

    def found() -> list[np.ndarray]:
        grids = [field.grid(*grid) for grid in ((121, 150), (20, 33))]
        return [*grids, field.points(cells)]

    whole = found()
    blockwise(16)
    for one, other in zip(whole, found(), strict=True):
        assert np.array_equal(one, other)


def test_blocks_leave_no_seams_in_torch(blockwise: Callable[[int], None]) -> None:
    field = TorchField(rough(50, 70), NEWEST_SAMPLER, "cpu")
    cells = scattered(np.random.default_rng(0), 200, 50, 70)
    whole, slopes = field.grid(61, 90), field.gradient(cells)
    blockwise(16)
    assert np.allclose(field.grid(61, 90), whole, rtol=0, atol=1e-6)
    assert np.allclose(field.gradient(cells), slopes, rtol=1e-6, atol=1e-6)


def test_means_do_not_depend_on_the_number_of_points_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    field = SampledField(rough(20, 16), shipped())
    whole = field.averages(9, 11, "cell", "a")
    monkeypatch.setattr(compiled, "POINTS_AT_ONCE", 1)
    assert np.array_equal(field.averages(9, 11, "cell", "a"), whole)


def test_any_number_of_threads_gives_the_same_bits() -> None:
    samples = rough(70, 40)
    found = []
    for threads in (1, 2, 5):
        with mock.patch("velcodec.parallel._asked_for", threads):
            found.append(SampledField(samples, shipped()).grid(133, 50))
    assert np.array_equal(found[0], found[1])
    assert np.array_equal(found[0], found[2])


@pytest.mark.parametrize("kind", KINDS)
def test_torch_computes_the_same_field(
    kind: Callable[[np.random.Generator, int, int], np.ndarray],
) -> None:
    random = np.random.default_rng(5)
    samples = kind(random, 24, 31)
    field, there = SampledField(samples, shipped()), TorchField(samples, NEWEST_SAMPLER, "cpu")
    cells = scattered(random, 2000, 24, 31)
    pairs = [
        (field.grid(47, 40), there.grid(47, 40)),
        (field.points(cells), there.points(torch.as_tensor(cells))),
        (field.averages(9, 31, "cell", "a"), there.averages(9, 31, "cell", "a")),
        (field.averages(9, 31, "slowness", "a"), there.averages(9, 31, "slowness", "a")),
        (
            field.grid(47, 40),
            upsample(torch.as_tensor(samples)[None], 47, 40)[0].clip(samples.min(), samples.max()),
        ),
    ]
    for ours, theirs in pairs:
        difference = np.abs(ours - theirs.numpy())
        assert np.quantile(difference, 0.99) < 0.05
        assert difference.max() < 3.0


def test_upsample_takes_many_models_and_float32() -> None:
    samples = np.stack([rough(12, 10), hills(np.random.default_rng(1), 12, 10)])
    found = upsample(torch.as_tensor(samples, dtype=torch.float32), 20, 23)
    assert (found.shape, found.dtype) == ((2, 20, 23), torch.float32)
    for one, own in zip(found, samples, strict=True):
        alone = upsample(torch.as_tensor(own)[None], 20, 23)[0]
        assert np.quantile(np.abs((one.double() - alone).numpy()), 0.99) < 0.5


@pytest.mark.parametrize("kind", KINDS)
def test_the_gradient_is_that_of_the_field(
    kind: Callable[[np.random.Generator, int, int], np.ndarray],
) -> None:
    random = np.random.default_rng(7)
    field = TorchField(kind(random, 9, 12), NEWEST_SAMPLER, "cpu")
    cells = scattered(random, 400, 9, 12) * 0.98 + 0.01
    found, step = field.gradient(cells), 1e-5
    for axis in (0, 1):
        move = step * np.eye(2)[axis]
        ends = [field.points(torch.as_tensor(cells + side * move)).numpy() for side in (-1, 1)]
        slope = (ends[1] - ends[0]) / (2 * step)
        near = np.abs(found[:, axis] - slope) <= 1e-2 * np.abs(slope) + 0.1
        assert near.mean() > 0.97  # elsewhere the step crosses a kink


@pytest.mark.parametrize("grid", [(7, 5), (2, 3)])
def test_upsampling_is_differentiable_in_the_samples(grid: tuple[int, int]) -> None:
    random = np.random.default_rng(3)
    samples = torch.as_tensor(random.normal(size=(1, 3, 4)), dtype=torch.float64)
    samples.requires_grad_()
    assert torch.autograd.gradcheck(
        lambda given: upsample(given, *grid), (samples,), eps=1e-7, atol=1e-4, rtol=1e-3
    )


@WEIGHTS
def test_a_large_offset_costs_no_precision(learned: str) -> None:
    """Samples around a billion that differ by less than one."""
    small = np.round(noise(np.random.default_rng(1), 8, 9)) / 4096
    cells = scattered(np.random.default_rng(2), 200, 8, 9)
    for path in (on_cpu, on_torch):
        found = path(learned, small + 2.0**30, cells) - 2.0**30
        expected = path(learned, small, cells)
        assert np.abs(found - expected).max() < 1e-5


def test_the_field_is_clearly_more_accurate_than_the_nearest_sample() -> None:
    fine = np.stack([layered(2, 90, 81, seed=seed) for seed in range(3)])
    for kind in (0, 1):
        ours = nearest = 0.0
        for model in fine[:, kind].astype(np.float64):
            known = model[1::3, 1::3]
            found = SampledField(known, shipped()).grid(*model.shape)
            ours += float(np.abs(found - model).mean())
            nearest += float(np.abs(np.kron(known, np.ones((3, 3))) - model).mean())
        assert ours < 0.9 * nearest


# Means over cells


@pytest.mark.parametrize("grid", [(6, 5), (24, 20), (40, 51), (1, 1)])
@pytest.mark.parametrize("kind", KINDS)
def test_means_are_those_of_a_much_finer_rendering(
    kind: Callable[[np.random.Generator, int, int], np.ndarray], grid: tuple[int, int]
) -> None:
    samples = kind(np.random.default_rng(3), 24, 20)
    field = SampledField(samples, shipped())
    # Eight times as fine as the cells and the samples, and out of step with the points of means.
    along = [8 * max(1, -(-n // m)) + 3 for n, m in zip(samples.shape, grid, strict=True)]
    fine = field.grid(grid[0] * along[0], grid[1] * along[1])
    cells = fine.reshape(grid[0], along[0], grid[1], along[1])
    extent = np.ptp(samples)
    for average, expected in (
        ("cell", cells.mean((1, 3))),
        ("slowness", 1.0 / (1.0 / cells).mean((1, 3))),
    ):
        difference = field.averages(*grid, average, "a") - expected
        assert np.sqrt(np.square(difference).mean()) < 0.02 * extent
        assert np.quantile(np.abs(difference), 0.99) < 0.05 * extent


def test_the_mean_slowness_is_that_of_a_lower_velocity() -> None:
    field = SampledField(rough(20, 18), shipped())
    for grid in ((5, 6), (20, 18), (31, 50)):
        cell, slowness = (field.averages(*grid, kind, "a") for kind in ("cell", "slowness"))
        assert (slowness <= cell + 1e-9).all()
        assert (slowness < cell - 1.0).any()
        there = TorchField(field.samples, NEWEST_SAMPLER, "cpu")
        cell, slowness = (there.averages(*grid, kind, "a") for kind in ("cell", "slowness"))
        assert (slowness <= cell + 1e-9).all()


def test_no_average_is_the_field_at_the_centres() -> None:
    field = SampledField(rough(20, 18), shipped())
    assert np.array_equal(field.averages(7, 30, "none", "a"), field.grid(7, 30))
    there = TorchField(field.samples, NEWEST_SAMPLER, "cpu")
    assert torch.equal(there.averages(7, 30, "none", "a"), there.grid(7, 30))


@pytest.mark.parametrize("least", [0.0, -10.0])
def test_velocities_that_are_not_positive_have_no_slowness(least: float) -> None:
    samples = np.full((9, 8), least)
    samples[:4] = 2000.0 if least else least
    words = f"model north: average slowness: found a velocity of {least:g}, expected more than 0"
    for field in (SampledField(samples, shipped()), TorchField(samples, NEWEST_SAMPLER, "cpu")):
        assert field.averages(3, 3, "cell", "model north").shape == (3, 3)
        with pytest.raises(OptionError, match=words):
            field.averages(27, 24, "slowness", "model north")


def test_means_are_taken_of_arrays_and_tensors_of_many_models() -> None:
    fine = np.random.default_rng(0).uniform(1, 2, (3, 8, 6))
    for average in ("cell", "slowness"):
        found = averaged(fine, (4, 2), average, "a")
        assert found.shape == (3, 2, 3)
        assert np.allclose(averaged(torch.as_tensor(fine), (4, 2), average, "a"), found)
    assert averaged(fine, (4, 2), "cell", "a")[1, 1, 2] == pytest.approx(fine[1, 4:, 4:].mean())


def test_upsample_keeps_leading_axes_and_refuses_other_input() -> None:
    samples = torch.rand(2, 3, 5, 7, dtype=torch.float64)
    fine = upsample(samples, 15, 21)
    assert fine.shape == (2, 3, 15, 21)
    assert torch.allclose(fine[1, 2], upsample(samples[1, 2], 15, 21))
    for wrong, error in (
        (np.zeros((5, 7)), InputDtypeError),
        (torch.zeros(5, 7, dtype=torch.int64), InputDtypeError),
        (torch.zeros(7), InputShapeError),
    ):
        with pytest.raises(error, match=r"^samples: found"):
            upsample(wrong, 10, 10)  # type: ignore[arg-type]


def test_features_are_kept_for_later_windows_if_told() -> None:
    samples = layers(np.random.default_rng(3), 20, 24)
    for keep, times in ((0, 2), (4, 1)):
        field = SampledField(samples, shipped(), keep)
        with mock.patch.object(compiled, "features_of", wraps=compiled.features_of) as features:
            first, again = field.grid(31, 40), field.grid(31, 40)
        assert features.call_count == times
        assert np.array_equal(first, again)
