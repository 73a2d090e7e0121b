"""One field for every grid: three times as fine, every third sample is one of the original grid.

So whatever was promised at the original grid holds there too. From samples they are the same to the
bit; a latent's renderings may differ by rounding.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from checkers import check_within, layered
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from latent_archives import latent_archive

import velcodec
from velcodec.archive.archive import Archive
from velcodec.cli import main
from velcodec.decoder import Decoder
from velcodec.encode import search
from velcodec.formats.container.header import Layout
from velcodec.formats.errors import OptionError
from velcodec.metrics import psnr

pytestmark = pytest.mark.usefixtures("tiny")

ROUNDING_M_S = 0.02
"""Tolerance for float32 arithmetic in renderings of a latent."""

PROMISES: dict[str, dict[str, Any]] = {
    "nothing asked for": {},
    "45 dB": {"psnr": 45.0},
    "a bound": {"max_error": 12.0},
    "bit for bit": {"lossless": True},
    "a size": {"bytes_per_model": 130.0},
    "latents alone": {"latent_only": True, "psnr": 22.0},
    "latents alone in a size": {"latent_only": True, "bytes_per_model": 130.0},
    "35 dB and latents": {"keep_latent": True},
    "45 dB and latents": {"keep_latent": True, "psnr": 45.0},
    "a bound and latents": {"keep_latent": True, "max_error": 12.0},
    "bit for bit and latents": {"keep_latent": True, "lossless": True},
}


def third(models: Any) -> Any:
    """Every third sample from the second, along depth and distance."""
    return models[..., 1::3, 1::3]


def has_latents(data: bytes) -> bool:
    """Whether some model is rendered from a latent."""
    with velcodec.open(data) as archive:
        return archive.info()["representations"]["latent"] > 0


def check_every_grid(data: bytes) -> None:
    """Any model of an archive of one layout is one field: three times as fine, at points, in
    tensors.
    """
    latents = has_latents(data)
    with velcodec.open(data) as archive:
        layout = archive.layout()
        nz, nx, numbers = layout.nz, layout.nx, range(len(archive))
        native = archive.decode(numbers)
        scale = 1000.0 if layout.units == "km/s" else 1.0
        found = third(archive.decode(numbers, (3 * nz, 3 * nx)))
        assert found.dtype == native.dtype
        whole = np.issubdtype(native.dtype, np.integer)
        rounding = max(1.0 if whole else 0.0, ROUNDING_M_S / scale) if latents else 0.0
        assert np.abs(found.astype(np.float64) - native).max() <= rounding
        if latents and whole:
            assert (found != native).mean() < 0.02
        tensors = third(archive.decode(numbers, (3 * nz, 3 * nx), "cpu")).numpy()
        assert np.abs(tensors.astype(np.float64) - found).max() <= rounding
        check_points(archive, native, ROUNDING_M_S / scale)


def check_points(archive: Archive, native: np.ndarray, rounding: float) -> None:
    """Sampling the points of the original grid gives `native`."""
    layout = archive.layout()
    points = archive.geometry().sample_points()
    for number, model in enumerate(native):
        depth_down = model.T if layout.axes.endswith("xz") else model
        values = archive.sample(number, points).reshape(layout.nz, layout.nx)
        if np.issubdtype(model.dtype, np.integer):
            values = np.rint(values * (1 - 1e-12))
            rounding = 1.0
        assert np.abs(values - depth_down.astype(np.float64)).max() <= rounding + 1e-9
        slopes = archive.gradient(number, points[:: layout.nx])
        assert slopes.shape == (layout.nz, 2)
        assert np.isfinite(slopes).all()


@pytest.mark.parametrize("promise", PROMISES)
def test_every_promise_holds_at_three_times_the_grid(promise: str) -> None:
    models, asked = layered(2, 12, 9, seed=2), PROMISES[promise]
    data = velcodec.compress(models, decoder="tiny", dx=20.0, dz=5.0, origin=(300.0, 10.0), **asked)
    check_every_grid(data)
    fine = velcodec.decompress(data, (36, 27))
    found = third(fine)
    check_within(fine, models if has_latents(data) else velcodec.decompress(data))
    if asked.get("lossless"):
        assert np.array_equal(found, models)
    elif "max_error" in asked:
        assert np.abs(found - models).max() <= asked["max_error"]
    elif "bytes_per_model" not in asked:
        least = asked.get("psnr", 35.0)
        assert min(psnr(*pair) for pair in zip(models, found, strict=True)) >= least - 0.01
    assert has_latents(data) or not asked.get("latent_only")


@pytest.mark.parametrize("dtype", ["<f4", ">f8", "<i2", "|u1", "<u4"])
@pytest.mark.parametrize("promise", ["a bound", "bit for bit"])
def test_every_dtype_keeps_its_samples(promise: str, dtype: str) -> None:
    scale = 25.0 if np.dtype(dtype).itemsize == 1 else 1.0
    models = (layered(2, 9, 7, seed=3).astype(np.float64) / scale).astype(dtype)
    check_every_grid(velcodec.compress(models, decoder="tiny", **PROMISES[promise]))


@pytest.mark.parametrize("units", ["m/s", "km/s"])
@pytest.mark.parametrize("order", ["zx", "xz"])
@pytest.mark.parametrize("promise", ["a bound", "bit for bit"])
def test_units_and_order_of_axes_do_not_matter(promise: str, order: str, units: str) -> None:
    models = layered(2, 9, 13, seed=3).astype(np.float64) / (1000.0 if units == "km/s" else 1.0)
    if order == "xz":
        models = np.ascontiguousarray(models.swapaxes(1, 2))
    about = {"units": units, "order": order, "dx": 12.5, "dz": 8.0}
    data = velcodec.compress(models, decoder="tiny", **about, **PROMISES[promise])
    with velcodec.open(data) as archive:
        fine = (3 * archive.layout().nz, 3 * archive.layout().nx)
    assert fine == (27, 39)
    check_every_grid(data)
    low, high = models.min(), models.max()
    slack = 0.0 if promise == "bit for bit" else 12.0 / (1000.0 if units == "km/s" else 1.0)
    check_within(velcodec.decompress(data, (4, 50)), np.array([low - slack, high + slack]))


@pytest.mark.parametrize("tiles", [1, 2])
@pytest.mark.parametrize(
    ("dtype", "units", "axes"),
    [
        ("<f4", "m/s", "nzx"),
        (">f8", "m/s", "nxz"),
        ("<f8", "km/s", "n1zx"),
        ("<f4", "km/s", "n1xz"),
        ("<i2", "m/s", "nzx"),
        ("<u4", "m/s", "nxz"),
    ],
)
def test_latents_of_any_layout_in_one_tile_and_in_several(
    tiny: Decoder, dtype: str, units: str, axes: str, tiles: int
) -> None:
    layout = Layout(30, 21, axes=axes, dtype=dtype, units=units, dx_m=20.0, dz_m=5.0)
    check_every_grid(latent_archive(tiny, layout, tiles=tiles, seed=1))


def test_a_large_model_cut_into_many_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "TILE_SIZES", (24,))
    models = layered(1, 40, 50, seed=1)
    data = velcodec.compress(models, decoder="tiny", latent_only=True, psnr=20.0)
    with velcodec.open(data) as archive:
        assert archive.info()["tiles"] >= 4
    check_every_grid(data)
    assert psnr(models, third(velcodec.decompress(data, (120, 150)))) >= 20.0 - 0.01


@pytest.mark.slow
def test_a_large_model_in_a_small_budget() -> None:
    models = layered(1, 90, 160, seed=1)
    for only in (True, False):
        data = velcodec.compress(models, decoder="tiny", bytes_per_model=700, latent_only=only)
        check_every_grid(data)


@settings(
    deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.integers(1, 6), st.integers(1, 6), st.integers(1, 60), st.integers(1, 60))
def test_stored_samples_of_any_shape_have_any_grid(nz: int, nx: int, to_z: int, to_x: int) -> None:
    models = np.random.default_rng(nz * nx).uniform(1500, 4500, (1, nz, nx)).astype(np.float32)
    data = velcodec.compress(models, decoder="tiny", lossless=True)
    for average in ("none", "cell", "slowness"):
        found = velcodec.decompress(data, (to_z, to_x), average=average)
        assert (found.shape, found.dtype) == ((1, to_z, to_x), np.float32)
        check_within(found, models)
    for odd in (1, 3, 5):
        fine = velcodec.decompress(data, (odd * nz, odd * nx))
        assert np.array_equal(fine[:, odd // 2 :: odd, odd // 2 :: odd], models)


@pytest.fixture(params=["samples", "latents"])
def either(request: pytest.FixtureRequest, tiny: Decoder) -> bytes:
    """Two models of 12 x 10 as float64, as samples or as latents."""
    if request.param == "latents":
        ground = {"dx_m": 20.0, "dz_m": 5.0, "origin_x_m": 300.0, "origin_z_m": -10.0}
        return latent_archive(tiny, Layout(12, 10, dtype="<f8", **ground), models=2)
    models = layered(2, 12, 10, seed=2).astype(np.float64)
    about = {"dx": 20.0, "dz": 5.0, "origin": (300.0, -10.0)}
    return velcodec.compress(models, decoder=tiny, lossless=True, **about)


def test_grids_and_points_agree(either: bytes) -> None:
    """Holds for any spacing and origin."""
    with velcodec.open(either) as archive:
        grid = archive.decode(0, (17, 31)).ravel()
        values = archive.sample(0, archive.geometry().sample_points(17, 31))
    assert np.quantile(np.abs(values - grid), 0.99) < ROUNDING_M_S


def test_gradients_match_sampled_values(either: bytes) -> None:
    points = np.random.default_rng(1).uniform((300, -10), (480, 45), (200, 2))
    with velcodec.open(either) as archive:
        slopes = archive.gradient(0, points)
        for axis, step in ((0, 0.1), (1, 0.025)):
            move = step * np.eye(2)[axis]
            ends = [archive.sample(0, points + side * move) for side in (-1, 1)]
            found = (ends[1] - ends[0]) / (2 * step)
            near = np.abs(slopes[:, axis] - found) <= 0.05 * np.abs(found) + 0.05
            assert near.mean() > 0.9  # elsewhere the step crosses a bend


# Means over cells


@pytest.mark.parametrize("grid", [(5, 4), (12, 10), (20, 31)])
def test_cell_means_match_an_eightfold_finer_rendering(
    either: bytes, grid: tuple[int, int]
) -> None:
    times = 8 * -(-12 // grid[0])
    fine = velcodec.decompress(either, (times * grid[0], times * grid[1]))
    cells = fine.reshape(2, grid[0], times, grid[1], times)
    with velcodec.open(either) as archive:
        cell, slowness = (
            archive.decode([0, 1], grid, average=kind) for kind in ("cell", "slowness")
        )
        tensor = archive.decode([0, 1], grid, "cpu", average="cell").numpy()
        plain = archive.decode([0, 1], grid, average="none")
        assert np.array_equal(plain, archive.decode([0, 1], grid))
    assert np.abs(tensor - cell).max() < ROUNDING_M_S
    assert (slowness <= cell + 1e-6).all()
    extent = np.ptp(fine)
    for found, expected in (
        (cell, cells.mean((2, 4))),
        (slowness, 1.0 / (1.0 / cells).mean((2, 4))),
    ):
        assert np.sqrt(np.square(found - expected).mean()) < 0.02 * extent
        assert np.quantile(np.abs(found - expected), 0.99) < 0.05 * extent


def test_means_at_the_original_grid_are_not_the_samples() -> None:
    models = layered(2, 12, 9, seed=2)
    data = velcodec.compress(models, decoder="tiny", lossless=True)
    assert not np.array_equal(velcodec.decompress(data, average="cell"), models)
    assert np.array_equal(velcodec.decompress(data, average="none"), models)


def test_mean_slowness_of_a_zero_velocity_is_refused_naming_the_model(tiny: Decoder) -> None:
    models = np.full((2, 9, 8), 2000.0, np.float32)
    models[1, 4:] = -10.0
    words = r"model 1: average slowness: found a velocity of -\d+, expected more than 0"
    for promise in ({"lossless": True}, {"latent_only": True, "psnr": 15.0}):
        data = velcodec.compress(models, decoder=tiny, **promise)
        velcodec.decompress(data, 20, average="cell")
        with pytest.raises(OptionError, match=words):
            velcodec.decompress(data, 20, average="slowness")


def test_an_unknown_average_is_refused() -> None:
    data = velcodec.compress(layered(1, 8, 8), decoder="tiny", lossless=True)
    with pytest.raises(OptionError, match="expected one of none, cell, slowness, found 'median'"):
        velcodec.decompress(data, average="median")


def test_the_command_line_offers_every_grid_and_average(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    data = velcodec.compress(layered(2, 8, 8), decoder="tiny", lossless=True)
    Path("in.vlat").write_bytes(data)
    for average in ("none", "cell", "slowness"):
        name = f"{average}.npy"
        words = ["decompress", "in.vlat", name, "--res", "12x20", "--average", average]
        result = CliRunner().invoke(main, words)
        assert result.exit_code == 0, result.stderr
        assert np.array_equal(np.load(name), velcodec.decompress(data, (12, 20), average=average))
    assert CliRunner().invoke(main, [*words[:-1], "median"]).exit_code == 2


def test_stored_samples_reach_a_gpu_unchanged(monkeypatch: pytest.MonkeyPatch) -> None:
    """At the native grid nothing is rendered, on any device: lossless stays lossless."""

    def never(*_: object) -> None:
        raise AssertionError("rendered")

    model = np.array([[2**60 + 1, 5], [7, 2**53 + 1]], dtype=np.int64)
    archive = velcodec.open(velcodec.compress(model, decoder="tiny", lossless=True, units="m/s"))
    monkeypatch.setattr("velcodec.archive.sections.is_cpu", lambda _: False)
    monkeypatch.setattr("velcodec.decode.output.render_samples_on", never)
    for res in (None, (2, 2)):
        assert np.array_equal(archive.decode(0, res, device="cpu").numpy(), model)
    with pytest.raises(AssertionError, match="rendered"):
        archive.decode(0, 4, device="cpu")
