"""Exact samples at other resolutions: linear between them, on demand, and only without a latent."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from checkers import check_within, layered
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import velcodec
from velcodec.cli import main
from velcodec.codec.interpolate import interpolated
from velcodec.coordinates import cell_centres
from velcodec.formats.errors import NoLatentError

pytestmark = pytest.mark.usefixtures("tiny")
SIDES = st.integers(1, 40)


def plane(nz: int, nx: int) -> np.ndarray:
    """Velocity linear in the ground, at the samples of an (nz, nx) grid over one extent."""
    return 3000.0 + 400.0 * cell_centres(nz)[:, None] + 150.0 * cell_centres(nx)[None]


def lossless(models: object, **options: object) -> bytes:
    return velcodec.compress(models, decoder="tiny", lossless=True, **options)


@settings(deadline=None)
@given(st.integers(2, 30), st.integers(2, 30), SIDES, SIDES)
def test_a_linear_model_stays_itself_between_its_samples(
    nz: int, nx: int, to_z: int, to_x: int
) -> None:
    found = interpolated(plane(nz, nx), (to_z, to_x))
    inner_z = np.abs(cell_centres(to_z)) <= cell_centres(nz)[-1]
    inner_x = np.abs(cell_centres(to_x)) <= cell_centres(nx)[-1]
    inner = np.ix_(inner_z, inner_x)
    assert np.allclose(found[inner], plane(to_z, to_x)[inner], rtol=0, atol=1e-9)


@settings(deadline=None)
@given(SIDES, SIDES, st.sampled_from(["<f4", ">f8", "<i2", "|u1"]), st.integers(0, 99))
def test_no_value_leaves_the_range_and_the_dtype_stays(
    to_z: int, to_x: int, dtype: str, seed: int
) -> None:
    samples = np.random.default_rng(seed).uniform(0.1, 200, (5, 7)).astype(dtype)
    found = interpolated(samples, (to_z, to_x))
    assert (found.shape, found.dtype) == ((to_z, to_x), np.dtype(dtype))
    assert samples.min() <= found.min() <= found.max() <= samples.max()


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(1, 9))
def test_a_finer_grid_of_odd_multiples_holds_the_samples(times: int) -> None:
    samples = layered(1, 6, 5)[0]
    odd = 2 * times - 1
    found = interpolated(samples, (6 * odd, 5 * odd))
    assert np.allclose(found[odd // 2 :: odd, odd // 2 :: odd], samples, rtol=1e-6)


def test_an_archive_without_a_latent_is_interpolated_on_demand() -> None:
    models = plane(8, 10).astype(np.float32)[None]
    data = lossless(models)
    found = velcodec.decompress(data, (24, 30), interpolate=True)
    assert found.dtype == np.float32
    assert np.allclose(found[0, 1:-1, 1:-1], plane(24, 30)[1:-1, 1:-1], atol=1e-3)
    with velcodec.open(data) as archive:
        assert np.array_equal(archive.decode(0, (24, 30), interpolate=True), found[0])
        tensor = archive.decode([0], (24, 30), "cpu", interpolate=True)
        assert np.array_equal(tensor.numpy(), found)


def test_without_the_flag_the_error_names_both_remedies() -> None:
    data = lossless(layered(1, 8, 8))
    with pytest.raises(NoLatentError, match=r"--keep-latent .*--interpolate"):
        velcodec.decompress(data, 16)


def test_at_the_native_grid_nothing_changes() -> None:
    models = layered(2, 8, 9)
    data = lossless(models)
    for res in (None, (8, 9)):
        assert np.array_equal(velcodec.decompress(data, res, interpolate=True), models)


def test_a_model_with_a_latent_is_rendered_as_before() -> None:
    models = layered(1, 8, 8)
    data = lossless(models, keep_latent=True)
    expected = velcodec.decompress(data, 13)
    assert np.array_equal(velcodec.decompress(data, 13, interpolate=True), expected)
    assert not np.array_equal(expected, interpolated(models[0], (13, 13))[None])


def test_axes_are_kept() -> None:
    models = layered(2, 9, 14)[:, None].swapaxes(-1, -2)
    found = velcodec.decompress(lossless(models, order="xz"), (5, 8), interpolate=True)
    assert found.shape == (2, 1, 8, 5)
    check_within(found, models)
    assert np.array_equal(found[1, 0].T, interpolated(models[1, 0].T, (5, 8)))


def test_the_command_line_has_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    data = lossless(layered(2, 8, 8))
    Path("in.vlat").write_bytes(data)
    arguments = ["decompress", "in.vlat", "out.npy", "--res", "12"]
    refused = CliRunner().invoke(main, arguments)
    assert refused.exit_code == 33
    assert "--interpolate" in refused.stderr
    taken = CliRunner().invoke(main, [*arguments, "--interpolate"])
    assert taken.exit_code == 0, taken.stderr
    assert np.array_equal(np.load("out.npy"), velcodec.decompress(data, 12, interpolate=True))
