"""A file that another process cuts off while it is read makes an error, not the end of the process.

Each reading is done in a process of its own, since a bus error cannot be caught.
"""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from checkers import layered

from velcodec.formats.errors import InputFileError
from velcodec.formats.files import open_models
from velcodec.formats.files.npy import load_mapped, read_models
from velcodec.formats.storage import pieces
from velcodec.formats.storage.pieces import mapped_rows, private_bytes, read_rows

MODELS = 40


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("shape", [(5, 7), (9, 5, 7), (9, 1, 5, 7)])
@pytest.mark.parametrize("step", [1, 1 << 16])
def test_rows_are_read_as_a_mapping_would_give_them(
    tmp_path: Path, order: str, shape: tuple[int, ...], step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pieces, "LONG_STEP_BYTES", step)
    monkeypatch.setattr(pieces, "PIECE_BYTES", 100)
    array = np.arange(np.prod(shape), dtype=">i4").reshape(shape)
    path = tmp_path / "a.npy"
    np.save(path, np.asarray(array, order=order))  # type: ignore[call-overload]
    mapped = load_mapped(path)
    for rows in [None, (0, shape[0]), (2, 5), (4, 5)]:
        found = mapped_rows(mapped, path, rows)
        expected = array if rows is None else array[slice(*rows)]
        assert found.dtype == array.dtype
        assert np.array_equal(found, expected)
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(InputFileError, match=r"a\.npy: ends before its samples do, or has changed"):
        read_rows(path, mapped.offset, shape, array.dtype, fortran=order == "F")  # type: ignore[attr-defined]


@pytest.mark.parametrize("limit", [0, 1 << 30])
def test_a_private_copy_stays_as_it_was(
    tmp_path: Path, limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pieces, "IN_MEMORY", limit)
    path = tmp_path / "a"
    path.write_bytes(bytes(range(256)) * 100)
    data = private_bytes(path)
    path.write_bytes(b"")
    assert data[:] == bytes(range(256)) * 100


def test_models_of_an_array_in_memory_outlive_the_file(tmp_path: Path) -> None:
    models = layered(3, 9, 14)
    np.save(tmp_path / "a.npy", models)
    read = read_models(tmp_path / "a.npy")
    (tmp_path / "a.npy").write_bytes(b"")
    assert np.array_equal(read.models, models)


def saved(path: Path, models: np.ndarray) -> Path:
    """Models in a file of the format that its name tells, or an archive."""
    if path.name == "f.npy":
        np.save(path, np.asfortranarray(models))
    elif path.suffix == ".npy":
        np.save(path, models)
    elif path.suffix == ".npz":
        np.savez(path, vp=models)
    elif path.suffix == ".bin":
        models.tofile(path)
    elif path.suffix == ".nc":
        xarray = pytest.importorskip("xarray")
        data = xarray.Dataset({"vp": (("model", "z", "x"), models)})
        data.to_netcdf(path, engine="scipy")
    else:
        h5py = pytest.importorskip("h5py")
        with h5py.File(path, "w") as file:
            file["vp"] = models
    return path


@pytest.mark.parametrize("name", ["a.npy", "f.npy", "a.npz", "a.bin", "a.nc", "a.h5"])
def test_an_input_that_is_cut_off_while_it_is_read_is_an_error_that_names_it(
    tmp_path: Path, name: str
) -> None:
    path = saved(tmp_path / name, layered(MODELS, 70, 70))
    hints = {"shape": (70, 70)} if name == "a.bin" else {}
    code = f"""
        import os
        from velcodec.formats import errors, files, npy
        from velcodec.formats.files import npy_file

        path = {str(path)!r}
        models = files.open_models(path, **{hints!r})
        (part,) = models.parts
        list(models.read(0, 2))

        def cut(mapped):  # between the look at the header and the reading
            os.truncate(path, 6000)
            return mapped

        whole = npy.load_mapped
        npy_file.load_mapped = lambda path: cut(whole(path))
        if not path.endswith(".npy"):
            cut(None)
        try:
            list(models.read(30, 40))
        except errors.InputFileError as error:
            print(error)
    """
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True
    )
    assert run.returncode == 0, (run.returncode, run.stderr)
    assert run.stdout.startswith(f"{path}")


def test_a_damaged_archive_that_is_cut_off_while_it_is_repaired_is_no_crash(
    tmp_path: Path,
) -> None:
    code = f"""
        import os
        from pathlib import Path
        import numpy as np
        import velcodec
        from velcodec import mending
        from velcodec.formats import errors

        path = Path({str(tmp_path)!r}) / "a.vlat"
        models = (1500 + 500 * np.random.default_rng(0).random((40, 30, 30))).astype("f4")
        path.write_bytes(velcodec.compress(models, lossless=True))
        whole = mending.salvage

        def salvage(data, name, **options):
            found = whole(data, name, **options)
            os.truncate(path, 5000)
            return found

        mending.salvage = salvage
        try:
            mending.repair(path, path.with_name("b.vlat"))
        except errors.InputFileError as error:
            print(error)
    """
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True
    )
    assert run.returncode == 0, (run.returncode, run.stderr)
    assert "a.vlat: record" in run.stdout
    assert "changed while it was read" in run.stdout
    assert not (tmp_path / "b.vlat").exists()


def test_open_models_reads_what_was_cut_off_before_as_an_error(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.npz", layered(MODELS, 70, 70))
    (part,) = open_models(path).parts
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(InputFileError, match=r"a\.npz: ends before its samples do"):
        part.read(MODELS - 1, MODELS)
