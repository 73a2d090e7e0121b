"""Generated families against published facts, and against published models if available."""

import os
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from velcodec import synth
from velcodec.synth import statistics


@cache
def generated(family, count=1500, n=70):
    return synth.draw(family, 2024, 0, count).render(n, n).numpy().astype(np.float64)


# Mean and standard deviation of all models of a set, m/s, as counted on the published files.
PUBLISHED = {
    "flatvel_a": (2782, 786),
    "flatvel_b": (3001, 867),
    "curvevel_a": (2788, 794),
    "curvevel_b": (3000, 866),
    "flatfault_a": (3089, 855),
    "flatfault_b": (3056, 876),
    "curvefault_a": (3083, 852),
    "curvefault_b": (3036, 890),
    "style_a": (2729, 666),
    "style_b": (2838, 638),
}


@pytest.mark.parametrize("family", PUBLISHED)
def test_mean_and_spread_are_those_of_the_published_set(family):
    models = generated(family, 1500, 35)
    mean, spread = PUBLISHED[family]
    assert models.mean() == pytest.approx(mean, abs=110)
    assert models.std() == pytest.approx(spread, abs=40)


def test_flat_layers_are_rows_that_speed_up_with_depth():
    models = generated("flatvel_a")
    assert np.ptp(models, axis=2).max() == 0.0
    assert np.diff(models, axis=1).min() >= 0.0


def test_flat_layers_are_three_to_eight():
    counts = np.bincount(statistics.layer_counts(generated("flatvel_a")), minlength=10)
    shares = counts / counts.sum()
    assert shares[3:9].sum() > 0.99
    # Measured on 400 published models: 3 .. 8 visible layers.
    assert shares[3:9] == pytest.approx([0.12, 0.18, 0.19, 0.20, 0.21, 0.10], abs=0.05)


def test_interfaces_are_spaced_as_published():
    spacings = statistics.interface_spacings(generated("flatvel_a"))
    quantiles = np.quantile(spacings, [0.05, 0.25, 0.5, 0.75, 0.95])
    assert quantiles == pytest.approx([9, 10, 12, 15, 23], abs=1.0)


def test_unsorted_layers_slow_down_half_the_time():
    falls = []
    for model in generated("curvevel_b", 400):
        velocity = model[:, 35]
        steps = np.diff(velocity)[np.diff(velocity) != 0]
        falls.extend(steps < 0)
    assert np.mean(falls) == pytest.approx(0.5, abs=0.05)


def test_unsorted_velocities_are_uniform():
    levels = np.concatenate([np.unique(model) for model in generated("flatvel_b", 800)])
    shares = np.histogram(levels, bins=6, range=(1500, 4500))[0] / len(levels)
    assert shares == pytest.approx([1 / 6] * 6, abs=0.025)


def test_curves_have_the_published_relief():
    reliefs = []
    for model in generated("curvevel_a"):
        first = np.unique(model)[0]
        depth = (model <= first).sum(axis=0)
        if depth.min() > 0 and depth.max() < 70:
            reliefs.append(depth.max() - depth.min())
    # Complete first interfaces of the published models: 5, 50 % at 8, 18 cells.
    assert np.quantile(reliefs, [0.05, 0.5]) == pytest.approx([8, 18], abs=2.0)


def four_layer_models():
    models = generated("flatfault_a")
    return models[[len(statistics.dominant_levels(model)) == 4 for model in models]]


def test_faulted_levels_are_the_published_ones():
    levels = np.array([statistics.dominant_levels(model) for model in four_layer_models()])
    assert len(levels) > 400
    assert levels.mean(axis=0) == pytest.approx([1990, 2476, 3496, 3994], abs=45)


def test_faulted_models_have_the_published_share_of_transitional_samples():
    assert statistics.transitional_share(four_layer_models()) == pytest.approx(0.185, abs=0.035)


def test_fault_offsets_are_the_published_ones():
    offsets = statistics.strongest_offsets(four_layer_models())
    # Measured on 300 published models: 25, 50, 75, 95 % at 6, 7, 8, 10 cells.
    quantiles = np.quantile(offsets, [0.25, 0.5, 0.75, 0.95])
    assert quantiles == pytest.approx([6, 7, 8.5, 10], abs=1.1)


def test_curved_layers_vary_in_thickness_as_the_published_ones():
    spreads = statistics.thickness_spreads(generated("curvevel_a", 400))
    # Measured on 400 published models: 25, 50, 75, 95 % at 3, 4, 5, 8 cells.
    assert np.quantile(spreads, [0.25, 0.5, 0.75, 0.95]) == pytest.approx([3, 4, 5, 8], abs=0.6)


def test_some_faults_overhang():
    share = statistics.non_monotone_share(four_layer_models(), 100.0)
    assert 0.03 < share < 0.12


def test_style_follows_the_depth_trend_and_spectrum_of_the_published_models():
    models = generated("style_a", 600)[:, 2:-2, 2:-2]
    # Measured on 50 models recovered from published figures.
    trend = statistics.depth_trend(models)
    assert trend == pytest.approx([0.12, 0.27, 0.40, 0.52, 0.61, 0.73], abs=0.05)
    spectrum = statistics.lateral_spectrum(models)[[0, 1, 3, 5, 7]]
    assert spectrum == pytest.approx([0.62, 0.41, -0.31, -1.01, -1.84], abs=0.25)
    assert statistics.gradient_quantiles(models, 2) * 100 == pytest.approx(
        [0.8, 2.0, 3.5, 4.7, 7.1], rel=0.25
    )


def test_sharp_style_is_rougher_than_smooth_style():
    smooth, sharp = generated("style_a", 300), generated("style_b", 300)
    assert statistics.lateral_spectrum(sharp)[9] > statistics.lateral_spectrum(smooth)[9] + 0.8


def test_geology_is_broader_than_the_benchmark():
    models = generated("geology", 600)
    assert models.min() < 1400.0
    assert models.max() > 5000.0
    ranges = np.ptp(models, axis=(1, 2))
    assert np.quantile(ranges, 0.1) < 400.0
    assert np.quantile(ranges, 0.9) > 2000.0
    flat = (np.abs(np.diff(models, axis=1)) < 1e-3).mean(axis=(1, 2))
    assert (flat > 0.5).mean() > 0.1
    assert (flat < 0.1).mean() > 0.1


REAL = os.environ.get("VELCODEC_REAL_DATA")


@pytest.mark.skipif(REAL is None, reason="VELCODEC_REAL_DATA is not set")
@pytest.mark.parametrize("family", ["flatvel_a", "curvevel_a", "flatfault_a"])
def test_generated_models_have_the_statistics_of_the_published_ones(family):
    published = np.load(Path(REAL or ".") / f"{family}.npy")[:, 0].astype(np.float64)
    models = four_layer_models() if family == "flatfault_a" else generated(family)
    a, b = statistics.summary(published), statistics.summary(models)
    assert b["mean, m/s"] == pytest.approx(a["mean, m/s"], abs=75)
    assert b["sd, m/s"] == pytest.approx(a["sd, m/s"], abs=45)
    assert b["mean, of range"] == pytest.approx(a["mean, of range"], abs=0.03)
    assert b["sd, of range"] == pytest.approx(a["sd, of range"], abs=0.02)
    assert b["transitional samples"] == pytest.approx(a["transitional samples"], abs=0.04)
    assert b["vertical step, 99 %"] == pytest.approx(a["vertical step, 99 %"], rel=0.15)
    assert statistics.depth_trend(models) == pytest.approx(
        statistics.depth_trend(published), abs=0.04
    )
