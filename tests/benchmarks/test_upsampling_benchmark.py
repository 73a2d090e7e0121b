"""The benchmark of finer renderings: positions of decimated samples, and both kinds of record."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from checkers import layered
from click.testing import CliRunner

from benchmarks.upsampling import (
    Case,
    cases_of,
    every_second,
    generated,
    main,
    mean_of,
    means,
    measure,
)
from velcodec.formats.arrays import Float64


def ramp(nz: int, nx: int) -> Float64:
    """Velocity that rises evenly along both axes."""
    z, x = np.mgrid[0:nz, 0:nx]
    return 1500.0 + 60.0 * z + 30.0 * x


@pytest.mark.parametrize("shape", [(28, 32), (29, 33)])
@pytest.mark.parametrize("decimate", [every_second, means])
def test_decimated_samples_lie_where_they_are_compared(
    decimate: type[Case], shape: tuple[int, int]
) -> None:
    case = decimate("ramp", [ramp(*shape)])
    found = measure(case, ["lossless"])["psnr_db"]
    inner = Case(case.name, case.stored, [case.truth[0][8:-8, 8:-8]], case.z[8:-8], case.x[8:-8])
    exact = measure(inner, ["lossless"])["psnr_db"]
    assert exact["bilinear"] > 95
    assert exact["spline"] > 95
    assert exact["lossless"] > 40  # half a cell off, it would be below 33
    assert found["bilinear"] <= exact["bilinear"]


def test_every_second_sample_is_reproduced() -> None:
    model = layered(2, 14, 19)[1]
    case = every_second("layers", [model])
    again = Case(case.name, case.stored, [model[::2, ::2]], case.z[::2], case.x[::2])
    assert min(measure(again, ["lossless"])["psnr_db"].values()) == pytest.approx(100.0)


def test_generated_models_are_those_of_the_report() -> None:
    case = generated("curvevel_a", 2, 105)
    assert [m.shape for m in (*case.stored, *case.truth)] == [(70, 70)] * 2 + [(105, 105)] * 2
    found = measure(case, ["lossless"])
    assert found["models"] == 2
    assert min(found["psnr_db"].values()) > 20
    assert mean_of([found, found])["psnr_db"] == found["psnr_db"]


def test_only_larger_models_are_stored_as_means(tmp_path: Path) -> None:
    for name, shape in (("small", (3, 1, 20, 20)), ("large", (90, 75))):
        np.save(tmp_path / f"{name}.npy", np.full(shape, 2000.0, np.float32))
    small, large = (list(cases_of(tmp_path / f"{name}.npy", 2)) for name in ("small", "large"))
    assert [(case.name, len(case.stored)) for case in small] == [("small, half", 2)]
    assert [case.truth[0].shape for case in large] == [(90, 75), (88, 72)]


def test_the_command_prints_and_writes_the_same_figures(tmp_path: Path) -> None:
    np.save(tmp_path / "layers.npy", layered(2, 12, 12))
    arguments = ["--models", "1", "--family", "flatvel_a", "--res", "84", "--json"]
    result = CliRunner().invoke(
        main, [str(tmp_path / "layers.npy"), *arguments, str(tmp_path / "out.json")]
    )
    assert result.exit_code == 0, result.output
    rows = json.loads((tmp_path / "out.json").read_text())["rows"]
    assert [row["case"] for row in rows] == ["flatvel_a", "layers, half"]
    for row in rows:
        (printed,) = (text for text in result.output.splitlines() if text.startswith(row["case"]))
        assert f"{row['psnr_db']['lossless']:.2f}" in printed


@pytest.mark.slow
def test_default_records_are_measured_too() -> None:
    found = measure(generated("flatvel_a", 1, 84), ["lossless", "default"])
    assert set(found["bytes_per_model"]) == {"lossless", "default"}
    assert found["psnr_db"]["default"] > 25


def test_volumes_are_measured_at_twice_their_grid(tmp_path: Path) -> None:
    import torch

    from velcodec.sampler.volume.network import VolumeNetwork

    sampler, out = tmp_path / "sampler.safetensors", tmp_path / "out.json"
    VolumeNetwork(torch.Generator().manual_seed(1)).to_weights().save(sampler)
    command = ["--volumes", "1", "--side", "10", "--family", "gradient", "--sampler", str(sampler)]
    result = CliRunner().invoke(main, [*command, "--json", str(out)])
    assert result.exit_code == 0, result.output
    (row,) = json.loads(out.read_text())["rows"]
    assert row["case"] == "gradient, 10^3"
    assert set(row["psnr_db"]) == {"sampler", "nearest", "bilinear", "bicubic", "lanczos", "spline"}
    assert row["psnr_db"]["bilinear"] > row["psnr_db"]["nearest"] > 20.0
