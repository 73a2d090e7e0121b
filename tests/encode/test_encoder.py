"""Inside the encoder: allocation, steps, tiles, value ranges, simplification, determinism."""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from checkers import layered
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

import velcodec
from velcodec.api import encode
from velcodec.decode.cpu_tiles import COMPILED_POINTS_AT_ONCE
from velcodec.decode.render import render_grid, render_points
from velcodec.decode.tiling import plan
from velcodec.decode.torch_tiles import POINTS_AT_ONCE, render_tiles
from velcodec.decode.units import from_m_s, inner_range, to_m_s
from velcodec.decoder import Decoder
from velcodec.encode.allocate import FEW_MODELS, Allocation, Size, utility
from velcodec.encode.candidates import SAMPLE_TILES, sample_tiles
from velcodec.encode.description import Description
from velcodec.encode.fitting import step_indices
from velcodec.encode.search import Crossing, _finest_within
from velcodec.encode.setup import Coding
from velcodec.encode.simplify import class_means, merge_values, shorten_borders
from velcodec.encode.target import Target
from velcodec.encode.tiles import GROUPS, ModelSet, cut_models
from velcodec.formats.errors import MissingDecoderError
from velcodec.metrics import mse_of_psnr

REAL_DATA = os.environ.get("VELCODEC_REAL_DATA")


@pytest.fixture
def coding(tiny: Decoder) -> Coding:
    return Coding(decoder=tiny)


@dataclass(frozen=True)
class Stream:
    """A stream of samples, reduced to what a choice needs."""

    domain: int


@dataclass(frozen=True)
class Coded:
    """A coded model, reduced to what a choice needs."""

    bits: float
    psnr: float
    exact: Stream | None = None

    @property
    def mse(self) -> float:
        return mse_of_psnr(self.psnr)


def best(models: Sequence[Sequence[Any]], budget: float, size: Size) -> list[Any]:
    """The best choice, with samples in any domains."""
    allocation = Allocation(budget, size)
    return list(allocation.share_domains(allocation.best(models), models))


