"""The specification is enough to read every archive: a reader made from it alone does."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
import vlatlite  # noqa: E402
from builders import archive, header  # noqa: E402
from corpus import (  # noqa: E402
    GOLDEN,
    LATENTS,
    METADATA,
    SHARDS,
    check_rendering,
    digest,
    hashes,
    jsonable,
    renderings,
    sha_of,
    told,
)
from vlatlite.coder import tile  # noqa: E402
from vlatlite.container import record  # noqa: E402

import velcodec  # noqa: E402
import velcodec.formats.container.header  # noqa: E402
from velcodec import synth  # noqa: E402

HASHES, RENDERINGS = hashes(), renderings()
ALLOWED = {"json", "zlib", "hashlib", "math", "functools", "pathlib", "numpy", "msgpack"}
ALLOWED |= {"zstandard", "itertools", "fractions"}


@pytest.fixture(scope="module")
def reader() -> vlatlite.Reader:
    files = sorted((ROOT / "velcodec" / "decoder" / "shipped").glob("velcodec-?.safetensors"))
    return vlatlite.Reader([path.read_bytes() for path in files], ROOT / "velcodec" / "data")


def test_it_imports_nothing_of_velcodec_nor_torch() -> None:
    for path in HERE.glob("vlatlite/*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                assert {name.name.split(".")[0] for name in node.names} <= ALLOWED
            elif isinstance(node, ast.ImportFrom) and not node.level:
                assert str(node.module).split(".")[0] in ALLOWED
    code = "import sys, vlatlite; print(*sys.modules)"
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=HERE
    )
    loaded = {name.split(".")[0] for name in run.stdout.split()}
    assert "vlatlite" in loaded
    assert not loaded & {"velcodec", "torch", "numba", "safetensors"}


@pytest.mark.parametrize("name", HASHES)
def test_samples_have_their_hashes(reader: vlatlite.Reader, name: str) -> None:
    (archive,) = vlatlite.open_archives(GOLDEN / name)
    numbers = range(len(archive.payloads))
    if isinstance(HASHES[name], str):
        assert sha_of(np.stack([reader.model(archive, i) for i in numbers])) == HASHES[name]
        return
    assert len(numbers) == len(HASHES[name])
    for number, expected in zip(numbers, HASHES[name], strict=True):
        if expected is not None:
            assert sha_of(reader.model(archive, number)) == expected


@pytest.mark.parametrize("key", RENDERINGS)
def test_latents_render_within_the_tolerance(reader: vlatlite.Reader, key: str) -> None:
    name, number, *other = key.split("/")
    (archive,) = vlatlite.open_archives(LATENTS / f"{name}.vlat")
    kept = RENDERINGS[key]
    check_rendering(reader.model(archive, int(number), (17, 13) if other else None), kept)


@pytest.mark.parametrize("order", ["zyx", "xyz"])
def test_volumes_are_the_same_on_other_grids(
    reader: vlatlite.Reader, tmp_path: Path, order: str
) -> None:
    axes = ["zyx".index(axis) for axis in order]
    volume = synth.volumes("faulted", 1, 3, (9, 10, 11))[0].transpose(axes)
    archive = saved(tmp_path / "volume.vlat", volume, volume=True, order=order)
    assert np.array_equal(reader.model(archive, 0), volume)
    with velcodec.open(tmp_path / "volume.vlat") as opened:
        check_rendering(reader.model(archive, 0, (7, 13, 20)), opened.decode(0, res=(7, 13, 20)))


@pytest.mark.parametrize("wide", [False, True])
def test_absent_samples_of_volumes_are_the_same(
    reader: vlatlite.Reader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wide: bool
) -> None:
    monkeypatch.setattr("velcodec.encode.volume_coder.BRICK", (5, 6, 7))
    volume = synth.volumes("faulted", 1, 3, (9, 10, 11))[0]
    if wide:  # beyond what any domain of integers holds
        volume = volume.astype(np.float64) * np.random.default_rng(0).uniform(1, 1e9, volume.shape)
    volume[:5, :6, 2:] = np.nan
    volume[7:, 8:, 1:9:2] = np.nan
    archive = saved(tmp_path / "volume.vlat", volume, volume=True, mask="nan")
    assert np.array_equal(reader.model(archive, 0), volume, equal_nan=True)
    with velcodec.open(tmp_path / "volume.vlat") as opened:
        found, expected = reader.model(archive, 0, (7, 13, 20)), opened.decode(0, res=(7, 13, 20))
    gone = np.isnan(expected)
    assert gone.any()
    assert np.array_equal(np.isnan(found), gone)
    scale = np.nanmax(expected) / 5000
    check_rendering(np.where(gone, 0, found) / scale, np.where(gone, 0, expected) / scale)


def drawn(family: str, nz: int, nx: int, number: int = 0) -> np.ndarray:
    found: np.ndarray = synth.draw(family, 70_000_011, number, 1).render(nz, nx).numpy()[0]
    return found


def saved(path: Path, models: np.ndarray, **options: object) -> vlatlite.Archive:
    """A lossless archive of samples, opened by the second reader."""
    path.write_bytes(velcodec.compress(models, lossless=True, **options))  # type: ignore[arg-type]
    (archive,) = vlatlite.open_archives(path)
    return archive


NATIVE = (30, 26)
GRIDS = [(90, 78), (61, 47), (30, 77), (11, 9), (7, 60), (1, 1), (1, 40), (33, 1)]


SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    "family",
    [
        "flatvel_b", "curvevel_a", "curvefault_b", "geology",
        pytest.param("style_a", marks=SLOW), pytest.param("style_b", marks=SLOW),
    ],
)  # fmt: skip
def test_samples_are_the_same_on_other_grids(
    reader: vlatlite.Reader, tmp_path: Path, family: str
) -> None:
    model = drawn(family, *NATIVE)
    archive = saved(tmp_path / "a.vlat", model)
    assert np.array_equal(reader.model(archive, 0, NATIVE), model)
    for grid in GRIDS:
        check_rendering(
            reader.model(archive, 0, grid), velcodec.decompress(tmp_path / "a.vlat", grid)
        )


@pytest.mark.parametrize(
    "shape", [(1, 1), (1, 2), (2, 1), (2, 2), (1, 40), (23, 1), (3, 50), (45, 4)]
)
def test_models_of_few_rows_or_columns_are_the_same(
    reader: vlatlite.Reader, tmp_path: Path, shape: tuple[int, int]
) -> None:
    model = drawn("geology", 50, 50)[: shape[0], : shape[1]]
    model = model + np.arange(model.size, dtype=np.float32).reshape(shape) % 7 * 90
    archive = saved(tmp_path / "a.vlat", model)
    for grid in [(5, 5), (1, 93), (70, 1), (3 * shape[0], 3 * shape[1])]:
        check_rendering(
            reader.model(archive, 0, grid), velcodec.decompress(tmp_path / "a.vlat", grid)
        )


@SLOW
def test_a_model_of_more_than_one_block_is_the_same(
    reader: vlatlite.Reader, tmp_path: Path
) -> None:
    model = np.rint(drawn("curvefault_a", 270, 40)).astype(np.int16)
    archive = saved(tmp_path / "a.vlat", model)
    for grid in [(541, 40), (100, 17)]:
        check_rendering(
            reader.model(archive, 0, grid), velcodec.decompress(tmp_path / "a.vlat", grid)
        )


@pytest.mark.parametrize("dtype", ["<f8", ">f4", "<i2", ">u2", "<i8", "|u1"])
@pytest.mark.parametrize(
    "options", [{}, {"units": "km/s"}, {"order": "xz"}], ids=["m/s", "km/s", "xz"]
)
def test_other_grids_have_the_dtype_units_and_axes_of_the_samples(
    reader: vlatlite.Reader, tmp_path: Path, dtype: str, options: dict[str, str]
) -> None:
    model = drawn("curvefault_a", 24, 19, 3) / (1000 if options.get("units") else 1)
    if dtype == "|u1":
        model = model * (20 if options.get("units") else 0.02)
    if np.dtype(dtype).kind in "iu":
        model = np.rint(model)
    archive = saved(tmp_path / "a.vlat", model.astype(dtype), **options)
    for grid in [(53, 31), (9, 44)]:
        found = reader.model(archive, 0, grid)
        assert found.shape == (grid[::-1] if options.get("order") else grid)
        check_rendering(found, velcodec.decompress(tmp_path / "a.vlat", grid))


@pytest.mark.parametrize("scale", [1.0, 1e-3])
def test_layers_with_noise_of_the_last_bits_are_the_same(
    reader: vlatlite.Reader, tmp_path: Path, scale: float
) -> None:
    """Differences below float32 resolution of the range do not matter."""
    rng = np.random.default_rng(5)
    clean = np.where(np.arange(40)[:, None] < 20, 2000.0, 5000.0).repeat(40, 1)
    clean[11:, 26:] += 400.0
    for noise in (1e-3, 1e-4, 1e-5, 1e-7, 1e-10):
        model = (clean + rng.normal(0, noise, clean.shape)) * scale
        archive = saved(tmp_path / "a.vlat", model, units="m/s" if scale == 1.0 else "km/s")
        check_rendering(
            reader.model(archive, 0, (93, 110)), velcodec.decompress(tmp_path / "a.vlat", (93, 110))
        )


def test_a_constant_model_is_constant_on_every_grid(
    reader: vlatlite.Reader, tmp_path: Path
) -> None:
    archive = saved(tmp_path / "a.vlat", np.full((9, 7), 1500.5, np.float32))
    for grid in GRIDS:
        found = reader.model(archive, 0, grid)
        assert np.array_equal(found, np.full(grid, 1500.5, np.float32))
        assert np.array_equal(found, velcodec.decompress(tmp_path / "a.vlat", grid))


def test_every_third_sample_at_three_times_the_grid_is_native(
    reader: vlatlite.Reader, tmp_path: Path
) -> None:
    model = drawn("style_b", *NATIVE)
    archive = saved(tmp_path / "a.vlat", model)
    thrice = NATIVE[0] * 3, NATIVE[1] * 3
    assert np.array_equal(reader.model(archive, 0, thrice)[1::3, 1::3], model)
    assert np.array_equal(velcodec.decompress(tmp_path / "a.vlat", thrice)[1::3, 1::3], model)


def test_samples_are_used_if_a_latent_is_beside_them(
    reader: vlatlite.Reader, tmp_path: Path
) -> None:
    model = drawn("curvevel_b", *NATIVE)
    alone = saved(tmp_path / "a.vlat", model)
    both = saved(tmp_path / "b.vlat", model, keep_latent=True)
    assert record(both.payloads[0], both.headers[0])[3]
    expected = reader.model(alone, 0, (50, 70))
    assert np.array_equal(reader.model(both, 0, (50, 70)), expected)
    check_rendering(expected, velcodec.decompress(tmp_path / "b.vlat", (50, 70)))


def test_an_unknown_sampler_is_refused(reader: vlatlite.Reader, tmp_path: Path) -> None:
    model = drawn("flatvel_a", *NATIVE)
    archive = saved(tmp_path / "a.vlat", model)
    coding = archive.headers[0]["e"]
    coding["s"] = 9
    assert np.array_equal(reader.model(archive, 0), model)
    with pytest.raises(ValueError, match="not here"):
        reader.model(archive, 0, (60, 60))


def about(archive: vlatlite.Archive) -> object:
    keys = archive.keys
    return jsonable(
        {
            "models": len(archive.payloads),
            "headers": archive.headers,
            "header_of": archive.header_of,
            "keys": None if keys == [str(i) for i in range(len(keys))] else keys,
            "quality": archive.quality if archive.measured else None,
            "fields": archive.fields,
            "ancillary": archive.others,
        }
    )


@pytest.mark.parametrize("name", told())
def test_everything_in_an_archive_is_read(name: str) -> None:
    (archive,) = vlatlite.open_archives(METADATA / f"{name}.vlat")
    found, expected = about(archive), told()[name]
    assert expected == (digest(found) if isinstance(expected, str) else found)


def test_constant_models_of_every_metadata_archive_are_read(reader: vlatlite.Reader) -> None:
    for name, expected in told().items():
        (archive,) = vlatlite.open_archives(METADATA / f"{name}.vlat")
        assert isinstance(expected, str) or len(archive.payloads) == expected["models"]
        for number in range(0, len(archive.payloads), 1 + len(archive.payloads) // 20):
            assert np.array_equal(reader.model(archive, number), np.full((3, 2), 1500.0 + number))


def test_facts_are_read_and_an_unknown_vertical_domain_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def archive_of(**facts: object) -> vlatlite.Archive:
        return vlatlite.Archive(archive([], header(about=facts, software=(0, 1, 0))))

    facts = {"crs": "EPSG:32631", "vertical": "time", "datum": "mean sea level", "epoch": 2010.5}
    head = archive_of(**facts).headers[0]
    assert (head["a"], head["v"]) == (facts, 100)
    monkeypatch.setattr(velcodec.formats.container.header, "check_stored", lambda about: None)
    for name in ("vertical", "Epoch"):
        with pytest.raises(ValueError, match="unknown"):
            archive_of(**{name: "of a later version"})


def test_fields_override_the_layout(reader: vlatlite.Reader) -> None:
    (archive,) = vlatlite.open_archives(METADATA / "fields.vlat")
    assert reader.layout(archive, 1) | {"s": 0} == {
        "s": 0, "a": "nzx", "t": "<f4", "u": "m/s", "d": [12.5, 6.0], "o": [1000.0, 0.0],
    }  # fmt: skip
    assert reader.layout(archive, 2)["d"] == [10, 7.0]


def test_shards_are_read_as_one(reader: vlatlite.Reader) -> None:
    archives = vlatlite.open_archives(SHARDS)
    models = [reader.model(a, i) for a in archives for i in range(len(a.payloads))]
    assert [len(a.payloads) for a in archives] == [3, 2, 0]
    assert [float(model.min()) for model in models] == [1500.0 + i for i in range(5)]


def test_decoders_have_the_identities_that_they_state(reader: vlatlite.Reader) -> None:
    (archive,) = vlatlite.open_archives(LATENTS / "embedded.vlat")
    assert {vlatlite.identity(file) for file in archive.decoders} == {
        header["h"] for header in archive.headers
    }
    for digest_, decoder in reader.decoders.items():
        assert decoder.metadata["identity"] == digest_.hex()


def test_the_worked_example_gives_its_integers() -> None:
    tables = {
        "latent.frequencies": np.array([[2048, 12288, 2044, 4], [4096, 8192, 4092, 4]], np.uint16),
        "latent.classes": np.array([[[1, 1, 0, 0]]], np.uint8),
        "latent.class_frequencies": np.array([16384], np.uint16),
    }
    (archive,) = vlatlite.open_archives(GOLDEN / "two_models.vlat")
    streams = [record(payload, archive.headers[0])[3][0] for payload in archive.payloads]
    found = [tile(stream, archive.headers[0], tables) for stream in streams]
    assert [(t[0].tolist(), *t[1:]) for t in found] == [
        ([1, 0, -7, 0], 0, 1500.0, 1600.0),
        ([0, 0, 0, 0], 0, 2000.5, 2000.5),
    ]


def test_unknown_features_are_refused() -> None:
    data = bytearray((GOLDEN / "two_models.vlat").read_bytes())
    for version in (0, 2):
        data[8] = version
        with pytest.raises(ValueError, match=f"version {version}"):
            vlatlite.Archive(bytes(data))


@pytest.mark.parametrize(("dtype", "no_data"), [("<f4", "nan"), (">f8", "nan"), ("<i2", -9999)])
@pytest.mark.parametrize("order", ["zx", pytest.param("xz", marks=SLOW)])
def test_absent_samples_are_the_same_on_every_grid(
    reader: vlatlite.Reader, tmp_path: Path, dtype: str, no_data: str | float, order: str
) -> None:
    model = drawn("curvefault_b", *NATIVE).astype(dtype)
    absent = np.arange(NATIVE[0])[:, None] < 4 + np.rint(3 * np.sin(np.arange(NATIVE[1]) / 4))
    absent[12:15, 20:] = True
    model[absent] = np.nan if no_data == "nan" else no_data
    own = model if order == "zx" else model.T
    archive = saved(tmp_path / "a.vlat", own, mask=no_data, order=order)
    assert np.array_equal(reader.model(archive, 0), own, equal_nan=no_data == "nan")
    with velcodec.open(tmp_path / "a.vlat") as other:
        for grid in GRIDS:
            found, expected = reader.model(archive, 0, grid), other.decode(0, grid)
            gone = np.isnan(expected) if no_data == "nan" else expected == no_data
            assert np.array_equal(np.isnan(found) if no_data == "nan" else found == no_data, gone)
            assert found.dtype == expected.dtype
            assert np.abs(found[~gone].astype(float) - expected[~gone]).max(initial=0.0) <= 1.0


def test_latents_have_the_same_absent_samples(reader: vlatlite.Reader, tmp_path: Path) -> None:
    models = np.stack([drawn("flatvel_b", *NATIVE, number) for number in range(2)])
    models[0, :5, :9] = np.nan
    path = tmp_path / "a.vlat"
    path.write_bytes(velcodec.compress(models, mask="nan", latent_only=True, psnr=20.0))
    (archive,) = vlatlite.open_archives(path)
    for number, gone in enumerate(np.isnan(models)):
        assert np.array_equal(np.isnan(reader.model(archive, number)), gone)
