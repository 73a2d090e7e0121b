"""Archives decompress to any format, and to the original folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from checkers import layered

import velcodec
from velcodec.decoder import Decoder
from velcodec.encode.description import Description
from velcodec.encode.setup import Coding
from velcodec.encode.target import Target
from velcodec.files.compress import append_job, compress_job
from velcodec.files.decompress import (
    Decompression,
    decompress_file,
    decompress_folder,
    decompress_stream,
)
from velcodec.files.job import Job
from velcodec.files.originals import open_originals
from velcodec.formats.errors import MixedShapesError, OptionError, OutputExistsError
from velcodec.formats.files import FORMATS, Ground, open_models

EXACT = Coding(Target(lossless=True), decoder="tiny")


@pytest.fixture(autouse=True)
def decoder(tiny: Decoder) -> Decoder:
    return tiny


def archive_of(source: Path, tmp_path: Path, **description: object) -> velcodec.Archive:
    path = tmp_path / "a.vlat"
    job = Job(open_models(source), Description(**description), EXACT)  # type: ignore[arg-type]
    compress_job(job, path, force=True)
    return velcodec.open(path)


@pytest.fixture
def openfwi(tmp_path: Path) -> Path:
    """A folder in OpenFWI's layout, of files of 3, 3 and 2 models; model10 comes last."""
    folder = tmp_path / "FlatVel_A" / "model"
    folder.mkdir(parents=True)
    models = layered(8, 9, 14)
    for name, first, last in (("model1", 0, 3), ("model2", 3, 6), ("model10", 6, 8)):
        np.save(folder / f"{name}.npy", models[first:last, None])
    return tmp_path / "FlatVel_A"


def test_a_folder_comes_back_byte_for_byte(openfwi: Path, tmp_path: Path) -> None:
    archive = archive_of(openfwi, tmp_path)
    assert decompress_folder(archive, tmp_path / "back") == 3
    for path in openfwi.rglob("*.npy"):
        assert (tmp_path / "back" / path.relative_to(openfwi)).read_bytes() == path.read_bytes()
    with pytest.raises(OutputExistsError):
        decompress_folder(archive, tmp_path / "back")


def test_any_archive_can_be_written_in_openfwis_layout(tmp_path: Path) -> None:
    models = layered(7, 9, 14)
    np.save(tmp_path / "m.npy", models[:, None])
    archive = archive_of(tmp_path / "m.npy", tmp_path)
    assert decompress_folder(archive, tmp_path / "out", Decompression(per_file=3)) == 3
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["model1.npy", "model2.npy", "model3.npy"]
    assert np.load(tmp_path / "out" / "model2.npy").shape == (3, 1, 9, 14)
    assert np.array_equal(np.load(tmp_path / "out" / "model3.npy")[:, 0], models[6:])


def test_the_public_functions_take_paths_as_text(openfwi: Path, tmp_path: Path) -> None:
    archive = archive_of(openfwi, tmp_path)
    back, fine = f"{tmp_path}/back", f"{tmp_path}/fine.npz"
    assert velcodec.decompress_folder(archive, back) == 3
    velcodec.compress_files(back, f"{tmp_path}/again.vlat", lossless=True, decoder="tiny")
    with velcodec.open(f"{tmp_path}/again.vlat") as again:
        assert all(map(np.array_equal, again, archive))
    options = velcodec.Decompression(res=(18, 28), array="vp")
    assert velcodec.decompress_file(archive, fine, options) == (8, 1, 18, 28)
    assert np.array_equal(np.load(fine)["vp"][:, 0], archive.decode(range(8), (18, 28)))
    with pytest.raises(OutputExistsError):
        velcodec.decompress_file(archive, fine, options)


@pytest.mark.parametrize("name", ["m.npy", "m.npz", "m.h5", "m.nc", "m.zarr", "m.rsf"])
def test_every_format_keeps_spacing_and_origin(name: str, tmp_path: Path) -> None:
    models = layered(3, 9, 14)
    np.save(tmp_path / "in.npy", models)
    archive = archive_of(tmp_path / "in.npy", tmp_path, dx=20.0, dz=5.0, origin=(100.0, 50.0))
    assert decompress_file(archive, tmp_path / name) == (3, 9, 14)
    (part,) = open_models(tmp_path / name).parts
    assert np.array_equal(part.read(0, 3), models)
    if name not in ("m.npy",):
        assert part.form.ground == Ground(20.0, 5.0, 100.0, 50.0)


