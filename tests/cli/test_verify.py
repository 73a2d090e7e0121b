"""`verify` accepts only the original, and only an archive with every byte intact."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from checkers import figures
from click.testing import Result
from rich_archives import rich_archive

from velcodec.decoder import Decoder

Run = Callable[..., Result]

PROMISES = {
    "lossless": ("--lossless",),
    "bound": ("--max-error", "5"),
    "psnr": ("--psnr", "30"),
    "latent": ("--psnr", "15", "--latent-only"),
}


@pytest.mark.parametrize("promise", PROMISES)
def test_a_file_other_than_the_original_is_an_error(
    run: Run, compress: Run, models: np.ndarray, promise: str
) -> None:
    np.save("in.npy", models)
    other = models.copy()
    other[1] += 2500
    np.save("other.npy", other)
    assert compress("in.npy", "in.vlat", *PROMISES[promise]).exit_code == 0
    same = run("verify", "in.vlat", "--against", "in.npy", "--json")
    assert figures(same)["as_measured"] is True
    result = run("verify", "in.vlat", "--against", "other.npy")
    assert result.exit_code == 51
    assert "other.npy: model 1: found a greatest error of" in result.stderr
    assert "expected" in result.stderr
    assert "all models" in result.stdout
    assert figures(run("verify", "in.vlat", "--against", "in.npy", "--json"))["whole"] is True


def test_one_different_sample_is_an_error_in_a_lossless_archive(
    run: Run, compress: Run, models: np.ndarray
) -> None:
    np.save("in.npy", models)
    assert compress("in.npy", "in.vlat", "--lossless").exit_code == 0
    models = models.copy()
    models[2, 4, 4] = np.nextafter(models[2, 4, 4], np.float32(np.inf))
    np.save("other.npy", models)
    result = run("verify", "in.vlat", "--against", "other.npy", "--json")
    assert result.exit_code == 51
    assert "model 2: found a greatest error of 0.000244141 m/s" in result.stderr
    assert '"as_measured": false' in result.stdout


def test_an_original_that_states_two_spacings_is_compared_all_the_same(
    run: Run, compress: Run, models: np.ndarray
) -> None:
    h5py = pytest.importorskip("h5py")
    with h5py.File("in.h5", "w") as file:
        data = file.create_dataset("vp", data=models)
        data.attrs["dx"] = 10.0
        file.attrs["dx"] = 25.0
    assert compress("in.h5", "in.vlat", "--lossless").exit_code != 0
    assert compress("in.h5", "in.vlat", "--lossless", "--dx", "25", "--dz", "5").exit_code == 0
    assert run("verify", "in.vlat", "--against", "in.h5").exit_code == 0


def test_an_archive_without_measured_quality_is_compared_too(
    run: Run, tiny: Decoder, models: np.ndarray
) -> None:
    Path("a.vlat").write_bytes(rich_archive(tiny, 3))
    assert run("decompress", "a.vlat", "a.npy").exit_code == 0
    found = figures(run("verify", "a.vlat", "--against", "a.npy", "--json"))
    assert found["max_error_m_s"] < 0.1


@pytest.mark.parametrize("dtype", ["<i8", ">i8", "<u8"])
def test_integers_beyond_float64_are_compared_exactly(run: Run, dtype: str) -> None:
    models = np.full((2, 6, 8), 2**60, dtype=dtype)
    np.save("in.npy", models)
    assert run("compress", "in.npy", "a.vlat", "--lossless", "--units", "m/s").exit_code == 0
    models[1, 2, 3] = 2**60 + 1  # numpy 1 would add by way of float64
    np.save("other.npy", models)
    result = run("verify", "a.vlat", "--against", "other.npy", "--json")
    assert result.exit_code == 51
    assert json.loads(result.stdout)["max_error_m_s"] == 1.0
    assert "model 1: found a greatest error of 1 m/s" in result.stderr


def test_unchecked_parts_are_listed(run: Run, tiny: Decoder) -> None:
    data = rich_archive(tiny, 3)
    Path("a.vlat").write_bytes(data)
    said = run("verify", "a.vlat").stdout
    assert "not looked at: a.vlat: what a section 'z' may mean" in said
    assert len(figures(run("verify", "a.vlat", "--json"))["not_looked_at"]) == 1
    altered = bytearray(data)
    altered[data.index(b"of a later version")] ^= 1
    Path("a.vlat").write_bytes(altered)
    result = run("verify", "a.vlat")
    assert result.exit_code == 22
    assert "section b'z'" in result.stderr


@pytest.mark.parametrize("base", [np.int64(2**62), np.int64(-(2**63)), np.uint64(2**64 - 5000)])
def test_figures_of_large_integers_are_exact(
    run: Run, compress: Run, base: np.int64 | np.uint64
) -> None:
    model = base + (np.arange(12)[:, None] * 100 + np.zeros((12, 14))).astype(base.dtype)
    np.save("in.npy", model)
    assert compress("in.npy", "in.vlat", "--max-error", "5").exit_code == 0
    assert figures(run("verify", "in.vlat", "--against", "in.npy", "--json"))["max_error_m_s"] <= 5
    other = model.copy()
    other[3, 4] += base.dtype.type(445)
    np.save("other.npy", other)
    result = run("verify", "in.vlat", "--against", "other.npy")
    assert result.exit_code == 51
    assert "found a greatest error of 445 m/s" in result.stderr
    assert "445.0" in result.stdout
    assert compress("other.npy", "other.vlat", "--lossless").exit_code == 0
    other[3, 4] += base.dtype.type(1)
    np.save("other.npy", other)
    result = run("verify", "other.vlat", "--against", "other.npy")
    assert result.exit_code == 51
    assert "found a greatest error of 1 m/s" in result.stderr
