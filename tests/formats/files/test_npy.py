"""`.npy` files: every kind of model array is accepted unchanged, everything
else refused by name.
"""

from __future__ import annotations

import hashlib
import io
import itertools
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from velcodec.formats import errors
from velcodec.formats.files.npy import NpyWriter, as_models, read_models, write_models

DTYPES = ["<f4", ">f4", "<f8", ">f8", "|i1", "|u1", "<i2", ">u2", "<i4", ">i4", "<u4", "<i8", ">u8"]
SHAPES = [(5, 7), (3, 5, 7), (3, 1, 5, 7), (1, 1, 1, 1)]


def values(shape: tuple[int, ...], dtype: str = "<f4") -> NDArray[Any]:
    return (np.arange(np.prod(shape)).reshape(shape) % 100).astype(dtype)


def saved(folder: Path, array: NDArray[Any]) -> Path:
    np.save(folder / "in.npy", array)
    return folder / "in.npy"


@pytest.mark.parametrize(("shape", "dtype"), list(itertools.product(SHAPES, DTYPES)))
@pytest.mark.parametrize("layout", ["C", "F"])
def test_every_shape_dtype_and_memory_order_is_read(
    tmp_path: Path, shape: tuple[int, ...], dtype: str, layout: Any
) -> None:
    array = values(shape, dtype)
    path = saved(tmp_path, np.asarray(array, order=layout))
    found = read_models(path)
    assert np.array_equal(found.models, array.reshape(-1, *shape[-2:]))
    assert found.axes == {2: "zx", 3: "nzx", 4: "n1zx"}[len(shape)]
    assert found.dtype.str == dtype
    assert found.sha256 == hashlib.sha256(path.read_bytes()).digest()
    assert found.name == str(path)


@pytest.mark.parametrize("shape", SHAPES)
def test_distance_first_is_turned(shape: tuple[int, ...]) -> None:
    array = values(shape)
    found = as_models(array, order="xz")
    assert np.array_equal(found.models, array.reshape(-1, *shape[-2:]).swapaxes(1, 2))
    assert found.axes == {2: "xz", 3: "nxz", 4: "n1xz"}[len(shape)]


@pytest.mark.parametrize("shape", [(), (5,), (2, 2, 5, 7), (2, 0, 5, 7), (1, 1, 1, 5, 7)])
def test_other_shapes_are_refused_and_the_shape_is_named(shape: tuple[int, ...]) -> None:
    with pytest.raises(errors.InputShapeError) as caught:
        as_models(np.zeros(shape), name="in.npy")
    assert str(shape) in str(caught.value)
    assert "3-D models are taken with --volume" in str(caught.value)


@pytest.mark.parametrize("shape", [(0, 7), (5, 0), (0, 5, 7), (3, 1, 0, 7)])
def test_empty_arrays_are_refused(tmp_path: Path, shape: tuple[int, ...]) -> None:
    with pytest.raises(errors.EmptyInputError) as caught:
        read_models(saved(tmp_path, np.zeros(shape)))
    assert f"in.npy: shape: found {shape}" in str(caught.value)


@pytest.mark.parametrize(
    "dtype", ["f2", "g", "c8", "?", "S4", "U4", "M8[s]", "m8[s]", "V3", "i4,f4"]
)
def test_other_dtypes_are_refused(tmp_path: Path, dtype: str) -> None:
    with pytest.raises(errors.InputDtypeError, match=r"in\.npy: dtype: found"):
        read_models(saved(tmp_path, np.zeros((5, 7), dtype=dtype)))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(
    ("shape", "place"),
    [
        ((5, 7), (4, 6)),
        ((3, 5, 7), (2, 0, 1)),
        ((3, 1, 5, 7), (1, 0, 3, 2)),
        ((600, 2, 2), (599, 1, 0)),
    ],
)
def test_a_value_that_is_not_finite_is_named_with_its_place(
    value: float, shape: tuple[int, ...], place: tuple[int, ...]
) -> None:
    array = values(shape, ">f8")
    array[place] = value
    with pytest.raises(errors.NonFiniteError) as caught:
        as_models(array, name="in.npy")
    assert f"in.npy: found {value} at index {place}" in str(caught.value)


def test_options_are_checked() -> None:
    with pytest.raises(errors.OptionError, match="order: found 'yx'"):
        as_models(values((5, 7)), order="yx")
    with pytest.raises(errors.OptionError, match="units: found 'ft/s'"):
        as_models(values((5, 7)), units="ft/s")


