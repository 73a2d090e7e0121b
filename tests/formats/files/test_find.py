"""Exactly the intended files are found, ordered by their numbers."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from round_trips import asymmetric, written

from velcodec.formats import errors
from velcodec.formats.files import Models, open_models
from velcodec.formats.files.find import natural


def saved(folder: Path, *names: str) -> None:
    for number, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        np.save(folder / name, asymmetric(1) + number)


def files(models: Models) -> list[str]:
    return [part.file for part in models.parts]


def test_a_folder_is_read_in_the_order_of_numbers_with_its_folders(tmp_path: Path) -> None:
    names = ["model1.npy", "model2.npy", "model10.npy", "run2/a.npy", "run10/a.npy"]
    saved(tmp_path, *reversed(names))
    assert files(open_models(tmp_path)) == names


def test_fault_families_are_read_without_the_records_beside_them(tmp_path: Path) -> None:
    saved(tmp_path, "vel2_1_0.npy", "vel2_1_1.npy", "vel10_1_0.npy")
    np.save(tmp_path / "seis2_1_0.npy", np.zeros((2, 5, 9, 7)))
    assert files(open_models(tmp_path)) == ["vel2_1_0.npy", "vel2_1_1.npy", "vel10_1_0.npy"]


def test_the_family_folders_are_read_without_their_records(tmp_path: Path) -> None:
    saved(tmp_path, "CurveVel_A/model/model1.npy", "data/data7.npy")
    (tmp_path / "CurveVel_A/data").mkdir()
    np.save(tmp_path / "CurveVel_A/data/data1.npy", np.zeros((2, 5, 9, 7)))
    # data7 has no model of its number beside it, so it is read as a model.
    assert files(open_models(tmp_path)) == ["CurveVel_A/model/model1.npy", "data/data7.npy"]


def test_seismic_data_requested_as_models_is_refused_by_shape(tmp_path: Path) -> None:
    np.save(tmp_path / "seis1.npy", np.zeros((2, 5, 9, 7)))
    with pytest.raises(errors.InputShapeError, match=r"seis1\.npy: shape: found \(2, 5, 9, 7\)"):
        open_models(tmp_path)


def test_other_files_hidden_files_and_special_files_are_left_out(tmp_path: Path) -> None:
    saved(tmp_path, "a.npy", ".hidden.npy", ".git/b.npy")
    (tmp_path / "README.txt").write_text("no model")
    (tmp_path / "samples.bin").write_bytes(bytes(140))  # its shape is unknown
    os.mkfifo(tmp_path / "pipe.npy")
    assert files(open_models(tmp_path)) == ["a.npy"]
    with pytest.raises(errors.InputFileError, match="neither a file nor a folder"):
        open_models(tmp_path / "pipe.npy")


def test_a_folder_of_raw_files_is_read_with_a_shape(tmp_path: Path) -> None:
    saved(tmp_path, "a.npy")
    for name in ("2.bin", "10.bin"):
        (tmp_path / name).write_bytes(asymmetric(2).tobytes())
    found = open_models(tmp_path, shape=(5, 7))
    assert (files(found), len(found)) == (["2.bin", "10.bin"], 4)


def test_a_folder_of_mixed_shapes_and_formats_gives_a_part_for_each(tmp_path: Path) -> None:
    np.save(tmp_path / "1.npy", asymmetric(2))
    np.save(tmp_path / "2.npy", asymmetric(3, 9, 4, "<f8"))
    written(tmp_path, "zarr", asymmetric(1))
    written(tmp_path, "segy", asymmetric(1))
    forms = [(p.file, p.form.count, p.form.nz, p.form.nx) for p in open_models(tmp_path).parts]
    assert forms == [
        ("1.npy", 2, 5, 7),
        ("2.npy", 3, 9, 4),
        ("models.sgy", 1, 5, 7),
        ("models.zarr", 1, 5, 7),
    ]


def test_a_format_chooses_among_the_files_of_a_folder(tmp_path: Path) -> None:
    saved(tmp_path, "a.npy")
    written(tmp_path, "npz", asymmetric(1))
    assert files(open_models(tmp_path, format="npz")) == ["models.npz"]


def test_files_of_a_pattern_are_named_from_its_first_wildcard_on(tmp_path: Path) -> None:
    saved(tmp_path, "A/model/model2.npy", "A/model/model10.npy", "B/model/model1.npy", "C/x.npy")
    found = open_models(tmp_path / "*" / "model" / "model*.npy")
    assert files(found) == ["A/model/model2.npy", "A/model/model10.npy", "B/model/model1.npy"]
    assert files(open_models(f"{tmp_path}/[AC]")) == [
        "A/model/model2.npy", "A/model/model10.npy", "C/x.npy",
    ]  # fmt: skip
    assert len(open_models(f"{tmp_path}/**")) == 4


def test_a_file_name_with_a_wildcard_is_a_file(tmp_path: Path) -> None:
    saved(tmp_path, "a[1].npy", "a1.npy")
    assert files(open_models(tmp_path / "a[1].npy")) == ["a[1].npy"]


def test_a_list_is_read_in_its_own_order(tmp_path: Path) -> None:
    saved(tmp_path, "a/1.npy", "b.npy")
    assert files(open_models([tmp_path / "b.npy", tmp_path / "a"])) == ["b.npy", "1.npy"]


def test_nothing_found_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(errors.InputFileError, match="found no file of models in the folder"):
        open_models(tmp_path)
    with pytest.raises(errors.InputFileError, match="found no file that matches"):
        open_models(tmp_path / "*.npy")
    with pytest.raises(errors.InputFileError, match="No such file"):
        open_models(tmp_path / "none.npy")


def test_a_file_without_a_known_suffix_is_recognised_by_its_first_bytes(tmp_path: Path) -> None:
    for format in ("npy", "npz", "hdf5"):
        path = written(tmp_path, format, asymmetric(1)).rename(tmp_path / format)
        assert np.array_equal(next(open_models(path).read(0, 1))[1], asymmetric(1))
    (tmp_path / "what").write_bytes(b"anything")
    with pytest.raises(errors.InputFileError, match="name it with --format, one of npy, npz"):
        open_models(tmp_path / "what")


def test_options_that_do_not_apply_to_a_format_are_refused(tmp_path: Path) -> None:
    saved(tmp_path, "a.npy")
    with pytest.raises(errors.OptionError, match="holds one without a name"):
        open_models(tmp_path / "a.npy", array="vp")
    with pytest.raises(errors.OptionError, match="shape and dtype are for raw files"):
        open_models(tmp_path / "a.npy", format="npy", shape=(5, 7))
    with pytest.raises(errors.OptionError, match="format: found 'tiff'"):
        open_models(tmp_path / "a.npy", format="tiff")
    for shape in ((), (5,), (0, 7), (1, 1, 1, 5, 7)):
        with pytest.raises(errors.OptionError, match="shape: found"):
            open_models(tmp_path / "a.npy", shape=shape)


@given(st.lists(st.text(max_size=8), max_size=8))
def test_any_names_can_be_sorted(names: list[str]) -> None:
    backwards = names[::-1]
    assert sorted(names, key=natural) == sorted(backwards, key=natural)


def test_linked_folders_and_files_are_read_in_place(tmp_path: Path) -> None:
    saved(tmp_path, "in/a1.npy", "far/model2.npy", "far/deep/model1.npy", "far/one.npy")
    (tmp_path / "in" / "b").symlink_to("../far", target_is_directory=True)
    (tmp_path / "in" / "c.npy").symlink_to(tmp_path / "far" / "one.npy")
    found = ["a1.npy", "b/deep/model1.npy", "b/model2.npy", "b/one.npy", "c.npy"]
    assert files(open_models(tmp_path / "in")) == found
    assert files(open_models(f"{tmp_path}/i*")) == [f"in/{name}" for name in found]
    assert sorted(files(open_models(f"{tmp_path}/in/**/*.npy"))) == sorted(found)
    (tmp_path / "whole").symlink_to("in", target_is_directory=True)
    assert files(open_models(tmp_path / "whole")) == found


def test_loops_of_links_are_not_followed(tmp_path: Path) -> None:
    saved(tmp_path, "a.npy", "sub/b.npy")
    (tmp_path / "sub" / "up").symlink_to("..", target_is_directory=True)
    (tmp_path / "self").symlink_to(".", target_is_directory=True)
    assert files(open_models(tmp_path)) == ["a.npy", "sub/b.npy"]
    assert files(open_models(f"{tmp_path}/**/*.npy")) == ["a.npy", "sub/b.npy"]


@pytest.mark.parametrize("name", ["gone.npy", "folder", "sub/gone.h5", "circle"])
def test_a_dangling_link_is_refused_by_name(tmp_path: Path, name: str) -> None:
    saved(tmp_path, "in/a.npy", "in/sub/b.npy")
    (tmp_path / "in" / name).symlink_to("circle" if name == "circle" else "absent")
    for where in (tmp_path / "in", f"{tmp_path}/i*", f"{tmp_path}/**/*"):
        with pytest.raises(errors.InputFileError, match=rf"{name}: is a link to \w+, which is not"):
            open_models(where)


def test_a_hidden_dangling_link_is_skipped(tmp_path: Path) -> None:
    saved(tmp_path, "a.npy")
    (tmp_path / ".lock").symlink_to("host:1234")
    assert files(open_models(tmp_path)) == ["a.npy"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_folder_is_refused(tmp_path: Path) -> None:
    saved(tmp_path, "a.npy", "sub/b.npy")
    (tmp_path / "sub").chmod(0)
    try:
        with pytest.raises(errors.InputFileError, match="Permission denied"):
            open_models(tmp_path)
    finally:
        (tmp_path / "sub").chmod(0o700)
