"""What files state of their models as a whole comes into archives, and out of them again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import xarray
import zarr
from checkers import layered

import velcodec
from velcodec.archive.facts import facts_of
from velcodec.decoder import Decoder
from velcodec.encode.describe import Description
from velcodec.files.decompress import decompress_file
from velcodec.formats import crs
from velcodec.formats.errors import InputFileError, MissingExtraError, MixedShapesError, OptionError
from velcodec.formats.facts import Facts
from velcodec.formats.files import Ground, open_models

TOLD = {
    "title": "Layers, drawn", "creator": "A. Maker, Institute of Layers", "doi": "10.5281/zenodo.1",
    "citation": "Maker (2024), Layers", "licence": "CC-BY-4.0", "provenance": "drawn for a test",
    "crs": "EPSG:32631", "datum": "mean sea level",
}  # fmt: skip
SUFFIXES = ("nc", "zarr", "h5")


@pytest.fixture(autouse=True)
def decoder(tiny: Decoder) -> Decoder:
    return tiny


def archive_of(source: Any, path: Path, **more: Any) -> velcodec.Archive:
    velcodec.compress_files(source, path, lossless=True, decoder="tiny", force=True, **more)
    return velcodec.open(path)


def drawn(tmp_path: Path, **facts: str) -> velcodec.Archive:
    np.save(tmp_path / "in.npy", layered(3, 9, 14))
    place = Description(dx=20.0, dz=4.0, origin=(500_000.0, 40.0))
    return archive_of(tmp_path / "in.npy", tmp_path / "a.vlat", description=place, facts=facts)


@pytest.mark.parametrize("vertical", ["", "elevation", "time"])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_exporting_and_compressing_again_keeps_every_fact(
    suffix: str, vertical: str, tmp_path: Path
) -> None:
    given = TOLD | ({"vertical": vertical} if vertical else {})
    archive = drawn(tmp_path, **given)
    assert archive.header.facts == Facts(**given)
    decompress_file(archive, tmp_path / f"m.{suffix}")
    again = archive_of(tmp_path / f"m.{suffix}", tmp_path / "b.vlat")
    assert again.header.facts == archive.header.facts
    assert again.layout(0) == archive.layout(0)
    assert np.array_equal(again.decode(range(3)), archive.decode(range(3)))
    decompress_file(again, tmp_path / f"n.{suffix}")
    assert facts_of(archive_of(tmp_path / f"n.{suffix}", tmp_path / "c.vlat").reader) == Facts(
        **given
    )


@pytest.mark.parametrize("suffix", ["nc", "zarr"])
def test_an_xarray_data_set_carries_the_facts_both_ways(suffix: str, tmp_path: Path) -> None:
    archive = drawn(tmp_path, **TOLD, vertical="elevation")
    with xarray.open_dataset(tmp_path / "a.vlat", engine="velcodec") as data:
        assert data.attrs["license"] == "CC-BY-4.0"
        assert data.velocity.attrs["grid_mapping"] == "spatial_ref"
        assert data.spatial_ref.attrs["epsg_code"] == "EPSG:32631"
        assert data.z.attrs["long_name"] == "depth below mean sea level"
        assert data.x.attrs["standard_name"] == "projection_x_coordinate"
        if suffix == "nc":
            data.to_netcdf(tmp_path / "m.nc", engine="h5netcdf")
        else:
            data.to_zarr(tmp_path / "m.zarr", consolidated=False)
        own = velcodec.compress(data.velocity.load(), lossless=True, decoder="tiny")
    assert facts_of(archive_of(tmp_path / f"m.{suffix}", tmp_path / "b.vlat").reader) == facts_of(
        archive.reader
    )
    with velcodec.open(own) as of_array:  # an array has no attributes of its data set
        assert of_array.header.facts == Facts(crs="EPSG:32631", vertical="elevation")


def test_netcdf_files_follow_cf(tmp_path: Path) -> None:
    decompress_file(drawn(tmp_path, crs="EPSG:32631"), tmp_path / "m.nc")
    with xarray.open_dataset(tmp_path / "m.nc", engine="h5netcdf") as data:
        assert data.attrs["Conventions"].startswith("CF-1")
        z = {"units": "m", "axis": "Z", "positive": "down", "standard_name": "depth"}
        assert z.items() <= data.z.attrs.items()
        assert data.x.attrs["standard_name"] == "projection_x_coordinate"
        assert data.velocity.attrs["grid_mapping"] in data.variables
    decompress_file(drawn(tmp_path, vertical="elevation"), tmp_path / "e.nc")
    with xarray.open_dataset(tmp_path / "e.nc", engine="h5netcdf") as data:
        z = {"units": "m", "positive": "up", "standard_name": "altitude", "long_name": "elevation"}
        assert z.items() <= data.z.attrs.items()
        assert data.z.values[:2].tolist() == [-40.0, -44.0]
        assert "standard_name" not in data.x.attrs
    decompress_file(drawn(tmp_path, vertical="time", datum="the surface"), tmp_path / "t.nc")
    with xarray.open_dataset(tmp_path / "t.nc", engine="h5netcdf", decode_times=False) as data:
        assert data.z.attrs["units"] == "ms"
        assert data.z.attrs["long_name"] == "time"
        assert "standard_name" not in data.z.attrs


EMC = {
    "title": "A model of layers", "reference": "Maker and others (2010)",
    "reference_pid": "doi:10.1029/2010JB1", "author_name": "A. Maker",
    "author_institution": "Institute of Layers", "repository_name": "EMC",
    "repository_pid": "doi:10.17611/DP/999", "id": "LAYERS10", "Conventions": "CF-1.0",
}  # fmt: skip


def emc(path: Path, **more: Any) -> Path:
    coords = {
        "depth": ("depth", np.arange(5.0), {"units": "km", "positive": "down"}),
        "x": ("x", np.arange(7.0), {"units": "km"}),
    }
    about = {"units": "km/s", "source": "data-derived"}
    data = {"vp": (("depth", "x"), layered(1, 5, 7)[0] / 1000, about)}
    attributes = {key: value for key, value in (EMC | more).items() if value is not None}
    xarray.Dataset(data, coords, attributes).to_netcdf(path, engine="h5netcdf")
    return path


def test_metadata_of_earthscope_models_are_kept(tmp_path: Path) -> None:
    assert open_models(emc(tmp_path / "in.nc")).parts[0].form.facts == Facts(
        title="A model of layers", citation="Maker and others (2010)", doi="10.17611/DP/999",
        creator="A. Maker, Institute of Layers",
    )  # fmt: skip
    (part,) = open_models(emc(tmp_path / "paper.nc", repository_pid=None)).parts
    assert part.form.facts.doi == "10.1029/2010JB1"


def test_what_the_caller_states_goes_before_what_the_file_says(tmp_path: Path) -> None:
    source = emc(tmp_path / "in.nc", doi="none yet", license="CC0")
    stated = {"title": "Mine", "doi": "10.1234/x"}
    archive = archive_of(source, tmp_path / "a.vlat", facts=stated)
    facts = archive.header.facts
    assert (facts.title, facts.doi, facts.licence) == ("Mine", "10.1234/x", "CC0-1.0")
    assert facts.citation == EMC["reference"]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_fact_that_is_none_is_refused_by_name_with_the_option_that_states_it(
    suffix: str, tmp_path: Path
) -> None:
    path = tmp_path / f"in.{suffix}"
    decompress_file(drawn(tmp_path), path)
    for name, text in (("doi", "none yet"), ("crs", "somewhere"), ("vertical_domain", "pressure")):
        if suffix == "zarr":
            zarr.open_group(path).attrs[name] = text
        else:
            with h5py.File(path, "a") as out:
                out.attrs[name] = text
        fact = name.removesuffix("_domain")
        with pytest.raises(InputFileError, match=f"{fact}: found .*--{fact}") as caught:
            open_models(path)
        assert path.name in str(caught.value)
        if suffix == "zarr":
            del zarr.open_group(path).attrs[name]
        else:
            with h5py.File(path, "a") as out:
                del out.attrs[name]
    open_models(path)


def mapped(path: Path, **attributes: Any) -> Path:
    about = {"grid_mapping": "projection: x"}
    data = {
        "vp": (("z", "x"), layered(1, 5, 7)[0], about), "projection": ((), 0, attributes),
    }  # fmt: skip
    xarray.Dataset(data).to_netcdf(path, engine="h5netcdf")
    return path


@pytest.mark.parametrize(
    "attributes",
    [
        {"epsg_code": "EPSG:2154"},
        {"epsg_code": 2154},
        {"crs_wkt": 'PROJCS["a",X[1],ID["EPSG",2154]]'},
        {"spatial_ref": 'PROJCS["a",GEOGCS["b",X[1]],AUTHORITY["EPSG","2154"]]'},
    ],
)
def test_a_grid_mapping_gives_the_reference_system(
    attributes: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crs, "pyproj_is_there", lambda: False)
    (part,) = open_models(mapped(tmp_path / "in.nc", **attributes)).parts
    assert part.form.facts.crs == "EPSG:2154"


def test_a_grid_mapping_of_parameters_alone_needs_pyproj_or_the_option(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = mapped(tmp_path / "in.nc", grid_mapping_name="transverse_mercator")
    monkeypatch.setitem(__import__("sys").modules, "pyproj", None)
    monkeypatch.setattr(crs, "pyproj_is_there", lambda: False)
    with pytest.raises(MissingExtraError, match=r"velcodec\[crs\]"):
        open_models(path)
    stated = Facts(crs="EPSG:32631")
    assert open_models(path, facts=stated).parts[0].form.facts == stated


def test_degrees_are_not_the_reference_system_of_metres_that_the_caller_states(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for number, said in enumerate(
        ({"crs_wkt": 'GEOGCS["WGS 84"]'}, {"grid_mapping_name": "latitude_longitude"})
    ):
        path = mapped(tmp_path / f"{number}.nc", **said)
        ground = Ground(10.0, 10.0, 0.0, 0.0)
        assert open_models(path, ground=ground).parts[0].form.facts.crs == ""
        (message,) = caplog.messages
        (named,) = said.values()
        assert message.startswith(f"{path}:vp: crs: found {named}, which is in degrees, and is not")
        assert "in metres; state their reference system with --crs" in message
        caplog.clear()


@pytest.mark.parametrize(("name", "way"), [("elevation", "elevation"), ("depth", ""), ("z", "")])
def test_the_name_of_an_axis_says_that_it_is_an_elevation(
    name: str, way: str, tmp_path: Path
) -> None:
    coords = {name: (name, 100.0 + 10 * np.arange(5)), "x": ("x", 10.0 * np.arange(7))}
    data = xarray.Dataset({"vp": ((name, "x"), layered(1, 5, 7)[0])}, coords)
    data.to_netcdf(tmp_path / "in.nc", engine="h5netcdf")
    assert open_models(tmp_path / "in.nc").parts[0].form.facts.vertical == way


@pytest.mark.parametrize(("unit", "step"), [("s", 0.004), ("ms", 4.0), ("us", 4000.0)])
def test_time_is_read_in_milliseconds_where_it_is_stated(
    unit: str, step: float, tmp_path: Path
) -> None:
    coords = {
        "twt": ("twt", step * (1 + np.arange(5)), {"units": unit}), "x": ("x", 10.0 * np.arange(7)),
    }  # fmt: skip
    data = xarray.Dataset({"vp": (("x", "twt"), layered(1, 5, 7)[0].T)}, coords)
    data.to_netcdf(tmp_path / "in.nc", engine="h5netcdf")
    with pytest.raises(InputFileError, match="axes: found x, twt"):
        open_models(tmp_path / "in.nc")
    (part,) = open_models(tmp_path / "in.nc", facts=Facts(vertical="time")).parts
    assert part.form.order == "xz"
    assert part.form.ground == Ground(10.0, 4.0, 0.0, 4.0)


@pytest.mark.parametrize("suffix", ["sgy", "rsf", "npz"])
def test_formats_without_other_facts_keep_that_z_is_time(suffix: str, tmp_path: Path) -> None:
    np.save(tmp_path / "in.npy", layered(1, 9, 14))
    place = Description(dx=20.0, dz=4.0, origin=(100.0, 8.0), facts={"vertical": "time"})
    archive = archive_of(tmp_path / "in.npy", tmp_path / "a.vlat", description=place)
    decompress_file(archive, tmp_path / f"m.{suffix}")
    (part,) = open_models(tmp_path / f"m.{suffix}").parts
    assert part.form.ground == Ground(20.0, 4.0, 100.0, 8.0)
    assert part.form.facts == Facts(vertical="time")


def test_facts_that_differ_between_files_are_fields_of_their_models(tmp_path: Path) -> None:
    for name, doi in (("a", "10.1234/a"), ("b", "10.1234/b")):
        emc(tmp_path / f"{name}.nc", title=f"Model {name}", doi=doi)
    archive = archive_of(sorted(tmp_path.glob("*.nc")), tmp_path / "all.vlat")
    assert archive.header.facts == Facts(citation=EMC["reference"],
                                         creator="A. Maker, Institute of Layers")  # fmt: skip
    assert archive.fields["title"].tolist() == ["Model a", "Model b"]
    assert facts_of(archive.reader, [1]).doi == "10.1234/b"
    velcodec.decompress_folder(archive, tmp_path / "back")
    assert [part.form.facts.title for part in open_models(tmp_path / "back").parts] == [
        "Model a", "Model b",
    ]  # fmt: skip


def test_depth_and_time_do_not_go_into_one_file(tmp_path: Path) -> None:
    first = drawn(tmp_path, vertical="time")
    first.close()
    with velcodec.append(tmp_path / "a.vlat", lossless=True, decoder="tiny") as more:
        more.add(layered(1, 9, 14))
    with velcodec.open(tmp_path / "a.vlat") as archive:
        assert archive.info()["facts"]["vertical"] == ["time", "depth"]
        with pytest.raises(MixedShapesError, match="z is depth in some models and time in others"):
            decompress_file(archive, tmp_path / "m.nc")


def test_cat_subset_and_split_keep_the_facts_of_every_header(tmp_path: Path) -> None:
    drawn(tmp_path, **TOLD).close()
    other = velcodec.compress(
        layered(2, 9, 14), lossless=True, decoder="tiny", facts={"crs": "EPSG:2154"}
    )
    (tmp_path / "b.vlat").write_bytes(other)
    velcodec.cat([tmp_path / "a.vlat", tmp_path / "b.vlat"], tmp_path / "c.vlat")
    velcodec.split(tmp_path / "c.vlat", tmp_path / "parts", models_per_shard=2)
    velcodec.subset(tmp_path / "parts", tmp_path / "d.vlat", [4, 0])
    with velcodec.open(tmp_path / "d.vlat") as archive:
        assert [archive.header_of(n).facts.crs for n in (0, 1)] == ["EPSG:2154", "EPSG:32631"]
        assert archive.header_of(1).facts == Facts(**TOLD)
        told = json.loads(json.dumps(archive.info()))
        assert told["facts"]["crs"] == ["EPSG:2154", "EPSG:32631"]
        assert told["software"] == [velcodec.__version__]


def test_a_fact_stated_twice_must_be_the_same() -> None:
    with pytest.raises(OptionError, match="licence: found 'MIT' and 'CC0', expected one"):
        velcodec.compress(layered(1, 9, 14), licence="CC0", facts={"licence": "MIT"})


def test_files_of_depth_and_of_time_are_refused_by_their_names(tmp_path: Path) -> None:
    for name, vertical in (("a.nc", "time"), ("b.nc", "")):
        decompress_file(drawn(tmp_path, **({"vertical": vertical} if vertical else {})),
                        tmp_path / name)  # fmt: skip
    with pytest.raises(OptionError, match=r"b\.nc:velocity: vertical: found depth, expected time "
                       r"as in \S*a\.nc:velocity; state it with --vertical"):  # fmt: skip
        archive_of([tmp_path / "a.nc", tmp_path / "b.nc"], tmp_path / "x.vlat")
