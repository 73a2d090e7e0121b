"""Every kind of array with an unambiguous meaning is accepted; the rest is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray
from checkers import layered

import velcodec
from velcodec.decoder import Decoder
from velcodec.encode.describe import make_batch
from velcodec.encode.description import Description
from velcodec.formats import errors
from velcodec.formats.files.npy import load_mapped

MODELS = layered(2, 9, 14)
ONE = MODELS[0]

TAKEN: dict[str, tuple[Any, str, Any]] = {
    "tensor": (torch.tensor(MODELS), "nzx", MODELS),
    "tensor of one model": (torch.tensor(ONE), "zx", ONE[None]),
    "tensor with a channel": (torch.tensor(MODELS[:, None]), "n1zx", MODELS),
    "tensor that needs gradients": (torch.tensor(MODELS, requires_grad=True), "nzx", MODELS),
    "tensor of float64": (torch.tensor(MODELS.astype("f8")), "nzx", MODELS),
    "list of tensors": ([torch.tensor(ONE), torch.tensor(MODELS[1])], "nzx", MODELS),
    "matrix": (ONE.view(np.matrix), "zx", ONE[None]),
    "masked array that masks nothing": (np.ma.masked_array(MODELS), "nzx", MODELS),
    "tuple of arrays": (tuple(MODELS), "nzx", MODELS),
}


@pytest.mark.parametrize("name", TAKEN)
def test_every_kind_of_array_is_read_by_its_values(name: str) -> None:
    models, axes, expected = TAKEN[name]
    batch = make_batch(models, Description(), None, {})
    assert np.array_equal(batch.models, expected)
    assert batch.layouts[0].axes == axes


@pytest.mark.parametrize(
    ("models", "kind", "words"),
    [
        (np.float32(3.0), errors.InputShapeError, r"shape: found \(\)"),
        (3.0, errors.InputShapeError, r"found 3\.0, expected an array \(nz, nx\)"),
        (None, errors.InputShapeError, "found None, expected an array"),
        ({"vp": ONE}, errors.InputShapeError, "found a dict, expected an array"),
        (xarray.Dataset({"vp": (("z", "x"), ONE)}), errors.InputShapeError, "found a Dataset"),
        (np.ones((9, 14, 1)), errors.InputShapeError, "one model of 9 x 14 or 9 models of 14 x 1"),
        (torch.ones(3, 4, dtype=torch.bfloat16), errors.InputDtypeError, "of torch.bfloat16"),
        (torch.ones(3, 4).to_sparse(), errors.InputDtypeError, "layout torch.sparse_coo"),
        ([ONE, ["a", "b"]], errors.InputDtypeError, r"models\[1\]: dtype"),
        ([[1.0, 2.0], [3.0]], errors.InputShapeError, r"models\[0\]: shape: found \(2,\)"),
    ],
)  # fmt: skip
def test_anything_but_an_array_of_models_is_one_clear_error(
    models: Any, kind: type[Exception], words: str
) -> None:
    with pytest.raises(kind, match=words):
        make_batch(models, Description(), None, {})


@pytest.mark.parametrize("how", [{"lossless": True}, {"psnr": 20.0}, {"max_error": 1.0}], ids=str)
@pytest.mark.parametrize("wrap", [lambda a: a, lambda a: [a], lambda a: a[None]])
def test_masked_samples_are_refused_with_place_and_count(
    tiny: Decoder, how: dict[str, Any], wrap: Any
) -> None:
    masked = wrap(np.ma.masked_array(ONE, mask=np.indices(ONE.shape)[0] < 3))
    with pytest.raises(errors.NoDataError, match="masked, as are 42 of 126 samples"):
        velcodec.compress(masked, decoder=tiny, **how)


def test_masked_samples_of_the_declared_value_are_absent(tiny: Decoder) -> None:
    gone = np.indices(ONE.shape)[0] < 3
    masked = np.ma.masked_array(np.where(gone, np.float32(-9999), ONE), mask=gone)
    found = velcodec.decompress(velcodec.compress(masked, mask=-9999, lossless=True))
    assert np.array_equal(found, masked.data)
    with pytest.raises(errors.NoDataError, match="masked, as are 42 of 126 samples"):
        velcodec.compress(masked, mask=-1, decoder=tiny)


@pytest.mark.parametrize("units", ["m/s", "km/s"])
def test_a_labelled_array_may_have_absent_samples(units: str) -> None:
    models = np.where(np.indices(ONE.shape)[0] < 3, np.float32(np.nan), ONE)
    if units == "km/s":
        models = models / 1000
    array = xarray.DataArray(
        models[::-1],
        {"z": -10.0 * np.arange(9)[::-1]},
        ("z", "x"),
        attrs={"_FillValue": np.nan, "units": units},
    )
    found = velcodec.decompress(velcodec.compress(array, mask="nan", lossless=True))
    assert np.array_equal(found, models, equal_nan=True)
    with pytest.raises(errors.NoDataError, match=r"found nan .*marked.*; --mask=nan"):
        velcodec.compress(array)


@pytest.mark.parametrize("value", [-9999.0, 1e30])
def test_values_that_stand_for_no_data_are_refused(tiny: Decoder, value: float) -> None:
    models = MODELS.copy()
    models[1, 0, 3] = value
    with pytest.raises(errors.NoDataError, match=r"index \(1, 0, 3\).*1 of 252 samples"):
        velcodec.compress(models, decoder=tiny, lossless=True)


def test_a_labelled_array_is_placed_by_its_names() -> None:
    array = xarray.DataArray(
        MODELS.transpose(2, 1, 0)[:, ::-1] / 1000,
        {
            "z": ("z", -10.0 * np.arange(9)[::-1]),
            "x": ("x", 2 + np.arange(14) / 40, {"units": "km"}),
            "model": ["a", "b"],
        },
        ("x", "z", "model"),
        attrs={"units": "km/s"},
    )
    batch = make_batch(array, Description(), None, {})
    layout = batch.layouts[0]
    assert np.array_equal(batch.models, MODELS / 1000)
    assert (layout.units, layout.axes, layout.z_up) == ("km/s", "nxz", True)
    assert (layout.dx_m, layout.dz_m) == (25.0, 10.0)
    assert (layout.origin_x_m, layout.origin_z_m) == (2000.0, 0.0)
    assert batch.keys == ("a", "b")
    stated = make_batch(array, Description(dx=7.0, keys=["c", "d"]), ["c", "d"], {})
    assert stated.layouts[0].dx_m == 7.0
    assert stated.keys == ("c", "d")


@pytest.mark.parametrize(
    ("dims", "attributes", "kind", "words"),
    [
        (("t", "y", "x"), {}, errors.InputShapeError, "z, y and x of 3-D models"),
        (("u", "v", "w"), {}, errors.InputFileError, "axes: found u, v, w"),
        (("model", "z", "x"), {"units": "ft/s"}, errors.InputFileError, "units: found 'ft/s'"),
        (("model", "z", "x"), {"missing_value": MODELS[0, 0, 0]}, errors.NoDataError, "marked"),
    ],
)
def test_a_labelled_array_with_unclear_axes_is_refused(
    dims: tuple[str, ...], attributes: dict[str, Any], kind: type[Exception], words: str
) -> None:
    array = xarray.DataArray(MODELS, dims=dims, attrs=attributes)
    with pytest.raises(kind, match=words):
        make_batch(array, Description(), None, {})


@pytest.mark.parametrize("more", [b"\0", b"npy"])
def test_a_npy_file_with_trailing_bytes_is_refused(tmp_path: Path, more: bytes) -> None:
    path = tmp_path / "in.npy"
    with path.open("wb") as stream:
        np.save(stream, ONE)
        if more == b"npy":
            np.save(stream, ONE + 500)
        else:
            stream.write(more)
    with pytest.raises(errors.InputFileError, match=r"bytes behind the array of shape \(9, 14\)"):
        load_mapped(path)
    with pytest.raises(errors.InputFileError, match="file holds one array"):
        velcodec.compress(path)


@pytest.mark.parametrize(
    ("attributes", "words"),
    [
        ({"dx": 12.5}, "dx: found 12.5 m, and coordinates of x in steps of 25 m"),
        ({"spacing": 25.0}, "spacing: found 25 of the array, whose meaning is not known"),
        ({"unit": "ft/s"}, "units: found 'ft/s', expected m/s or km/s"),
        ({"z_positive": "up"}, "z_positive: found 'up', and coordinates of z"),
    ],
)
def test_contradictory_metadata_of_a_labelled_array_is_refused(
    attributes: dict[str, Any], words: str
) -> None:
    coords = {
        "x": np.arange(14) * 25.0,
        "z": ("z", np.arange(9) * 10.0, {"positive": "down"}),
    }
    array = xarray.DataArray(ONE, coords=coords, dims=("z", "x"), attrs=attributes)
    with pytest.raises(errors.InputFileError, match=words):
        make_batch(array, Description(), None, {})
