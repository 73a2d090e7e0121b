"""HDF5 files: the right dataset, its attributes, and no way out of the file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from round_trips import all_of, asymmetric

from velcodec.formats import errors
from velcodec.formats.files import Ground, open_models


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "in.h5"


def test_the_only_dataset_of_models_is_found(path: Path) -> None:
    with h5py.File(path, "w") as out:
        out["survey/vp"] = asymmetric(3)
        out["survey/depth"] = np.arange(5.0)
        out["survey/shots"] = np.zeros((2, 3, 4, 5))
        out["notes"] = "none"
        out["nothing"] = h5py.Empty("f4")
    (part,) = open_models(path).parts
    assert part.name == "in.h5:survey/vp"
    assert np.array_equal(part.read(1, 3), asymmetric(3)[1:3])


def test_several_are_listed_and_one_is_chosen_by_name(path: Path) -> None:
    with h5py.File(path, "w") as out:
        out["vp"], out["vs"] = asymmetric(3), asymmetric(3) / 2
        out["alias"] = h5py.SoftLink("/vs")
    with pytest.raises(errors.InputFileError) as caught:
        open_models(path)
    assert "name one array with --array; found vp (3x5x7 float32), vs (3x5x7 float32)" in str(
        caught.value
    )
    for name in ("vs", "/vs", "alias"):
        assert np.array_equal(all_of(open_models(path, array=name)), asymmetric(3) / 2)
    with pytest.raises(errors.InputFileError, match="no array 'rho'; found vp"):
        open_models(path, array="rho")


def test_no_dataset_of_models_is_an_error_that_lists_the_datasets(path: Path) -> None:
    with h5py.File(path, "w") as out:
        out["depth"] = np.arange(5.0)
    with pytest.raises(errors.InputFileError, match=r"no array of models; found depth \(5 f"):
        open_models(path)


def test_attributes_of_the_dataset_and_of_the_file_are_taken_together(path: Path) -> None:
    with h5py.File(path, "w") as out:
        out["vp"] = asymmetric(1)
        out.attrs.update({"dx": 25, "dz": 5, "units": b"km/s"})
        out["vp"].attrs.update({"dx": np.array([25.0]), "origin": [100.0, -50.0]})
    (part,) = open_models(path).parts
    assert part.form.ground == Ground(25.0, 5.0, 100.0, -50.0)
    assert part.form.units == "km/s"


def test_labels_of_dimensions_give_the_order(path: Path) -> None:
    with h5py.File(path, "w") as out:
        out["vp"] = asymmetric(3).swapaxes(1, 2)
        for dimension, label in zip(out["vp"].dims, ("", "Distance", "Depth"), strict=True):
            dimension.label = label
    assert np.array_equal(all_of(open_models(path)), asymmetric(3))


@pytest.mark.parametrize(
    ("attributes", "match"),
    [
        ({"dx": "wide"}, "dx, dz or origin"),
        ({"dx": [1.0, 2.0]}, "dx, dz or origin"),
        ({"dz": -10.0}, "dz: found -10.0 m"),
        ({"origin": 3.0}, "dx, dz or origin"),
        ({"units": "ft/s"}, "units: found 'ft/s', expected m/s or km/s"),
        ({"scale_factor": 0.5}, "scale_factor: found packed values"),
    ],
)
def test_attributes_that_cannot_be_understood_are_refused(
    path: Path, attributes: dict[str, Any], match: str
) -> None:
    with h5py.File(path, "w") as out:
        out["vp"] = asymmetric(1)
        out["vp"].attrs.update(attributes)
    with pytest.raises(errors.InputFileError, match=match):
        open_models(path)


def test_units_stated_by_the_caller_override_those_of_the_file(path: Path) -> None:
    with h5py.File(path, "w") as out:
        out["vp"] = asymmetric(1)
        out["vp"].attrs["units"] = "furlongs per fortnight"
    assert open_models(path, units="m/s").parts[0].form.units == "m/s"


@pytest.mark.parametrize("way", ["link", "storage", "virtual"])
def test_references_to_other_files_are_refused(path: Path, tmp_path: Path, way: str) -> None:
    with h5py.File(tmp_path / "secret.h5", "w") as out:
        out["vp"] = asymmetric(1)
    secret = str(tmp_path / "secret.h5")
    with h5py.File(path, "w") as out:
        if way == "link":
            out["vp"] = h5py.ExternalLink(secret, "/vp")
        elif way == "storage":
            out.create_dataset("vp", (5, 7), "f4", external=[(secret, 0, 140)])
        else:
            layout = h5py.VirtualLayout((1, 5, 7), "f4")
            layout[...] = h5py.VirtualSource(secret, "vp", (1, 5, 7))
            out.create_virtual_dataset("vp", layout)
    for array in (None, "vp"):
        with pytest.raises(errors.InputFileError, match="vp: leads to another file"):
            open_models(path, array=array)


def test_compressed_chunks_are_read(path: Path) -> None:
    with h5py.File(path, "w") as out:
        out.create_dataset("vp", data=asymmetric(9), chunks=(2, 5, 7), compression="gzip")
    assert np.array_equal(open_models(path).parts[0].read(3, 8), asymmetric(9)[3:8])
