"""Optional packages: named with their extra if missing, and never loaded for other formats."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from paths import ROOT
from round_trips import asymmetric, form_for, written

from velcodec.formats import errors
from velcodec.formats.files import FORMATS, open_models, open_sink

EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
READING = [
    ("hdf5", "h5py", "io"),
    ("netcdf", "xarray", "xarray"),
    ("netcdf", "h5netcdf", "xarray"),
    ("netcdf", "h5py", "xarray"),
    ("zarr", "zarr", "zarr"),
    ("segy", "segyio", "io"),
]
WRITING = [
    ("hdf5", "h5py", "io"),
    ("netcdf", "h5netcdf", "io"),
    ("zarr", "zarr", "zarr"),
    ("segy", "segyio", "io"),
]


@pytest.mark.parametrize(("format", "package", "extra"), READING)
def test_a_package_that_reading_needs_is_named_with_its_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format: str, package: str, extra: str
) -> None:
    path = written(tmp_path, format, asymmetric(1))
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(errors.MissingExtraError) as caught:
        open_models(path)
    assert str(caught.value) == f"{package} is not installed: pip install 'velcodec[{extra}]'"


@pytest.mark.parametrize(("format", "package", "extra"), WRITING)
def test_a_package_that_writing_needs_is_named_and_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format: str, package: str, extra: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    path = tmp_path / f"out{FORMATS[format].suffixes[0]}"
    with (
        pytest.raises(errors.MissingExtraError, match=rf"{package} is .*velcodec\[{extra}\]"),
        open_sink(path, form_for(asymmetric(1))),
    ):
        pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("package", "extra"), sorted({(p, e) for _, p, e in (*READING, *WRITING)}))
def test_the_named_extra_installs_the_package(package: str, extra: str) -> None:
    assert package in {requirement.split(">")[0] for requirement in EXTRAS[extra]}
    assert "velcodec[all]" in EXTRAS["test"]
    assert extra in re.findall(r"\w+", EXTRAS["all"][0])


def test_no_package_is_loaded_before_a_file_needs_it() -> None:
    code = "import sys, velcodec.formats.files\nprint(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(run.stdout.split())
    assert not loaded & {"torch", "h5py", "h5netcdf", "segyio", "xarray", "zarr", "pandas"}