@pytest.mark.parametrize("others", [0, FEW_MODELS])
def test_bytes_go_first_where_they_buy_most(others: int) -> None:
    """Among few models, where the choice is exact, and among many."""
    steep = [Coded(8, 20), Coded(16, 30), Coded(24, 33)]
    flat = [Coded(8, 20), Coded(16, 22), Coded(24, 23)]
    models = [steep, flat, *([Coded(8, 40)] for _ in range(others))]
    for bits, expected in ((16, (8, 8)), (24, (16, 8)), (32, (24, 8)), (48, (24, 24))):
        chosen = best(models, others + bits / 8, lambda some: int(sum(c.bits for c in some)) // 8)
        assert tuple(c.bits for c in chosen[:2]) == expected


@example([[(1, 20), (5, 30), (30, 40)]], 6)  # the dearest is out of reach
@given(
    st.lists(
        st.lists(st.tuples(st.integers(1, 30), st.integers(10, 60)), min_size=1, max_size=4),
        min_size=1,
        max_size=4,
    ),
    st.integers(0, 40),
)
def test_for_few_models_no_choice_that_fits_is_better(
    ways: list[list[tuple[int, int]]], more: int
) -> None:
    models = [[Coded(8.0 * length, psnr) for length, psnr in own] for own in ways]

    def size(chosen: Sequence[Any]) -> int:
        return 40 + int(sum(way.bits for way in chosen)) // 8

    budget = size([min(own, key=lambda way: way.bits) for own in models]) + more
    chosen = best(models, budget, size)
    assert size(chosen) <= budget
    greatest = max(utility(c) for c in itertools.product(*models) if size(c) <= budget)  # type: ignore[arg-type]
    assert utility(chosen) == pytest.approx(greatest)


def test_more_candidates_never_make_the_choice_worse() -> None:
    """Two domains that gain little do not fit beside one another; each pays for itself alone."""
    models = [[Coded(80, 30), Coded(72, 36, Stream(i))] for i in range(2)]
    dear = [[*own, Coded(64, 36, Stream(7))] for own in models]

    def size(chosen: Sequence[Any]) -> int:
        domains = {c.exact.domain for c in chosen if c.exact is not None}
        return int(sum(c.bits for c in chosen)) // 8 + 4 * len(domains)

    assert size(best(models, 19, size)) > 19
    chosen = best(models, 24, size)
    assert [c.exact and c.exact.domain for c in chosen] in ([None, 1], [0, None])
    assert [c.exact and c.exact.domain for c in best(dear, 20, size)] == [7, 7]


def test_a_latent_is_chosen_if_equal_samples_save_little() -> None:
    latent, samples = Coded(104, 40), Coded(100, 40, Stream(0))
    cheap = Coded(50, 20)
    for more, expected in ((latent, latent), (Coded(106, 40), samples)):
        chosen = best([[cheap, samples, more]], 20, lambda some: int(some[0].bits) // 8)
        assert chosen == [expected]


@settings(deadline=None)
@given(st.data(), st.integers(1, 40), st.floats(0.05, 9.0))
def test_a_crossing_is_closed_in_on(data: Any, first: int, slope: float) -> None:
    """For any rising function: it ends, tries no step twice, and encloses the target."""
    values = sorted(data.draw(st.lists(st.floats(0, 100), min_size=41, max_size=41)))
    target = data.draw(st.floats(0, 100))
    search, tried = Crossing(target, first, 40, slope), []
    while search.next is not None:
        tried.append(search.next)
        search.add(tried[-1], values[tried[-1]])
    assert len(tried) == len(set(tried)) <= 41
    assert 0 <= min(tried) <= max(tried) <= 40
    if search.above is None:
        assert max(values[k] for k in tried) < target
    if search.below is not None and search.above is not None:
        assert search.below[0] < search.above[0]
        assert search.below[1] < target <= search.above[1]


def test_a_straight_line_is_crossed_in_three_trials() -> None:
    for target in (10.5, 20.5, 33.0):
        search, trials = Crossing(target, 22, 40, 2.0), 0
        while search.next is not None:
            search.add(search.next, float(search.next))
            trials += 1
        assert trials <= 4
        assert search.above == (ceil(target), float(ceil(target)))


@pytest.mark.parametrize(("rate", "expected"), [(100.0, 22), (99.0, 22), (80.0, 18), (220.0, 40)])
def test_a_size_search_begins_near_its_rate(rate: float, expected: int) -> None:
    """A step that exceeds the rate a little, so that none below is worth a trial, still counts."""

    def estimated(steps: dict[int, int], tile: int) -> dict[int, Any]:
        return {i: SimpleNamespace(bits=5.0 * s - 10.0, mse=1.0) for i, s in steps.items()}

    candidates = SimpleNamespace(estimated=estimated, fitter=SimpleNamespace(last_step=40))
    _, step = _finest_within(candidates, [0, 1], 70, rate, 22)  # type: ignore[arg-type]
    assert abs(step - expected) <= 1


def test_the_same_input_gives_the_same_bytes(coding: Coding) -> None:
    models = layered(2, 14, 12)
    first, again = (encode(models, Description(), coding).data for _ in range(2))
    assert first == again


def test_one_base_step_means_one_error_in_m_s(tiny: Decoder) -> None:
    base = np.full(4, 20)
    low = np.array([1500.0, 1500.0, 1500.0, 2000.0])
    high = low + np.array([3000.0, 1500.0, 375.0, 0.0])
    index = step_indices(tiny.steps, base, low, high)
    error = tiny.steps[torch.from_numpy(index)].numpy() * (high - low)
    np.testing.assert_allclose(error[:3], error[0], rtol=1e-5)
    assert 0 <= index[3] < len(tiny.steps)


def test_groups_have_one_tile_shape_and_a_fixed_size() -> None:
    models = [*layered(GROUPS["cpu"] + 6, 10, 12), layered(1, 7, 9)[0], np.full((10, 12), 3.0)]
    cut = cut_models(ModelSet(models, "m/s"), np.arange(len(models)), 70, 4.0)
    groups = cut.groups()
    assert [len(group) for group in groups] == [GROUPS["cpu"], 6, 1]
    assert len(models) - 1 not in np.concatenate(groups)  # a constant tile needs no fit


def test_targets_span_the_tiles_own_range() -> None:
    cut = cut_models(ModelSet(layered(1, 30, 40), "m/s"), np.arange(1), 16, 4.0)
    assert len(cut) == cut.tilings[0].tiles > 1
    targets = cut.targets(np.arange(len(cut)))
    assert np.abs(targets).max() == 1.0
    values = cut.values(np.arange(len(cut))).reshape(len(cut), -1)
    assert (cut.low >= values.min(1)).all()
    assert (cut.high <= values.max(1)).all()


def test_a_sample_of_a_large_model_is_spread_over_it() -> None:
    models = [layered(1, 200, 300)[0], layered(1, 20, 20)[0]]
    cut = cut_models(ModelSet(models, "m/s"), np.arange(2), 16, 4.0)
    tiles = sample_tiles(cut, np.arange(2))
    assert len(tiles) == len(np.unique(tiles)) == SAMPLE_TILES + cut.tilings[1].tiles
    assert len(np.unique(tiles[:SAMPLE_TILES] % cut.tilings[0].x.tiles)) > 8


def tiles_of_one_field(decoder: Decoder, count: int) -> tuple[torch.Tensor, np.ndarray, np.ndarray]:
    latent = (
        0.5
        / decoder.prior_precision.sqrt()
        * torch.randn(count, 256, generator=torch.Generator().manual_seed(1))
    )
    return latent, np.full(count, 1500.0), np.full(count, 4500.0)


def test_grid_and_points_agree_across_tile_borders(tiny: Decoder) -> None:
    tiling = plan(60, 90, 24)
    tiles = render_tiles(*tiles_of_one_field(tiny, tiling.tiles), tiny)
    for nz, nx in ((60, 90), (120, 180), (17, 31)):
        grid = render_grid(tiny, tiles, tiling, nz, nx)[0].numpy()
        z, x = np.meshgrid(np.arange(nz) + 0.5, np.arange(nx) + 0.5, indexing="ij")
        cells = np.stack([x.ravel() * 90 / nx, z.ravel() * 60 / nz], axis=1)
        points = render_points(tiny, tiles, tiling, cells).reshape(nz, nx)
        np.testing.assert_allclose(points, grid, atol=0.05)


def test_rendering_does_not_depend_on_the_batch_size(
    tiny: Decoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiling = plan(60, 90, 24)
    tiles = render_tiles(*tiles_of_one_field(tiny, 2 * tiling.tiles), tiny)
    assert POINTS_AT_ONCE > 60 * 90
    whole = render_grid(tiny, tiles, tiling, 60, 90)
    assert COMPILED_POINTS_AT_ONCE > 60 * 90
    monkeypatch.setattr("velcodec.decode.torch_tiles.COMPILED_POINTS_AT_ONCE", 70)
    torch.testing.assert_close(render_grid(tiny, tiles, tiling, 60, 90), whole, atol=1e-9, rtol=0)
    monkeypatch.setattr("velcodec.decode.torch_tiles.POINTS_AT_ONCE", 70)
    monkeypatch.setattr("velcodec.decoder.SirenMixture.compiled", lambda _: None)
    torch.testing.assert_close(render_grid(tiny, tiles, tiling, 60, 90), whole, atol=0.05, rtol=0)


def test_a_diverging_decoder_is_clamped_to_the_range(tiny: Decoder) -> None:
    latent = torch.full((1, 256), float("inf"))
    tiles = render_tiles(latent, np.array([1500.0]), np.array([4500.0]), tiny)
    values = render_grid(tiny, tiles, plan(8, 8, 70), 8, 8)
    assert torch.isfinite(values).all()
    assert values.min() >= 1500
    assert values.max() <= 4500


@pytest.mark.parametrize("units", ["m/s", "km/s"])
@pytest.mark.parametrize("dtype", ["float32", "float64", "int32"])
def test_range_ends_survive_the_conversion_back(units: str, dtype: str) -> None:
    random = np.random.default_rng(3)
    scale = 1000.0 if units == "km/s" and dtype != "int32" else 1.0
    for _ in range(300):
        model = (random.uniform(1500, 4500, 7) / scale).astype(dtype)
        low, high = inner_range(model, units)
        ends = from_m_s(np.array([low, high]), model.dtype, units)
        assert model.min() <= ends[0] <= ends[1] <= model.max()
        np.testing.assert_allclose(to_m_s(ends, units), [low, high], rtol=1e-6)


@pytest.mark.skipif(REAL_DATA is None, reason="VELCODEC_REAL_DATA is not set")
def test_real_models_reach_30_db_at_160_bytes_with_the_shipped_decoder() -> None:
    try:
        velcodec.load_decoder()
    except MissingDecoderError:
        pytest.skip("no decoder is shipped")
    models = np.load(Path(str(REAL_DATA)) / "curvevel_a.npy", mmap_mode="r")[-32:]
    summary = encode(models, Description(), Coding(Target(bytes_per_model=160))).summary
    assert summary.bytes_per_model <= 160
    assert summary.mean_psnr >= 30


def test_rare_values_within_reach_merge_into_frequent_ones() -> None:
    codes = np.array([[10, 10, 10, 12], [10, 13, 50, 50], [50, 50, 47, 90]])
    found = merge_values(codes, 2)
    assert np.array_equal(found, [[10, 10, 10, 10], [10, 13, 50, 50], [50, 50, 47, 90]])
    assert np.abs(merge_values(codes, 40) - codes).max() <= 40


@settings(deadline=None, max_examples=50)
@given(
    npst.arrays(np.int64, npst.array_shapes(min_dims=2, max_dims=2), elements=st.integers(0, 60)),
    st.integers(0, 30),
)
def test_merged_values_stay_within_reach_and_are_not_new(codes: Any, reach: int) -> None:
    found = merge_values(codes, reach)
    assert np.abs(found - codes).max() <= reach
    assert set(np.unique(found)) <= set(np.unique(codes))


def test_specks_take_a_neighbouring_value_and_thin_layers_stay() -> None:
    codes = np.full((6, 7), 100)
    codes[3:] = 200
    codes[1, 2], codes[4, 5] = 130, 900
    thin = codes.copy()
    thin[2] = 300
    for model in (codes, thin):
        found = shorten_borders(model, model, 400.0)
        assert found[1, 2] == 100
        assert found[4, 5] == 900  # too far off
        assert (found != model).sum() == 1


def test_class_means_are_the_means_of_their_samples() -> None:
    codes = np.array([[10, 12, 50], [14, 52, 54]])
    found = class_means(codes, merge_values(codes, 4))
    assert np.array_equal(found, [[12, 12, 52], [12, 52, 52]])