# --- files that are not what they should be -------------------------------------------------------


class Trap:
    """A pickle whose loading would be noticed."""

    sprung = False

    def __reduce__(self) -> tuple[Any, ...]:
        return (setattr, (Trap, "sprung", True))


def test_pickles_are_refused_and_not_opened(tmp_path: Path) -> None:
    path = tmp_path / "in.npy"
    path.write_bytes(pickle.dumps(Trap()))
    with pytest.raises(errors.InputFileError, match=r"in\.npy: found .* expected a \.npy file"):
        read_models(path)
    np.save(path, np.array([[Trap()]], dtype=object), allow_pickle=True)
    with pytest.raises(errors.InputDtypeError, match="found objects"):
        read_models(path)
    assert not Trap.sprung


def test_an_npz_archive_is_refused_as_such(tmp_path: Path) -> None:
    np.savez(tmp_path / "in.npz", values((5, 7)))
    with pytest.raises(errors.InputFileError, match=r"found an \.npz archive"):
        read_models(tmp_path / "in.npz")


def test_every_cut_of_a_file_is_refused(tmp_path: Path) -> None:
    data = saved(tmp_path, values((5, 7))).read_bytes()
    for cut in range(len(data)):
        (tmp_path / "cut.npy").write_bytes(data[:cut])
        with pytest.raises(errors.InputFileError, match=r"cut\.npy: "):
            read_models(tmp_path / "cut.npy")


@pytest.mark.parametrize(
    "head",
    [
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1099511627776, 1099511627776)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (-5, 7)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (5.0, 7)}",
        "{'descr': '<f4', 'fortran_order': 3, 'shape': (5, 7)}",
        "{'descr': 'nonsense', 'fortran_order': False, 'shape': (5, 7)}",
        "{'descr': '<f4', 'shape': (5, 7)}",
        "[1, 2]",
        "{'descr': ",
        "(" * 5000,
        "__import__('os').abort()",
        "\x00",
        "",
    ],
    ids=lambda head: head[:40],
)
def test_impossible_headers_are_refused(tmp_path: Path, head: str) -> None:
    text = head.encode().ljust(64) + b"\n"
    for version in (1, 2, 3, 9):
        size = len(text).to_bytes(2 if version == 1 else 4, "little")
        data = b"\x93NUMPY" + bytes([version, 0]) + size + text + bytes(140)
        (tmp_path / "in.npy").write_bytes(data)
        with pytest.raises(errors.InputFileError, match=r"in\.npy: ") as caught:
            read_models(tmp_path / "in.npy")
        assert "\n" not in str(caught.value)


@settings(deadline=None, max_examples=100)
@given(st.binary(max_size=80))
def test_arbitrary_bytes_after_the_signature_are_refused(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "arbitrary.npy"
    path.write_bytes(b"\x93NUMPY" + data)
    with pytest.raises(errors.InputFileError):
        read_models(path)


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(errors.InputFileError, match="none: No such file"):
        read_models(tmp_path / "none")
    with pytest.raises(errors.InputFileError, match="Is a directory"):
        read_models(tmp_path)


# --- writing --------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_written_bytes_are_those_of_numpy(shape: tuple[int, ...], dtype: str) -> None:
    array = values(shape, dtype)
    expected, found = io.BytesIO(), io.BytesIO()
    np.save(expected, array)
    write_models(found, array)
    assert found.getvalue() == expected.getvalue()


def test_parts_make_one_array() -> None:
    array = values((7, 5, 3), ">f8")
    stream = io.BytesIO()
    writer = NpyWriter(stream, array.shape, array.dtype)
    writer.add([array[:2], array[2].swapaxes(0, 1).T])
    writer.add(iter(array[3:]))
    writer.close()
    assert np.array_equal(np.load(io.BytesIO(stream.getvalue())), array)


def test_too_many_and_too_few_samples_are_noticed() -> None:
    writer = NpyWriter(io.BytesIO(), (2, 3), "<f4")
    with pytest.raises(errors.InputShapeError, match="6 samples fewer"):
        writer.close()
    with pytest.raises(errors.InputShapeError, match="more samples"):
        writer.add([np.zeros((3, 3))])


@pytest.mark.parametrize("dtype", [object, "c8", "S3", "f2"])
def test_objects_and_other_dtypes_are_not_written(dtype: Any) -> None:
    stream = io.BytesIO()
    with pytest.raises(errors.InputDtypeError):
        NpyWriter(stream, (2, 3), dtype)
    assert stream.getvalue() == b""
