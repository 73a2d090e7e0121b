"""Zarr stores of both versions: arrays, groups, dimensions; and no unknown codec."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray
import zarr
from round_trips import GROUND, all_of, asymmetric, written

from velcodec.formats import errors
from velcodec.formats.files import Ground, open_models


@pytest.mark.parametrize("version", [2, 3])
def test_a_single_array_is_read(tmp_path: Path, version: Any) -> None:
    zarr.create_array(tmp_path / "in", data=asymmetric(9), chunks=(2, 5, 7), zarr_format=version)
    (part,) = open_models(tmp_path / "in").parts
    assert (part.name, part.form.axes) == ("in", "nzx")
    assert np.array_equal(part.read(3, 8), asymmetric(9)[3:8])


@pytest.mark.parametrize("version", [2, 3])
def test_a_group_is_read_with_its_coordinates(tmp_path: Path, version: Any) -> None:
    coords = {"x": 100.0 + 25.0 * np.arange(7), "z": ("z", np.arange(5) / 100, {"units": "km"})}
    data = xarray.Dataset({"vp": (("model", "x", "z"), asymmetric().swapaxes(1, 2))}, coords)
    data.to_zarr(tmp_path / "in.zarr", zarr_format=version, consolidated=False)
    (part,) = open_models(tmp_path / "in.zarr").parts
    assert (part.array, part.form.axes) == ("vp", "nxz")
    assert part.form.ground == Ground(25.0, 10.0, 100.0, 0.0)
    assert np.array_equal(part.read(0, 4), asymmetric())


def test_an_array_in_a_group_of_groups_is_chosen_by_name(tmp_path: Path) -> None:
    group = zarr.create_group(tmp_path / "in.zarr")
    for name in ("vp", "vs"):
        group.create_array(f"survey/{name}", data=asymmetric())
    with pytest.raises(errors.InputFileError, match="name one array with --array"):
        open_models(tmp_path / "in.zarr")
    found = open_models(tmp_path / "in.zarr", array="survey/vs")
    assert found.parts[0].name == "in.zarr:survey/vs"
    assert np.array_equal(all_of(found), asymmetric())


class Trap:
    """A pickle whose loading would be noticed."""

    sprung = False

    def __reduce__(self) -> tuple[Any, ...]:
        return (setattr, (Trap, "sprung", True))


@pytest.mark.parametrize("place", ["compressor", "filters"])
@pytest.mark.parametrize(
    ("codec", "match"),
    [({"id": "pickle", "protocol": 5}, "pickle"), ({"id": "base64"}, "codec: found 'base64'")],
)
def test_codecs_that_are_not_allowed_are_refused_and_not_run(
    tmp_path: Path, place: str, codec: dict[str, Any], match: str
) -> None:
    path = tmp_path / "in"
    zarr.create_array(path, data=asymmetric(1), zarr_format=2, compressors=None, filters=None)
    about = json.loads((path / ".zarray").read_text())
    about |= {"filters": [codec]} if place == "filters" else {"compressor": codec}
    (path / ".zarray").write_text(json.dumps(about))
    (chunk,) = (p for p in path.rglob("*") if p.name.startswith("0"))
    chunk.write_bytes(pickle.dumps(Trap()))
    with pytest.raises(errors.InputFileError, match=match):
        all_of(open_models(path))
    assert not Trap.sprung


def test_codecs_within_shards_are_checked(tmp_path: Path) -> None:
    zarr.create_array(tmp_path / "in", data=asymmetric(), chunks=(1, 5, 7), shards=(2, 5, 7))
    assert np.array_equal(all_of(open_models(tmp_path / "in")), asymmetric())
    text = (tmp_path / "in/zarr.json").read_text()
    (tmp_path / "in/zarr.json").write_text(text.replace('"zstd"', '"vlen-utf8"'))
    with pytest.raises(errors.InputFileError):
        open_models(tmp_path / "in")


@pytest.mark.filterwarnings("ignore:Object at")
@pytest.mark.parametrize("content", ["", "{", "[]", '{"zarr_format": 3, "node_type": "array"}'])
def test_impossible_metadata_is_refused(tmp_path: Path, content: str) -> None:
    path = written(tmp_path, "zarr", asymmetric())
    (path / "velocity/zarr.json").write_text(content)
    with pytest.raises(errors.InputFileError, match=r"models\.zarr"):
        open_models(path)


def test_a_chunk_that_was_cut_is_an_error(tmp_path: Path) -> None:
    path = written(tmp_path, "zarr", asymmetric())
    (chunk,) = (p for p in (path / "velocity/c").rglob("*") if p.is_file())
    chunk.write_bytes(chunk.read_bytes()[:-7])
    with pytest.raises(errors.InputFileError, match="velocity"):
        all_of(open_models(path))


def test_a_store_is_written_in_chunks_and_read_by_xarray(tmp_path: Path) -> None:
    path = written(tmp_path, "zarr", asymmetric(), units="m/s", ground=GROUND)
    with xarray.open_zarr(path, consolidated=False) as data:
        assert dict(data.sizes) == {"model": 4, "z": 5, "x": 7}
        assert np.array_equal(data.z, -25.0 + 7.5 * np.arange(5))
        assert np.array_equal(data.velocity, asymmetric())


def test_a_store_is_never_written_over_another(tmp_path: Path) -> None:
    path = written(tmp_path, "zarr", asymmetric())
    with pytest.raises(errors.OutputExistsError, match="folder is not empty"):
        written(tmp_path, "zarr", asymmetric())
    assert np.array_equal(all_of(open_models(path)), asymmetric())


@pytest.mark.parametrize("what", ["a chunk", "a folder of chunks", "metadata", "a pipe"])
def test_a_store_with_links_to_the_outside_is_refused(tmp_path: Path, what: str) -> None:
    path = written(tmp_path, "zarr", asymmetric())
    (chunk,) = (p for p in (path / "velocity/c").rglob("*") if p.is_file())
    moved = {
        "a chunk": chunk,
        "a folder of chunks": path / "velocity/c",
        "metadata": path / "velocity/zarr.json",
        "a pipe": chunk,
    }[what]
    moved.rename(tmp_path / "elsewhere")
    if what == "a pipe":
        os.mkfifo(moved)
    else:
        moved.symlink_to(tmp_path / "elsewhere")
    expected = "is a pipe" if what == "a pipe" else f"{moved.relative_to(path)}: is a link to "
    with pytest.raises(errors.InputFileError, match=expected):
        open_models(path)


def test_a_store_may_be_reached_by_a_link_and_link_within_itself(tmp_path: Path) -> None:
    path = written(tmp_path, "zarr", asymmetric())
    (chunk,) = (p for p in (path / "velocity/c").rglob("*") if p.is_file())
    chunk.rename(path / "kept")
    chunk.symlink_to(path / "kept")
    (tmp_path / "link.zarr").symlink_to(path)
    assert np.array_equal(all_of(open_models(tmp_path / "link.zarr")), asymmetric())