@pytest.mark.parametrize("name", ["m.npz", "m.h5", "m.nc", "m.zarr", "m.npy", "m.rsf"])
def test_models_at_different_places_keep_them_in_one_file_or_are_refused(
    name: str, tmp_path: Path
) -> None:
    models = layered(3, 9, 14)
    places = [
        Description(dx=10.0, dz=10.0),
        Description(dx=25.0, dz=5.0, origin=(5000.0, 100.0)),
        Description(fields={"dx_m": 7.0}),
    ]
    for number, about in enumerate(places):
        way = velcodec.append if number else velcodec.create
        with way(tmp_path / "a.vlat", description=about, lossless=True, decoder="tiny") as archive:
            archive.add(models[number : number + 1], fields=about.fields)
    with velcodec.open(tmp_path / "a.vlat") as archive:
        if name == "m.rsf":
            with pytest.raises(OptionError, match="models 0 and 1: found different spacings"):
                decompress_file(archive, tmp_path / name)
            each = Decompression(format="rsf", per_file=1)
            assert decompress_folder(archive, tmp_path / "out", each) == 3
            grounds = [part.form.ground for part in open_models(tmp_path / "out").parts]
        else:
            decompress_file(archive, tmp_path / name)
            form = open_models(tmp_path / name).parts[0].form
            assert form.ground == Ground()
            grounds = list(form.grounds or ())
        expected = [archive.geometry(number) for number in range(3)]
    assert np.array_equal(
        np.concatenate([array for _, array in open_models(
            tmp_path / ("out" if name == "m.rsf" else name)).read(0, 3)]), models
    )  # fmt: skip
    if name == "m.npy":  # which holds nothing beside the values
        assert grounds == []
        return
    assert grounds == [Ground(g.dx_m, g.dz_m, g.origin_x_m, g.origin_z_m) for g in expected]
    if name != "m.rsf":
        job = Job(open_models(tmp_path / name), Description(), EXACT)
        compress_job(job, tmp_path / "b.vlat")
        with velcodec.open(tmp_path / "b.vlat") as back:
            assert [back.geometry(number) for number in range(3)] == expected


@pytest.mark.parametrize("order", ["zx", "xz"])
@pytest.mark.parametrize("name", FORMATS)
def test_depth_that_points_up_is_turned_on_input_and_output(
    name: str, order: str, tmp_path: Path
) -> None:
    models = layered(1, 9, 14)
    rows = models[0, ::-1]
    np.save(tmp_path / "in.npy", rows if order == "zx" else rows.T)
    source = open_models(tmp_path / "in.npy", order=order, z_positive="up")
    compress_job(Job(source, Description(dz=5.0), EXACT), tmp_path / "a.vlat")
    path = tmp_path / f"m{FORMATS[name].suffixes[0]}"
    hints = {"shape": (9, 14) if order == "zx" else (14, 9)} if name == "raw" else {}
    with velcodec.open(tmp_path / "a.vlat") as archive:
        assert np.array_equal(archive[0] if order == "zx" else archive[0].T, models[0])
        assert archive.layout(0).z_up
        decompress_file(archive, path)
        if name == "npy":
            assert path.read_bytes() == (tmp_path / "in.npy").read_bytes()
        if name in ("npy", "raw"):
            with (tmp_path / "stream").open("wb") as out:
                decompress_stream(archive, out, Decompression(format=name))
            assert (tmp_path / "stream").read_bytes() == path.read_bytes()
        for original, more in ((tmp_path / "in.npy", {}), (path, hints)):
            originals = open_originals(archive, original, **more)
            (found,) = (model for model, _ in originals.read(range(1)))
            assert np.array_equal(found, models[0])


