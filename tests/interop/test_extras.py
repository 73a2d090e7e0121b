"""Other libraries find velcodec by name; where one is missing, the error names the extra."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path

import pytest

import velcodec
from velcodec.formats.errors import MissingExtraError
from velcodec.interop.extras import from_extra

PROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
NAMES = {
    "xarray.backends": "velcodec.interop.xarray_backend:VelcodecBackend",
    "zarr.codecs": "velcodec.interop.zarr_codec:VelcodecCodec",
    "numcodecs.codecs": "velcodec.interop.numcodecs_codec:Velcodec",
}


@pytest.mark.parametrize("group", NAMES)
def test_the_installed_package_is_found_by_its_name(group: str) -> None:
    assert PROJECT["entry-points"][group] == {"velcodec": NAMES[group]}
    found = {entry.value: entry for entry in entry_points(group=group, name="velcodec")}
    assert list(found) == [NAMES[group]], "installed before this name was added: install it again"
    module, _, name = NAMES[group].partition(":")
    assert found[NAMES[group]].load() is getattr(import_module(module), name)


def test_xarray_opens_vlat_files_unasked(exact: Path) -> None:
    xr = pytest.importorskip("xarray")
    assert xr.backends.list_engines()["velcodec"].description
    assert xr.open_dataset(exact).velocity.shape == (7, 12, 9)
    assert xr.open_dataset(exact, engine="velcodec", chunks={}).velocity.chunks is not None


def test_zarr_and_numcodecs_find_the_codec() -> None:
    pytest.importorskip("zarr")
    import numcodecs
    from zarr.registry import get_codec_class

    assert get_codec_class("velcodec").__module__ == "velcodec.interop.zarr_codec"
    assert numcodecs.get_codec({"id": "velcodec"}).codec_id == "velcodec"


@pytest.mark.parametrize(
    ("module", "package", "extra"),
    [
        ("xarray_backend", "xarray", "xarray"),
        ("zarr_codec", "zarr", "zarr"),
        ("numcodecs_codec", "numcodecs", "zarr"),
    ],
)
def test_a_missing_package_is_an_error_that_names_the_extra(
    module: str, package: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in list(sys.modules):
        if name == package or name.startswith(f"{package}."):
            monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.delitem(sys.modules, f"velcodec.interop.{module}", raising=False)
    with pytest.raises(MissingExtraError, match=rf"{package}.* 'velcodec\[{extra}\]'") as caught:
        import_module(f"velcodec.interop.{module}")
    assert isinstance(caught.value, ImportError)
    assert isinstance(caught.value, velcodec.VelcodecError)
    assert extra in PROJECT["optional-dependencies"]


def test_a_package_that_is_there_but_broken_says_so_itself() -> None:
    with pytest.raises(ImportError, match="no such thing") as caught, from_extra("xarray"):
        raise ImportError("no such thing in xarray")
    assert not isinstance(caught.value, MissingExtraError)


def test_velcodec_itself_needs_none_of_them() -> None:
    code = (
        "import sys, velcodec, velcodec.api, velcodec.archive.archive, velcodec.interop.shared\n"
        "print(sorted({'torch', 'xarray', 'dask', 'zarr', 'numcodecs'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
