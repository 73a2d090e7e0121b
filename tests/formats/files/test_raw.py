"""Raw samples: only the stated shape and dtype, no guessing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from round_trips import all_of, asymmetric

from velcodec.formats import errors
from velcodec.formats.files import open_models


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "in.bin").write_bytes(asymmetric(4).tobytes())
    return tmp_path / "in.bin"


def test_the_number_of_models_follows_from_the_size(path: Path) -> None:
    found = open_models(path, shape=(5, 7))
    assert (len(found), found.parts[0].form.axes) == (4, "nzx")
    assert np.array_equal(all_of(found), asymmetric(4))
    path.write_bytes(asymmetric(1).tobytes())
    assert open_models(path, shape=(5, 7)).parts[0].form.axes == "zx"


def test_the_shape_is_that_of_the_file_whatever_the_order(path: Path) -> None:
    path.write_bytes(asymmetric(4).swapaxes(1, 2).tobytes())
    assert np.array_equal(all_of(open_models(path, shape=(7, 5), order="xz")), asymmetric(4))


def test_a_shape_with_the_singleton_axis_is_kept(path: Path) -> None:
    assert open_models(path, shape=(4, 1, 5, 7)).parts[0].form.axes == "n1zx"


def test_any_suffix_is_read_as_raw_with_a_shape(path: Path) -> None:
    found = open_models(path.rename(path.with_name("model.vp")), shape=(5, 7))
    assert np.array_equal(all_of(found), asymmetric(4))


def test_float32_is_the_default(path: Path) -> None:
    path.write_bytes(asymmetric(2, dtype=">f8").tobytes())
    assert len(open_models(path, shape=(5, 7))) == 4
    assert np.array_equal(all_of(open_models(path, shape=(5, 7), dtype=">f8")), asymmetric(2))


@pytest.mark.parametrize("shape", [(5, 8), (3, 5, 7), (9, 5, 7), (4, 1, 5, 8)])
def test_a_size_that_does_not_fit_is_refused(path: Path, shape: tuple[int, ...]) -> None:
    with pytest.raises(errors.InputFileError, match="found 560 bytes, expected"):
        open_models(path, shape=shape)


def test_missing_and_unknown_options_are_named(path: Path) -> None:
    with pytest.raises(errors.OptionError, match="raw samples need a shape"):
        open_models(path)
    with pytest.raises(errors.OptionError, match="dtype: found 'float99'"):
        open_models(path, shape=(5, 7), dtype="float99")
    with pytest.raises(errors.InputDtypeError):
        open_models(path, shape=(5, 7), dtype="complex64")
    path.write_bytes(b"")
    with pytest.raises(errors.EmptyInputError):
        open_models(path, shape=(5, 7))


def test_a_file_that_was_cut_after_it_was_opened_is_an_error(path: Path) -> None:
    (part,) = open_models(path, shape=(5, 7)).parts
    path.write_bytes(path.read_bytes()[:-4])
    assert np.array_equal(part.read(0, 3), asymmetric(3))
    with pytest.raises(errors.InputFileError, match=str(path)):
        part.read(3, 4)
