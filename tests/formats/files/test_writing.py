"""Writing models: atomic, to one file or a folder, and never outside that folder."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from round_trips import all_of, asymmetric, form_for

from velcodec.formats import errors
from velcodec.formats.files import (
    FORMATS,
    Form,
    open_folder_sink,
    open_models,
    open_sink,
    split_files,
)


def test_openfwi_s_own_layout_is_500_models_a_file(tmp_path: Path) -> None:
    models = asymmetric(1100, 5, 7, "<i4")
    files = split_files(form_for(models, "n1zx"))
    with open_folder_sink(tmp_path / "model", files) as sink:
        for start in range(0, 1100, 300):
            sink.add(models[start : start + 300])
    arrays = {p.name: np.load(p) for p in (tmp_path / "model").iterdir()}
    assert {name: array.shape for name, array in arrays.items()} == {
        "model1.npy": (500, 1, 5, 7),
        "model2.npy": (500, 1, 5, 7),
        "model3.npy": (100, 1, 5, 7),
    }
    assert np.array_equal(arrays["model3.npy"][:, 0], models[1000:])
    assert np.array_equal(all_of(open_models(tmp_path / "model")), models)


def test_the_files_of_a_folder_are_restored_as_they_were(tmp_path: Path) -> None:
    shapes = {"a/vel2_1_0.npy": (2, 1, 5, 7), "a/vel2_1_1.npy": (3, 5, 7), "b.npy": (9, 4)}
    for number, (name, shape) in enumerate(shapes.items()):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        array = np.arange(np.prod(shape), dtype="<f8").reshape(shape) + 1000 * number
        np.save(tmp_path / "in" / name, array)
    found = open_models(tmp_path / "in")
    files = [(part.file, part.form) for part in found.parts]
    with open_folder_sink(tmp_path / "out", files) as sink:
        for _, array in found.read(0, len(found)):
            sink.add(array)
    for name in shapes:
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "in" / name).read_bytes()


@pytest.mark.parametrize("format", FORMATS)
def test_a_folder_may_be_of_any_format(tmp_path: Path, format: str) -> None:
    models = asymmetric(3)
    suffix = FORMATS[format].suffixes[0]
    keys = ("a", "b", "c")
    files = split_files(form_for(models, keys=keys), per_file=1, name=f"{{}}{suffix}", first=8)
    assert [(file, form.keys) for file, form in files][1] == (f"9{suffix}", ("b",))
    with open_folder_sink(tmp_path / "out", files) as sink:
        sink.add(models)
    found = open_models(tmp_path / "out", shape=(5, 7) if format == "raw" else None)
    assert [part.file for part in found.parts] == [f"{number}{suffix}" for number in (8, 9, 10)]
    assert np.array_equal(all_of(found), models)


@pytest.mark.parametrize("added", [0, 1, 2, 3, 5])
def test_too_few_and_too_many_models_leave_no_folder(tmp_path: Path, added: int) -> None:
    files = split_files(form_for(asymmetric(4)), per_file=2)
    with (
        pytest.raises(errors.InputShapeError),
        open_folder_sink(tmp_path / "out", files) as sink,
    ):
        sink.add(asymmetric(added or 1)[:added])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "file", ["../a.npy", "/tmp/a.npy", "b/../../a.npy", "", "a\\..\\b.npy", "a\0.npy"]
)
def test_no_file_leaves_the_folder(tmp_path: Path, file: str) -> None:
    form = form_for(asymmetric(1))
    with (
        pytest.raises(errors.OutputPathError, match="expected a path within the folder"),
        open_folder_sink(tmp_path / "out", [(file, form)]),
    ):
        pass
    assert list(tmp_path.iterdir()) == []


def test_two_files_of_one_name_are_refused(tmp_path: Path) -> None:
    form = form_for(asymmetric(1))
    files = [("a.npy", form), ("./a.npy", form)]
    with (
        pytest.raises(errors.OutputPathError, match="a name twice"),
        open_folder_sink(tmp_path / "out", files),
    ):
        pass


def test_a_folder_that_is_not_empty_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "keep").write_bytes(b"")
    files = split_files(form_for(asymmetric(1)))
    with pytest.raises(errors.OutputExistsError), open_folder_sink(tmp_path, files):
        pass
    assert [p.name for p in tmp_path.iterdir()] == ["keep"]


def test_force_replaces_a_file(tmp_path: Path) -> None:
    path = tmp_path / "out.npy"
    path.write_bytes(b"old")
    with open_sink(path, form_for(asymmetric(1)), force=True) as sink:
        assert path.read_bytes() == b"old"
        sink.add(asymmetric(1))
    assert np.array_equal(np.load(path), asymmetric(1))


def test_models_of_another_size_kind_or_number_are_refused(tmp_path: Path) -> None:
    form = Form(2, 5, 7, dtype="<i2")
    with pytest.raises(RuntimeError), open_sink(tmp_path / "out.npy", form) as sink:  # noqa: PT012
        with pytest.raises(errors.InputShapeError, match=r"found \(1, 7, 5\), expected \(k, 5, 7"):
            sink.add(np.zeros((1, 7, 5), "<i2"))
        with pytest.raises(errors.InputShapeError, match="found 3, expected 2"):
            sink.add(np.zeros((3, 5, 7), "<i2"))
        with pytest.raises(errors.InputDtypeError, match="found float32, expected <i2"):
            sink.add(np.zeros((1, 5, 7), "<f4"))
        raise RuntimeError


def test_unknown_suffixes_and_odd_array_names_are_refused(tmp_path: Path) -> None:
    form = form_for(asymmetric(1))
    with pytest.raises(errors.OptionError, match="tells no format"), open_sink("out", form):
        pass
    for array in ("", "a/b", "../a", "a.npy", "x", "keys", "model", "dx"):
        with (
            pytest.raises(errors.OptionError, match="array: found"),
            open_sink(tmp_path / "a.npz", form, array=array),
        ):
            pass
    with pytest.raises(errors.OptionError, match="files: found"):
        split_files(form, name="model.npy")


def test_the_name_of_the_array_is_chosen(tmp_path: Path) -> None:
    for format in ("npz", "hdf5", "netcdf", "zarr"):
        path = tmp_path / f"out{FORMATS[format].suffixes[0]}"
        with open_sink(path, form_for(asymmetric(1)), array="vp") as sink:
            sink.add(asymmetric(1))
        assert open_models(path).parts[0].array == "vp"


FULL_DISK = """
import resource, sys
from pathlib import Path
import numpy as np
from velcodec.formats.files import Form, open_sink
target, limits = Path(sys.argv[1]), map(int, sys.argv[2:])
models = np.random.default_rng(0).random((8, 40, 50)).astype("f4")
for limit in limits:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    try:
        with open_sink(target, Form(8, 40, 50, keys=tuple("abcdefgh"))) as sink:
            for model in models:
                sink.add(model[None])
        print("written")
    except OSError as error:
        print(error.strerror, error.filename == str(target))
    assert sorted(p.name for p in target.parent.iterdir()) == [], list(target.parent.iterdir())
"""


@pytest.mark.parametrize("suffix", ["npy", "npz", "nc", "h5", "rsf", "zarr"])
def test_a_full_disk_is_one_error_that_names_the_file_whatever_library_writes(
    tmp_path: Path, suffix: str
) -> None:
    limits = ["0", "50", "3000", "30000"] + ["63000"] * (suffix != "zarr")
    command = [sys.executable, "-c", FULL_DISK, str(tmp_path / f"x.{suffix}"), *limits]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.splitlines() == ["File too large True"] * len(limits)
