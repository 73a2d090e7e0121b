"""Every format keeps the facts it is said to keep; what a file has no place for is told."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from checkers import layered
from volumes import folded_volume

import velcodec
from velcodec.decoder import Decoder
from velcodec.encode.description import Description
from velcodec.files.decompress import decompress_file, decompress_folder, decompress_stream
from velcodec.formats.errors import InputFileError, NoDataError
from velcodec.formats.facts import Facts
from velcodec.formats.files import FORMATS, Form, Ground, open_models
from velcodec.formats.files.table import (
    DIRECTION,
    GROUND,
    KEPT,
    KEYS,
    NO_DATA,
    ORDER,
    UNITS,
)

FACTS = Facts(
    title='Layers "A" of the étude', creator="A. Maker", citation="Maker (2024)",
    doi="10.5281/zenodo.1", licence="CC-BY-4.0", provenance="drawn for a test", crs="EPSG:32631",
    vertical="elevation", datum="mean sea level",
)  # fmt: skip
ABSENT = 30_000.0
PLACE = Description(dx=20.0, dz=4.0, origin=(500_000.0, 40.0), mask=ABSENT)
TOLD = Form(
    1, 9, 14, "xz", "<f4", "km/s", Ground(20.0, 4.0, 500_000.0, 40.0), ("one",), z_up=True,
    facts=FACTS,
)  # fmt: skip


@pytest.fixture(autouse=True)
def decoder(tiny: Decoder) -> Decoder:
    return tiny


def told_archive(folder: Path) -> velcodec.Archive:
    """An archive of one model that states everything that a file may say."""
    model = layered(1, 9, 14)[0].T / 1000
    model[:, :2] = ABSENT
    np.save(folder / "in.npy", model.astype("<f4"))
    models = open_models(
        folder / "in.npy", z_positive="up", order="xz", units="km/s", no_data=ABSENT
    )
    velcodec.compress_files(
        models, folder / "a.vlat", lossless=True, description=PLACE, keys=["one"],
        fields={"family": "layered"}, facts=FACTS.stated(),
    )  # fmt: skip
    return velcodec.open(folder / "a.vlat")


def path_for(format: str, folder: Path, name: str = "out") -> Path:
    return folder / f"{name}{FORMATS[format].suffixes[0]}"


def differing(told: Form, found: Form) -> set[str]:
    """The names in `KEPT` of what two forms do not say alike."""
    pairs = {
        GROUND: (told.ground, found.ground),
        UNITS: (told.units, found.units),
        KEYS: (told.keys, found.keys),
        ORDER: (told.order, found.order),
        DIRECTION: (told.z_up, found.z_up),
        **{name: (text, getattr(found.facts, name)) for name, text in vars(told.facts).items()},
    }
    return {name for name, (one, other) in pairs.items() if one != other}


@pytest.mark.parametrize("format", FORMATS)
def test_a_file_keeps_the_facts_of_its_format_and_the_others_are_told(
    format: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path, keeps = path_for(format, tmp_path), FORMATS[format].keeps
    archive = told_archive(tmp_path)
    caplog.clear()
    decompress_file(archive, path)
    hints: dict[str, Any] = {"shape": (14, 9), "dtype": "<f4"} if format == "raw" else {}
    if format == "npz":  # which row is the first is told by the order
        hints = {"order": "xz"}
    (part,) = open_models(path, **hints).parts
    lost = differing(TOLD, part.form) | ({ORDER} if format == "npz" else set())
    if format == "segy":  # the samples of a trace go down by the standard, whatever the model's did
        lost -= {DIRECTION}
    if NO_DATA in keeps:
        with pytest.raises(NoDataError, match=r"marked as absent.*--mask=30000"):
            part.read(0, 1)
    else:
        lost.add(NO_DATA)
    assert lost == KEPT - keeps
    (said,) = caplog.messages
    assert f"{path}: {format} files have no place for: " in said
    told = said.partition("no place for: ")[2]
    assert {name for name in KEPT if name in told} == lost
    assert "field 'family'; only the archive tells" in said


@pytest.mark.parametrize("format", FORMATS)
def test_nothing_is_told_of_archives_that_state_nothing(
    format: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fine = velcodec.Decompression(res=(18, 28))
    with velcodec.open(velcodec.compress(layered(1, 9, 14)[0], lossless=True)) as archive:
        decompress_file(archive, path_for(format, tmp_path))
        decompress_file(archive, path_for(format, tmp_path, "fine"), fine)
    assert caplog.messages == []


def test_a_volume_in_a_bare_file_is_told_as_such(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    volume = folded_volume(6, 7, 8)
    with velcodec.open(velcodec.compress(volume, volume=True, lossless=True)) as archive:
        for format in FORMATS.keys() - {"npy", "raw"}:
            decompress_file(archive, path_for(format, tmp_path))
        assert caplog.messages == []
        decompress_file(archive, tmp_path / "out.npy")
    assert "npy files have no place for: order of axes (zyx); only" in caplog.text


@pytest.mark.parametrize(
    ("place", "exact"),
    [
        ({"dx": 25.0, "dz": 12.5, "origin": (431_250.5, 40.0)}, True),
        ({"dx": 25.0, "dz": 100.0}, False),
        ({"dx": 25.0, "dz": 1 / 3}, False),
        ({"dx": 1 / 3, "dz": 10.0}, False),
        ({"dx": 25.0, "dz": 10.0, "origin": (0.0, 40_000.0)}, False),
    ],
)
def test_a_spacing_that_seg_y_has_no_number_for_is_told(
    place: dict[str, Any], exact: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = velcodec.compress(layered(1, 9, 14)[0], lossless=True, **place)
    with velcodec.open(data) as archive:
        decompress_file(archive, tmp_path / "out.sgy")
    assert (GROUND not in caplog.text) is exact


def test_arrays_of_one_npz_file_keep_what_holds_for_all_of_them(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model, path = layered(2, 9, 14), tmp_path / "in.npz"
    np.savez(path, vp=model, vs=model / 2, dx=25.0, dz=5.0, title="Both", units="m/s")
    velcodec.compress_files(path, tmp_path / "a.vlat", lossless=True)
    with velcodec.open(tmp_path / "a.vlat") as archive:
        decompress_folder(archive, tmp_path / "back")
    assert caplog.messages == []
    parts = open_models(tmp_path / "back" / "in.npz").parts
    assert [part.array for part in parts] == ["vp", "vs"]
    assert all(part.form.ground.dx_m == 25.0 for part in parts)
    assert all(part.form.facts.title == "Both" for part in parts)


def test_facts_of_which_one_file_can_say_only_one_are_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(2):
        told = {"title": "Layers", "doi": f"10.1234/{number}"}
        np.savez(tmp_path / f"{number}.npz", vp=layered(1, 9, 14), **told)
    velcodec.compress_files(
        [tmp_path / "0.npz", tmp_path / "1.npz"], tmp_path / "a.vlat", lossless=True
    )
    with velcodec.open(tmp_path / "a.vlat") as archive:
        decompress_folder(archive, tmp_path / "back")
        assert caplog.messages == []
        decompress_file(archive, tmp_path / "both.nc")
    assert "netcdf files have no place for: doi (several); only the archive" in caplog.text


def test_a_text_beside_npz_models_that_is_no_fact_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "in.npz"
    np.savez(path, vp=layered(2, 9, 14), doi="somewhere", title=5)
    with pytest.raises(InputFileError, match=r"in\.npz: doi: found 'somewhere'.*--doi"):
        open_models(path)
    (part,) = open_models(path, facts=Facts(doi="10.1234/x")).parts
    assert part.form.facts == Facts(doi="10.1234/x")


def test_a_pipe_tells_what_it_loses_too(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    with told_archive(tmp_path) as archive, (tmp_path / "out.npy").open("wb") as out:
        decompress_stream(archive, out)
    assert "npy files have no place for: spacing and origin, units (km/s)" in caplog.text
