"""Parts form one sequence of models; what is stated of them is checked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from round_trips import asymmetric, form_for

from velcodec.formats import errors
from velcodec.formats.files import Form, Ground, open_models
from velcodec.formats.files.form import depth_first, own_axes

SIZES = (3, 1, 4)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight models in three files."""
    folder, models = tmp_path_factory.mktemp("parts"), asymmetric(sum(SIZES))
    starts = np.cumsum((0, *SIZES))
    for number, (start, size) in enumerate(zip(starts[:-1], SIZES, strict=True), 9):
        np.save(folder / f"model{number}.npy", models[start : start + size])
    return folder


@settings(deadline=None, max_examples=40)
@given(start=st.integers(0, 7), stop=st.integers(1, 8))
def test_any_range_is_read_across_files(folder: Path, start: int, stop: int) -> None:
    found = open_models(folder)
    assert len(found) == 8
    if start >= stop:
        with pytest.raises(errors.OptionError):
            list(found.read(start, stop))
        return
    pieces = list(found.read(start, stop))
    assert np.array_equal(np.concatenate([a for _, a in pieces]), asymmetric(8)[start:stop])
    assert all(len(array) <= len(part) for part, array in pieces)


def test_pieces_come_one_at_a_time(folder: Path, tmp_path: Path) -> None:
    good = np.load(folder / "model10.npy")
    np.save(tmp_path / "1.npy", good)
    np.save(tmp_path / "2.npy", np.full_like(good, np.inf))
    pieces = open_models(tmp_path).read(0, 2)
    assert np.array_equal(next(pieces)[1], good)
    with pytest.raises(errors.NonFiniteError, match=r"2\.npy: found inf at index \(0, 0, 0\)"):
        next(pieces)


@pytest.mark.parametrize("axes", ["zx", "nzx", "n1zx", "xz", "nxz", "n1xz"])
def test_axes_are_turned_and_turned_back(axes: str) -> None:
    models = asymmetric(3 if "n" in axes else 1)
    array = own_axes(models, axes)
    assert array.shape == form_for(models, axes).shape
    assert np.array_equal(depth_first(array, axes), models)


def test_known_figures_override_others() -> None:
    assert Ground(dx_m=1.0).or_else(Ground(2.0, 3.0)) == Ground(1.0, 3.0)


@pytest.mark.parametrize(
    ("ground", "match"),
    [
        (Ground(dx_m=0.0), "dx: found 0.0 m, expected a spacing above zero"),
        (Ground(dz_m=-1.0), "dz: found -1.0 m"),
        (Ground(dz_m=float("nan")), "dz: found nan m"),
        (Ground(origin_x_m=float("inf")), "origin_x: found inf m, expected a position"),
    ],
)
def test_impossible_spacings_are_refused(ground: Ground, match: str) -> None:
    with pytest.raises(errors.InputFileError, match=match):
        ground.checked("in.h5")


@pytest.mark.parametrize(
    ("values", "match"),
    [
        ({"axes": "zy"}, "axes"),
        ({"axes": "zx"}, "axes: found 'zx' for 3 models"),
        ({"dtype": "float32"}, "dtype"),
        ({"dtype": "<f2"}, "dtype"),
        ({"units": "ft/s"}, "units"),
        ({"nz": 0}, "found 3 of 0 x 7"),
        ({"nz": 2**20, "nx": 2**20}, "at most"),
        ({"keys": ("a",)}, "keys: found 1 for 3 models"),
    ],
)
def test_impossible_forms_are_refused(values: dict[str, object], match: str) -> None:
    with pytest.raises(errors.OptionError, match=match):
        Form(**{"count": 3, "nz": 5, "nx": 7, **values})  # type: ignore[arg-type]
