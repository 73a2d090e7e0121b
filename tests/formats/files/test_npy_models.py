"""`.npy` files: only the requested models are read, and nothing is unpickled."""

from __future__ import annotations

import mmap
import pickle
from pathlib import Path

import numpy as np
import pytest
from round_trips import asymmetric

from velcodec.formats import errors
from velcodec.formats.files import base, open_models


def test_a_read_of_two_models_touches_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = asymmetric(1000)
    models[:400], models[402:] = np.nan, np.nan
    np.save(tmp_path / "in.npy", models)
    checked: list[tuple[int, ...]] = []

    def spy(array: np.ndarray, *place: object) -> None:
        checked.append(array.shape)

    monkeypatch.setattr(base, "check_finite", spy)
    (part,) = open_models(tmp_path / "in.npy").parts
    assert checked == []
    assert np.array_equal(part.read(400, 402), models[400:402])
    assert checked == [(2, 5, 7)]


def test_a_file_larger_than_memory_is_opened_and_read_in_part(tmp_path: Path) -> None:
    path = tmp_path / "in.npy"
    shape = (10**8, 70, 70)  # 1.8 TiB, sparse: the file system keeps a page or two
    with path.open("wb") as stream:
        about = {"descr": "<f4", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(stream, about)
        start = stream.tell()
        stream.truncate(start + 4 * int(np.prod(shape)))
        stream.seek(start + 4 * 70 * 70 * 99_000_000)
        stream.write(asymmetric(1, 70, 70).tobytes())
    (part,) = open_models(path).parts
    assert len(part) == 10**8
    read = part.read(99_000_000, 99_000_002)
    assert np.array_equal(read[0], asymmetric(1, 70, 70)[0])
    assert not read[1].any()


def test_models_read_outlive_the_file(tmp_path: Path) -> None:
    np.save(tmp_path / "in.npy", asymmetric(2))
    (_, array), = open_models(tmp_path / "in.npy").read(0, 2)  # fmt: skip
    owner = array
    while isinstance(owner, np.ndarray) and owner.base is not None:
        owner = owner.base
    assert not isinstance(owner, mmap.mmap)


@pytest.mark.parametrize("axes", ["zx", "nzx", "n1zx"])
def test_the_memory_order_of_fortran_is_read(tmp_path: Path, axes: str) -> None:
    models = asymmetric(1 if axes == "zx" else 4)
    array = {"zx": models[0], "nzx": models, "n1zx": models[:, None]}[axes]
    np.save(tmp_path / "in.npy", np.asfortranarray(array))
    (part,) = open_models(tmp_path / "in.npy").parts
    assert np.array_equal(part.read(0, len(models)), models)
    assert part.form.axes == axes


def test_a_file_that_was_cut_after_it_was_opened_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "in.npy"
    np.save(path, asymmetric(4))
    (part,) = open_models(path).parts
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(errors.InputFileError, match=str(path)):
        part.read(0, 1)
    np.save(path, asymmetric(2))
    with pytest.raises(errors.InputFileError, match="ends before model 4, or has changed"):
        part.read(2, 4)


def test_pickles_objects_and_other_shapes_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "in.npy"
    path.write_bytes(pickle.dumps([1]))
    with pytest.raises(errors.InputFileError, match=r"expected a \.npy file"):
        open_models(path)
    np.save(path, np.array([[None]]), allow_pickle=True)
    with pytest.raises(errors.InputDtypeError, match="found objects"):
        open_models(path)
    np.save(path, np.zeros((2, 3, 5, 7)))
    with pytest.raises(errors.InputShapeError, match="3-D models are taken with --volume"):
        open_models(path)
    np.save(path, np.zeros((5, 7), complex))
    with pytest.raises(errors.InputDtypeError, match="found complex128"):
        open_models(path)
    np.save(path, np.zeros((0, 5, 7)))
    with pytest.raises(errors.EmptyInputError):
        open_models(path)
