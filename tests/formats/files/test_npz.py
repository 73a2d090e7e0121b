"""`.npz` archives: every array or one, read in place or inflated, never unpickled."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from round_trips import all_of, asymmetric

from velcodec.formats import errors
from velcodec.formats.files import open_models
from velcodec.formats.files.npz import Inflater, NpzPart


def test_every_array_of_models_is_read_and_others_are_not(tmp_path: Path) -> None:
    np.savez(tmp_path / "in.npz", b=asymmetric(2), a=asymmetric(3, 4, 9), depth=np.arange(5.0))
    found = open_models(tmp_path / "in.npz")
    assert [p.name for p in found.parts] == ["in.npz:b", "in.npz:a"]
    assert len(found) == 5


def test_one_array_is_read_by_its_name(tmp_path: Path) -> None:
    np.savez(tmp_path / "in.npz", vs=asymmetric(2), vp=asymmetric(3) + 1)
    assert np.array_equal(all_of(open_models(tmp_path / "in.npz", array="vp")), asymmetric(3) + 1)
    with pytest.raises(errors.InputFileError) as caught:
        open_models(tmp_path / "in.npz", array="rho")
    assert "no array 'rho'; found vs (2x5x7 float32), vp (3x5x7 float32)" in str(caught.value)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("order", ["C", "F"])
def test_models_are_read_in_any_sequence(tmp_path: Path, save: Any, order: Any) -> None:
    models = asymmetric(9)
    save(tmp_path / "in.npz", models=np.asarray(models, order=order))
    (part,) = open_models(tmp_path / "in.npz").parts
    for start, stop in ((0, 2), (2, 5), (7, 9), (1, 2), (0, 9), (8, 9)):
        assert np.array_equal(part.read(start, stop), models[start:stop])


def test_a_compressed_array_is_inflated_once_when_read_in_sequence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    np.savez_compressed(tmp_path / "in.npz", models=asymmetric(9))
    (part,) = open_models(tmp_path / "in.npz").parts
    assert isinstance(part, NpzPart)
    opened: list[str] = []
    plain = zipfile.ZipFile.open

    def spy(self: zipfile.ZipFile, name: Any, *more: Any, **options: Any) -> Any:
        opened.append(name)
        return plain(self, name, *more, **options)

    monkeypatch.setattr(zipfile.ZipFile, "open", spy)
    for start in range(0, 9, 3):
        part.read(start, start + 3)
    assert opened == ["models.npy"]
    assert part._inflater._stream is None  # closed at its end


def test_an_uncompressed_array_is_mapped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.savez(tmp_path / "in.npz", models=asymmetric(9))
    (part,) = open_models(tmp_path / "in.npz").parts
    monkeypatch.setattr(Inflater, "read", None)
    assert np.array_equal(part.read(5, 7), asymmetric(9)[5:7])


def test_objects_are_left_alone_and_not_unpickled(tmp_path: Path) -> None:
    np.savez(tmp_path / "in.npz", a=np.array([[None]]), keys=np.array([None]), b=asymmetric(1))
    (part,) = open_models(tmp_path / "in.npz").parts
    assert (part.array, part.form.keys) == ("b", None)
    with pytest.raises(errors.InputFileError, match="no array 'a'"):
        open_models(tmp_path / "in.npz", array="a")


def test_an_array_that_claims_more_than_the_file_has_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", asymmetric(4))
    data = (tmp_path / "a.npy").read_bytes()
    for bad in (data[:-4], data.replace(b"(4, 5, 7)", b"(9, 5, 7)")):
        with zipfile.ZipFile(tmp_path / "in.npz", "w") as archive:
            archive.writestr("a.npy", bad)
        with pytest.raises(errors.InputFileError, match="expected those of shape"):
            open_models(tmp_path / "in.npz")


def test_there_is_one_key_per_model(tmp_path: Path) -> None:
    np.savez(tmp_path / "in.npz", vp=asymmetric(2), keys=np.array(["a", "b", "c"]))
    with pytest.raises(errors.InputFileError, match="keys: found 3 for 2 models"):
        open_models(tmp_path / "in.npz")