def test_rows_going_up_and_down_are_refused_in_one_file(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    np.save(tmp_path / "in" / "a.npy", layered(1, 9, 14))
    np.savez(tmp_path / "in" / "b.npz", vp=layered(1, 9, 14, seed=2), z_positive="up")
    with archive_of(tmp_path / "in", tmp_path) as archive:
        for write in (decompress_file, _as_a_stream):
            with pytest.raises(MixedShapesError, match="model 1: its rows go up"):
                write(archive, tmp_path / "out.npy")
        assert decompress_folder(archive, tmp_path / "out") == 2
    for name in ("a.npy", "b.npz"):
        (before,), (after,) = (open_models(tmp_path / top / name).parts for top in ("in", "out"))
        assert before.form.z_up is after.form.z_up is (name == "b.npz")
        assert np.array_equal(before.read(0, 1), after.read(0, 1))


def _as_a_stream(archive: velcodec.Archive, path: Path) -> None:
    with path.open("wb") as out:
        decompress_stream(archive, out)


def test_axes_are_those_of_the_input(tmp_path: Path) -> None:
    models = layered(2, 9, 14)
    np.save(tmp_path / "in.npy", models.swapaxes(1, 2))
    job = Job(open_models(tmp_path / "in.npy", order="xz"), Description(), EXACT)
    compress_job(job, tmp_path / "a.vlat")
    with velcodec.open(tmp_path / "a.vlat") as archive:
        assert decompress_file(archive, tmp_path / "out.npy") == (2, 14, 9)
    assert (tmp_path / "out.npy").read_bytes() == (tmp_path / "in.npy").read_bytes()


@pytest.mark.parametrize("order", ["zx", "xz"])
@pytest.mark.parametrize("name", FORMATS)
def test_an_asymmetric_model_keeps_its_axes_through_every_format(
    name: str, order: str, tmp_path: Path
) -> None:
    model = (1500 + 10 * np.arange(9)[:, None] + 300 * np.arange(14)).astype(np.float32)
    np.save(tmp_path / "in.npy", model if order == "zx" else model.T)
    there = Job(open_models(tmp_path / "in.npy", order=order), Description(), EXACT)
    compress_job(there, tmp_path / "a.vlat")
    path = tmp_path / f"m{FORMATS[name].suffixes[0]}"
    with velcodec.open(tmp_path / "a.vlat") as archive:
        decompress_file(archive, path)
    hints = {"shape": (9, 14) if order == "zx" else (14, 9)} if name == "raw" else {}
    models = open_models(path, unstated_order=order, **hints)  # type: ignore[arg-type]
    assert np.array_equal(models.parts[0].read(0, 1)[0], model)
    compress_job(Job(models, Description(), EXACT), tmp_path / "b.vlat")
    with velcodec.open(tmp_path / "b.vlat") as back:
        layout = back.layout(0)
        assert (layout.nz, layout.nx) == (9, 14)
        assert np.array_equal(back[0] if layout.axes.endswith("zx") else back[0].T, model)


def test_another_grid_has_its_own_spacing_and_origin(tmp_path: Path, tiny: Decoder) -> None:
    np.save(tmp_path / "in.npy", layered(2, 10, 20))
    coding = Coding(Target(psnr=15.0, latent_only=True), decoder="tiny")
    job = Job(open_models(tmp_path / "in.npy"), Description(dx=20.0, dz=5.0), coding)
    compress_job(job, tmp_path / "a.vlat")
    with velcodec.open(tmp_path / "a.vlat") as archive:
        shape = decompress_file(archive, tmp_path / "out.h5", Decompression(res=(20, 40)))
        assert shape == (2, 20, 40)
        expected = archive.decode([0, 1], (20, 40))
    (part,) = open_models(tmp_path / "out.h5").parts
    assert np.array_equal(part.read(0, 2), expected)
    assert part.form.ground == Ground(10.0, 2.5, -5.0, -1.25)


def test_files_of_different_shapes_come_back_only_as_a_folder(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    np.save(folder / "a.npy", layered(3, 9, 14))
    np.save(folder / "b.npy", layered(1, 12, 8)[0])
    archive = archive_of(folder, tmp_path)
    with pytest.raises(MixedShapesError):
        decompress_file(archive, tmp_path / "out.npy")
    assert decompress_folder(archive, tmp_path / "out") == 2
    for name in ("a.npy", "b.npy"):
        assert (tmp_path / "out" / name).read_bytes() == (folder / name).read_bytes()


def test_a_subset_of_one_shape_stacks_although_headers_name_others(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    models = layered(3, 9, 14)
    np.save(folder / "a.npy", models)
    np.save(folder / "b.npy", layered(1, 12, 8)[0])
    with archive_of(folder, tmp_path) as both:
        velcodec.subset(both, tmp_path / "one.vlat", slice(0, 3))
    with velcodec.open(tmp_path / "one.vlat") as archive:
        assert len(archive.layouts) == 2
        assert decompress_file(archive, tmp_path / "out.npy") == (3, 9, 14)
        originals = open_originals(archive, tmp_path / "out.npy")
        assert np.array_equal([model for model, _ in originals.read(range(3))], models)
    assert np.array_equal(np.load(tmp_path / "out.npy"), models)


def test_files_with_the_same_name_in_two_folders_are_errors(openfwi: Path, tmp_path: Path) -> None:
    twice = Job(open_models([openfwi, openfwi]), Description(), EXACT)
    compress_job(twice, tmp_path / "a.vlat")
    with velcodec.open(tmp_path / "a.vlat") as archive:
        with pytest.raises(OptionError, match=r"model 8: file model/model1\.npy.*--per-file"):
            decompress_folder(archive, tmp_path / "out")
        assert decompress_folder(archive, tmp_path / "out", Decompression(per_file=4)) == 4


def test_keys_are_written_with_the_models(tmp_path: Path) -> None:
    np.savez(tmp_path / "in.npz", vp=layered(2, 9, 14), keys=["north", "south"])
    archive = archive_of(tmp_path / "in.npz", tmp_path)
    decompress_file(archive, tmp_path / "out.h5", Decompression(array="vp"))
    (part,) = open_models(tmp_path / "out.h5", array="vp").parts
    assert part.form.keys == ("north", "south")


KINDS = {"f4 m/s": ("<f4", 1.0, "m/s"), "f8 km/s": ("<f8", 1e-3, "km/s"), "i2": ("<i2", 1.0, "m/s")}


def of_kind(kind: str, count: int, seed: int) -> tuple[np.ndarray, str]:
    """Models whose values need this dtype, and their units."""
    dtype, scale, units = KINDS[kind]
    return (np.floor(layered(count, 9, 14, seed=seed)) * scale).astype(dtype), units


def compressed(source: object, target: Path, **hints: object) -> Path:
    models = open_models(source, **hints)  # type: ignore[arg-type]
    compress_job(Job(models, Description(), EXACT), target)
    return target


def same_files(one: Path, other: Path) -> bool:
    names = [sorted(p.relative_to(f) for p in f.rglob("*") if p.is_file()) for f in (one, other)]
    return names[0] == names[1] and all(
        (one / name).read_bytes() == (other / name).read_bytes() for name in names[0]
    )


def test_files_with_the_same_name_in_two_folders_stay_separate(tmp_path: Path) -> None:
    for number, top in enumerate(("a", "b")):
        folder = tmp_path / "in" / top / "model"
        folder.mkdir(parents=True)
        np.save(folder / "m.npy", layered(3, 9, 14, seed=number))
    folders = [tmp_path / "in" / "a" / "model", tmp_path / "in" / "b" / "model"]
    with velcodec.open(compressed(folders, tmp_path / "x.vlat")) as archive:
        assert decompress_folder(archive, tmp_path / "back") == 2
    assert same_files(tmp_path / "in", tmp_path / "back")


@pytest.mark.parametrize("how", ["append", "cat", "twice"])
@pytest.mark.parametrize("second", KINDS)
def test_consecutive_files_with_the_same_name_are_never_merged(
    tmp_path: Path, how: str, second: str
) -> None:
    for top, kind in (("a", "f4 m/s"), ("b", second)):
        (tmp_path / top).mkdir()
        np.save(tmp_path / top / "m.npy", of_kind(kind, 3, 1)[0])
    path = tmp_path / "x.vlat"
    units = {"units": KINDS[second][2]}
    if how == "append":
        compressed(tmp_path / "a", path)
        append_job(Job(open_models(tmp_path / "b", **units), Description(), EXACT), path)  # type: ignore[arg-type]
    elif how == "cat":
        one = compressed(tmp_path / "a", tmp_path / "1.vlat")
        velcodec.cat([one, compressed(tmp_path / "b", tmp_path / "2.vlat", **units)], path)
    else:
        compressed([tmp_path / "a", tmp_path / "a"], path)
    with velcodec.open(path) as archive:
        with pytest.raises(OptionError, match=r"model 3: file m\.npy: another had that name"):
            decompress_folder(archive, tmp_path / "back")
        if second == "f4 m/s" or how == "twice":
            assert decompress_folder(archive, tmp_path / "back", Decompression(per_file=4)) == 2
        else:
            with pytest.raises(MixedShapesError):
                decompress_folder(archive, tmp_path / "back", Decompression(per_file=4))
            with pytest.raises(MixedShapesError):
                decompress_file(archive, tmp_path / "back.npy")


def test_models_of_one_array_that_do_not_stack_are_refused(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    np.save(tmp_path / "in" / "a.npy", of_kind("f4 m/s", 2, 1)[0])
    np.save(tmp_path / "in" / "b.npy", of_kind("i2", 2, 1)[0])
    fields = {"file": "one.npy", "row": np.arange(4)}
    job = Job(open_models(tmp_path / "in"), Description(), EXACT, fields=fields)
    compress_job(job, tmp_path / "x.vlat")
    with (
        velcodec.open(tmp_path / "x.vlat") as archive,
        pytest.raises(MixedShapesError, match="do not stack"),
    ):
        decompress_folder(archive, tmp_path / "back")


@pytest.mark.parametrize("listed", [False, True])
def test_several_arrays_of_one_file_come_back_unchanged(tmp_path: Path, listed: bool) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    arrays = {
        "vp": of_kind("f4 m/s", 3, 1)[0], "vs": of_kind("i2", 2, 2)[0], "rho": layered(1, 5, 6)[0],
    }  # fmt: skip
    np.savez(folder / "m.npz", **arrays)
    if listed:
        np.savez(folder / "n.npz", vs=arrays["vs"])
        np.save(folder / "o.npy", arrays["vp"])
    source = folder if listed else folder / "m.npz"
    with velcodec.open(compressed(source, tmp_path / "x.vlat")) as archive:
        assert decompress_folder(archive, tmp_path / "back") == (3 if listed else 1)
        with pytest.raises(OptionError, match=r"several arrays, which only an \.npz"):
            decompress_folder(archive, tmp_path / "other", Decompression(format="hdf5"))
        with pytest.raises(OptionError, match=r"several arrays, which only an \.npz"):
            decompress_folder(archive, tmp_path / "other", Decompression(array="one"))
    with np.load(tmp_path / "back" / "m.npz") as back:
        assert set(back) == set(arrays)
        for name, array in arrays.items():
            assert back[name].dtype == array.dtype
            assert np.array_equal(back[name], array)
    if listed:
        with np.load(tmp_path / "back" / "n.npz") as back:
            assert np.array_equal(back["vs"], arrays["vs"])
        assert (tmp_path / "back" / "o.npy").read_bytes() == (folder / "o.npy").read_bytes()


@pytest.mark.parametrize("name", [n for n, form in FORMATS.items() if form.named_arrays])
def test_every_format_with_names_restores_array_names(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    suffix = FORMATS[name].suffixes[0]
    for number in range(2):
        np.save(tmp_path / "m.npy", layered(2, 9, 14, seed=number))
        with velcodec.open(compressed(tmp_path / "m.npy", tmp_path / f"{number}.vlat")) as one:
            decompress_file(one, folder / f"m{number}{suffix}", Decompression(array=f"v{number}"))
    with velcodec.open(compressed(folder, tmp_path / "x.vlat")) as archive:
        assert archive.fields["array"].tolist() == ["v0", "v0", "v1", "v1"]
        decompress_folder(archive, tmp_path / "back")
        decompress_folder(archive, tmp_path / "named", Decompression(array="all"))
    for number in range(2):
        (part,) = open_models(tmp_path / "back" / f"m{number}{suffix}").parts
        assert part.array == f"v{number}"
        assert np.array_equal(part.read(0, 2), layered(2, 9, 14, seed=number))
        (part,) = open_models(tmp_path / "named" / f"m{number}{suffix}").parts
        assert part.array == "all"


def test_a_subset_of_a_files_models_comes_back_as_that_file(openfwi: Path, tmp_path: Path) -> None:
    with archive_of(openfwi, tmp_path) as whole:
        velcodec.subset(whole, tmp_path / "some.vlat", slice(None, None, 2))
    with velcodec.open(tmp_path / "some.vlat") as archive:
        assert decompress_folder(archive, tmp_path / "back") == 3
    back = np.load(tmp_path / "back" / "model" / "model1.npy")
    assert np.array_equal(back, np.load(openfwi / "model" / "model1.npy")[::2])


def test_an_array_name_that_leaves_the_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    np.savez(tmp_path / "in" / "m.npz", vp=layered(2, 9, 14))
    fields = {"array": "../../x"}
    job = Job(open_models(tmp_path / "in"), Description(), EXACT, fields=fields)
    compress_job(job, tmp_path / "x.vlat")
    with velcodec.open(tmp_path / "x.vlat") as archive:
        with pytest.raises(OptionError, match="--array"):
            decompress_folder(archive, tmp_path / "back")
        assert decompress_folder(archive, tmp_path / "back", Decompression(array="vp")) == 1
