"""`ls`, `cat`, `subset`, `split`, and where archives may come from and models go."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from checkers import layered
from click.testing import Result
from rich_archives import rich_archive

import velcodec
from velcodec.decoder import Decoder
from velcodec.formats.files import open_models

Run = Callable[..., Result]


def figures(result: Result) -> Any:
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


@pytest.fixture
def data(run: Run, tiny: Decoder) -> bytes:
    """`a.vlat`, of 12 models with keys and fields."""
    found = rich_archive(tiny)
    Path("a.vlat").write_bytes(found)
    return found


def keys_of(source: Any) -> list[str]:
    with velcodec.open(source) as archive:
        return list(archive.keys)


# ls


def test_ls_has_a_line_for_each_model(run: Run, data: bytes) -> None:
    lines = run("ls", "a.vlat").stdout.splitlines()
    assert lines[0].split()[:3] == ["number", "key", "grid"]
    assert lines[0].endswith("PSNR dB  family")
    assert len(lines) == 13
    assert lines[4].split()[:6] == ["3", "m3", "9", "x", "14", "latent"]
    assert lines[4].split()[7:] == ["33.0", "salt"]


def test_ls_shows_chosen_models_and_fields(run: Run, data: bytes) -> None:
    shown = run("ls", "a.vlat", "--family", "salt", "--where", "depth_m>=700", "--field", "depth_m")
    assert [line.split()[1] for line in shown.stdout.splitlines()[1:]] == ["m7", "m9", "m11"]
    assert [line.split()[-1] for line in shown.stdout.splitlines()[1:]] == ["700", "900", "1100"]
    found = figures(run("ls", "a.vlat", "--models", "2:9:3", "--json"))
    assert (found["models"], found["chosen"]) == (12, 3)
    assert [row["number"] for row in found["rows"]] == [2, 5, 8]
    assert found["rows"][1]["fields"] == {"checked": False, "depth_m": 500.0, "family": "salt"}


def test_ls_of_many_models_shows_the_first_unless_told(run: Run, data: bytes) -> None:
    lines = run("ls", "a.vlat", "--head", "5").stdout.splitlines()
    assert len(lines) == 7
    assert lines[-1] == "7 more: --all shows them"
    assert len(run("ls", "a.vlat", "--head", "5", "--all").stdout.splitlines()) == 13
    assert run("ls", "a.vlat", "--family", "sand").stdout == "no model\n"


def test_ls_as_json_has_all_models_unless_told(run: Run) -> None:
    Path("b.vlat").write_bytes(
        velcodec.compress(layered(120, 12, 10), lossless=True, decoder="tiny", device="cpu")
    )
    assert run("ls", "b.vlat").stdout.splitlines()[-1] == "20 more: --all shows them"
    for arguments, rows, left_out in (((), 120, 0), (("--head", 50), 50, 70)):
        found = figures(run("ls", "b.vlat", "--json", *arguments))
        assert (len(found["rows"]), found["left_out"]) == (rows, left_out)


def test_ls_of_an_unknown_field_names_those_there_are(run: Run, data: bytes) -> None:
    result = run("ls", "a.vlat", "--field", "colour")
    assert result.exit_code == 2
    assert "checked, depth_m, family" in result.stderr


def test_the_commands_that_copy_import_no_torch_and_need_no_decoder(
    run: Run, data: bytes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("VELCODEC_HOME", str(tmp_path / "nowhere"))
    commands = [
        ["ls", "a.vlat"],
        ["subset", "a.vlat", "b.vlat", "--models", "0:3"],
        ["split", "a.vlat", "shards", "--models-per-shard", "5"],
        ["cat", "shards", "c.vlat"],
        ["info", "shards"],
    ]
    code = (
        "import sys, contextlib\n"
        "sys.modules['torch'] = None\n"
        "from velcodec.cli import main\n"
        f"for command in {commands}:\n"
        "    with contextlib.suppress(SystemExit):\n"
        "        main(command)\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stderr == ""
    assert Path("c.vlat").read_bytes() == data


# cat, subset, split


def test_cat_merges_and_says_what_it_wrote(run: Run, data: bytes, tiny: Decoder) -> None:
    Path("b.vlat").write_bytes(rich_archive(tiny, 3, seed=1, keys=["x", "m1", "y"]))
    result = run("cat", "a.vlat", "b.vlat", "both.vlat")
    assert result.exit_code == 2
    assert "b.vlat: model 1: key 'm1': is there already" in result.stderr
    assert not Path("both.vlat").exists()
    found = figures(run("cat", "a.vlat", "b.vlat", "both.vlat", "--keys", "first", "--json"))
    assert (found["models"], found["left_out"]) == (14, 1)
    assert found["bytes"] == Path("both.vlat").stat().st_size
    shown = run("cat", "a.vlat", "b.vlat", "both.vlat", "--keys", "prefix", "--force").stdout
    assert shown.startswith("both.vlat: 15 models in ")
    assert keys_of("both.vlat")[-3:] == ["b/x", "b/m1", "b/y"]


def test_subset_takes_models_by_every_option(run: Run, data: bytes) -> None:
    Path("names.txt").write_text("m8\nm2\n")
    np.save("mask.npy", np.arange(12) < 2)
    for options, expected in (
        (["--models", "-2:,0"], ["m10", "m11", "m0"]),
        (["--models", "1", "--models", "3:5"], ["m1", "m3", "m4"]),
        (["--key", "m5", "--key", "m1"], ["m5", "m1"]),
        (["--keys", "names.txt"], ["m8", "m2"]),
        (["--family", "salt", "--models", ":6"], ["m1", "m3", "m5"]),
        (["--where", "checked=true", "--where", "depth_m>300"], ["m6", "m9"]),
        (["--mask", "mask.npy"], ["m0", "m1"]),
    ):
        result = run("subset", "a.vlat", "some.vlat", *options, "--force")
        assert result.exit_code == 0, result.stderr
        assert keys_of("some.vlat") == expected


def test_subset_without_saying_which_is_a_usage_error(run: Run, data: bytes) -> None:
    result = run("subset", "a.vlat", "some.vlat")
    assert result.exit_code == 2
    assert "--where" in result.stderr
    for bad in ("a", "1:2:3:4", "1-3", "0x10", ":-"):
        assert run("subset", "a.vlat", "some.vlat", "--models", bad).exit_code == 2


def test_split_makes_a_folder_that_every_command_reads(run: Run, data: bytes) -> None:
    found = figures(run("split", "a.vlat", "shards", "--models-per-shard", "5", "--json"))
    assert (found["shards"], found["models"]) == (3, 12)
    assert "shards" in run("info", "shards").stdout
    info = figures(run("info", "shards", "--keys", "--json"))
    assert [shard["models"] for shard in info["shards"]] == [5, 5, 2]
    assert info["keys"] == keys_of(data)
    assert info["columns"]["family"]["values"] == ["flat", "salt"]
    assert len(figures(run("ls", "shards", "--json"))["rows"]) == 12
    assert figures(run("verify", "shards", "--json"))["whole"] is True
    assert run("decompress", "shards", "all.npy").exit_code == 0
    assert run("preview", "shards", "coarse.npy", "--coefficients", "8").exit_code == 0
    assert np.load("all.npy").shape == np.load("coarse.npy").shape == (12, 9, 14)
    assert run("subset", "shards", "deep.vlat", "--where", "depth_m>=1000").exit_code == 0
    assert keys_of("deep.vlat") == ["m10", "m11"]
    again = run("split", "a.vlat", "shards")
    assert again.exit_code == 60
    assert run("split", "a.vlat", "two", "--shards", "2").stdout.startswith(
        "two: 12 models in 2 shards and "
    )


# URLs and pipes


def test_every_command_reads_urls(run: Run, data: bytes) -> None:
    fsspec = pytest.importorskip("fsspec")
    fsspec.filesystem("memory").pipe("/far/a.vlat", data)
    url = "memory://far/a.vlat"
    try:
        assert figures(run("info", url, "--json"))["models"] == 12
        assert len(figures(run("ls", url, "--json"))["rows"]) == 12
        assert figures(run("verify", url, "--json"))["whole"] is True
        assert run("cat", url, "copy.vlat").exit_code == 0
        assert Path("copy.vlat").read_bytes() == data
        assert run("subset", url, "some.vlat", "--models", "3").exit_code == 0
        assert run("split", url, "shards").exit_code == 0
        assert run("decompress", url).stdout.startswith("a.npy: 12 x 9 x 14")
        assert run("preview", url, "--coefficients", "8").stdout.startswith("a.preview.npy: ")
        gone = run("ls", "memory://far/b.vlat")
        assert gone.exit_code == 14
        assert gone.stderr.startswith("velcodec: error: memory://far/b.vlat")
    finally:
        fsspec.filesystem("memory").rm("/far", recursive=True)


def test_every_command_reads_a_pipe(run: Run, data: bytes) -> None:
    assert figures(run("info", "-", "--json", input=data))["models"] == 12
    assert len(figures(run("ls", "-", "--json", input=data))["rows"]) == 12
    assert figures(run("verify", "-", "--json", input=data))["whole"] is True
    assert run("cat", "-", "copy.vlat", input=data).exit_code == 0
    assert Path("copy.vlat").read_bytes() == data
    assert run("subset", "-", "some.vlat", "--models", "3", input=data).exit_code == 0
    assert run("split", "-", "shards", input=data).exit_code == 0
    assert run("preview", "-", "coarse.npy", "--coefficients", "8", input=data).exit_code == 0
    bad = run("info", "-", input=b"no archive")
    assert bad.exit_code == 20
    assert bad.stderr.startswith("velcodec: error: standard input: ")
    assert run("cat", "-", "-", "twice.vlat", input=data).exit_code == 2


def test_archives_go_down_pipes(run: Run, data: bytes) -> None:
    some = run("subset", "a.vlat", "-", "--models", "::4")
    assert some.exit_code == 0
    assert keys_of(some.stdout_bytes) == ["m0", "m4", "m8"]
    assert "3 models" in some.stderr
    assert run("cat", "a.vlat", "-").stdout_bytes == data
    result = run("decompress", "-", "piped.npy", input=some.stdout_bytes)
    assert result.stdout.startswith("piped.npy: 3 x 9 x 14")
    with velcodec.open(data) as archive:
        assert np.allclose(np.load("piped.npy"), archive[::4])


def test_a_pipe_without_a_target_is_a_usage_error(run: Run, data: bytes) -> None:
    for command in (["decompress", "-"], ["preview", "-", "--bytes", "20"]):
        result = run(*command, input=data)
        assert result.exit_code == 2
        assert "expected a target" in result.stderr
    assert run("decompress", "a.vlat", "--count", "3").exit_code == 2


def test_models_go_down_pipes(run: Run, data: bytes) -> None:
    shown = run("decompress", "a.vlat", "-")
    assert shown.exit_code == 0
    Path("out.npy").write_bytes(shown.stdout_bytes)
    assert np.load("out.npy").shape == (12, 9, 14)
    assert "12 x 9 x 14" in shown.stderr
    raw = run("decompress", "-", "-", "--format", "raw", input=data)
    assert np.allclose(
        np.frombuffer(raw.stdout_bytes, "<f4").reshape(12, 9, 14), np.load("out.npy")
    )
    for count in (["--count", "12"], []):
        piped = run("decompress", "-", "-", *count, input=data)
        assert piped.exit_code == 0
        Path("piped.npy").write_bytes(piped.stdout_bytes)
        assert np.allclose(np.load("piped.npy"), np.load("out.npy"))
    assert run("decompress", "a.vlat", "-", "--format", "hdf5").exit_code == 2


def test_compress_reads_a_pipe(run: Run, compress: Run) -> None:
    models = layered(3, 9, 14)
    np.save("in.npy", models)
    piped = compress("-", "-", "--lossless", input=Path("in.npy").read_bytes())
    assert piped.exit_code == 0, piped.stderr
    with velcodec.open(piped.stdout_bytes) as archive:
        assert np.array_equal(archive[:], models)
    more = Path("in.npy").read_bytes()
    Path("a.vlat").write_bytes(piped.stdout_bytes)
    result = run("append", "-", "a.vlat", "--decoder", "tiny", "--lossless", input=more)
    assert result.exit_code == 0, result.stderr
    with velcodec.open("a.vlat") as archive:
        assert len(archive) == 6
    assert compress("-", "b.vlat", "--dask", "local", input=more).exit_code == 2
    raw = compress("-", "c.vlat", "--lossless", "--shape", "3x9x14", input=models.tobytes())
    assert raw.exit_code == 0, raw.stderr
    assert sorted(path.name for path in Path.cwd().iterdir()) == ["a.vlat", "c.vlat", "in.npy"]


# What models come back as


@pytest.fixture
def exact(run: Run, compress: Run) -> np.ndarray:
    """`exact.vlat`, of 7 models of 9 x 14, without loss."""
    models = layered(7, 9, 14)
    np.save("exact.npy", models[:, None])
    assert compress("exact.npy", "exact.vlat", "--lossless", "--dx", "20").exit_code == 0
    return models


@pytest.mark.parametrize("name", ["m.npy", "m.npz", "m.h5", "m.nc", "m.zarr", "m.rsf", "m.bin"])
def test_decompress_writes_the_format_that_the_name_tells(
    run: Run, exact: np.ndarray, name: str
) -> None:
    assert run("decompress", "exact.vlat", name).stdout.startswith(f"{name}: 7 x 1 x 9 x 14")
    hints = {"shape": (7, 1, 9, 14), "dtype": "<f4"} if name == "m.bin" else {}
    (part,) = open_models(name, **hints).parts  # type: ignore[arg-type]
    assert np.array_equal(part.read(0, 7), exact)


def test_decompress_writes_the_format_that_is_named(run: Run, exact: np.ndarray) -> None:
    options = ("--format", "hdf5", "--array", "vp")
    assert run("decompress", "exact.vlat", "models.velocity", *options).exit_code == 0
    (part,) = open_models("models.velocity", format="hdf5", array="vp").parts
    assert np.array_equal(part.read(0, 7), exact)
    assert part.form.ground.dx_m == 20.0
    assert run("decompress", "exact.vlat", "--format", "hdf5").stdout.startswith("exact.h5: ")
    unknown = run("decompress", "exact.vlat", "x", "--format", "tiff")
    assert unknown.exit_code == 2
    assert "npy, npz, hdf5, netcdf, zarr, segy, rsf, raw" in unknown.stderr


def test_decompress_restores_openfwis_layout(run: Run, exact: np.ndarray) -> None:
    result = run("decompress", "exact.vlat", "--per-file", "3")
    assert result.stdout.startswith("exact: 3 files")
    files = sorted(Path("exact").iterdir())
    assert [file.name for file in files] == ["model1.npy", "model2.npy", "model3.npy"]
    assert [np.load(file).shape for file in files] == [(3, 1, 9, 14)] * 2 + [(1, 1, 9, 14)]
    assert np.array_equal(np.concatenate([np.load(file)[:, 0] for file in files]), exact)
    assert run("decompress", "exact.vlat", "all/").stdout.startswith("all: 1 file")
    assert np.load("all/model1.npy").shape == (7, 1, 9, 14)
    h5 = run("decompress", "exact.vlat", "h5/", "--per-file", "4", "--format", "hdf5")
    assert h5.exit_code == 0
    assert sorted(path.name for path in Path("h5").iterdir()) == ["model1.h5", "model2.h5"]


def test_decompress_restores_the_folder_that_was_compressed(run: Run, compress: Run) -> None:
    for name in ("in/model/model2.npy", "in/model/model10.npy"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        np.save(name, layered(2, 9, 14, seed=len(name))[:, None])
    assert compress("in", "in.vlat", "--lossless").exit_code == 0
    Path("empty").mkdir()
    for target in ("out/", "empty"):
        assert run("decompress", "in.vlat", target).exit_code == 0
        for name in ("model/model2.npy", "model/model10.npy"):
            assert (Path(target) / name).read_bytes() == (Path("in") / name).read_bytes()
    assert run("decompress", "in.vlat", "out/", "--force").exit_code == 60


@pytest.mark.parametrize(
    ("source", "name"),
    [("in", "model/model2.npy"), ("in/*", "model/model2.npy"), ("in/model/*.npy", "model2.npy")],
)
def test_a_folder_of_one_file_comes_back_as_it_was(
    run: Run, compress: Run, source: str, name: str
) -> None:
    path = Path("in/model/model2.npy")
    path.parent.mkdir(parents=True)
    np.save(path, layered(2, 9, 14)[:, None])
    assert compress(source, "in.vlat", "--lossless").exit_code == 0
    assert run("decompress", "in.vlat", "out/").exit_code == 0
    (back,) = (found for found in Path("out").rglob("*") if found.is_file())
    assert back == Path("out") / name
    assert back.read_bytes() == path.read_bytes()


def test_a_file_that_is_named_itself_needs_no_name_in_the_archive(compress: Run) -> None:
    np.save("in.npy", layered(2, 9, 14))
    assert compress("in.npy", "in.vlat", "--lossless").exit_code == 0
    with velcodec.open("in.vlat") as archive:
        assert "file" not in archive.fields


def test_some_models_alone_are_decompressed_and_previewed(run: Run, data: bytes) -> None:
    with velcodec.open(data) as archive:
        expected = archive.decode(["m5", "m7"])
    options = ("--models", "4:8", "--family", "salt")
    for source, piped in (("a.vlat", None), ("-", data)):
        result = run("decompress", source, "some.h5", *options, "--force", input=piped)
        assert result.exit_code == 0, result.stderr
        (part,) = open_models("some.h5").parts
        assert part.form.keys == ("m5", "m7")
        assert np.allclose(part.read(0, 2), expected)
        coarse = ("preview", source, "coarse.npy", "--bytes", "30", *options, "--force")
        assert run(*coarse, input=piped).exit_code == 0
        assert np.load("coarse.npy").shape == (2, 9, 14)
    assert run("decompress", "a.vlat", "one.sgy", "--key", "m3").exit_code == 0
    gone = run("decompress", "a.vlat", "none.npy", "--family", "sand")
    assert gone.exit_code == 2
    assert "found none" in gone.stderr
    assert not Path("none.npy").exists()


def test_verify_compares_with_files_of_any_format(run: Run, exact: np.ndarray) -> None:
    for name in ("m.npy", "m.h5", "m.nc", "m.npz", "m.zarr", "m.rsf"):
        assert run("decompress", "exact.vlat", name).exit_code == 0
        found = figures(run("verify", "exact.vlat", "--against", name, "--json"))
        assert found["max_error_m_s"] == 0.0
        assert found["source_sha256_matches"] is (name == "m.npy")
    assert run("decompress", "exact.vlat", "folder/", "--per-file", "3").exit_code == 0
    assert figures(run("verify", "exact.vlat", "--against", "folder", "--json"))["models"] == 7
    assert run("decompress", "exact.vlat", "m.bin").exit_code == 0
    raw = ("--shape", "7x9x14", "--dtype", "<f4")
    found = figures(run("verify", "exact.vlat", "--against", "m.bin", *raw, "--json"))
    assert found["max_error_m_s"] == 0.0
    fewer = run("verify", "exact.vlat", "--against", "folder/model1.npy")
    assert fewer.exit_code == 10
    assert "expected 7 x 9 x 14" in fewer.stderr


def test_verify_against_never_reads_more_than_a_block(
    run: Run, exact: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    from velcodec.formats.files import Models

    asked: list[int] = []
    read = Models.read

    def counted(self: Models, start: int, stop: int) -> Any:
        asked.append(stop - start)
        return read(self, start, stop)

    monkeypatch.setattr(Models, "read", counted)
    monkeypatch.setattr("velcodec.archive.MODELS_AT_ONCE", 2)
    assert run("verify", "exact.vlat", "--against", "exact.npy").exit_code == 0
    assert asked == [2, 2, 2, 1]


def test_info_says_what_fields_hold(run: Run, data: bytes) -> None:
    shown = run("info", "a.vlat").stdout
    for line in (
        "field: family",
        "text, 2 different: flat, salt",
        "number, 0 to 1100",
        "true or false, true for 4",
    ):
        assert line in shown


def test_info_says_what_each_part_of_an_archive_says_of_itself(run: Run, compress: Run) -> None:
    np.save("in.npy", layered(2, 9, 14))
    np.save("more.npy", layered(1, 9, 14, seed=1))
    about = ("--provenance", "drawn", "--licence")
    assert compress("in.npy", "a.vlat", "--lossless", *about, "CC BY").exit_code == 0
    alone = figures(run("info", "a.vlat", "--json"))
    assert alone["source_sha256"] is not None
    more = ("more.npy", "a.vlat", "--decoder", "tiny", "--lossless", *about, "CC0")
    assert run("append", *more).exit_code == 0
    found = figures(run("info", "a.vlat", "--json"))
    assert (found["provenances"], found["licences"]) == (["drawn"], ["CC BY", "CC0"])
    assert found["source_sha256"] is None
    lines = [line.split(maxsplit=1) for line in run("info", "a.vlat").stdout.splitlines()]
    assert ["licence", "CC BY; CC0"] in lines
    assert ["provenance", "drawn"] in lines


def test_evaluate_takes_files_of_every_format_and_archives(
    run: Run, compress: Run, models: np.ndarray
) -> None:
    np.save("in.npy", models.swapaxes(1, 2))
    assert compress("in.npy", "in.vlat", "--lossless", "--order", "xz").exit_code == 0
    for name in ("in.nc", "in.npz"):
        assert run("decompress", "in.vlat", name).exit_code == 0
    assert run("split", "in.vlat", "shards", "--models-per-shard", "2").exit_code == 0
    sources = ["in.npy", "in.nc", "in.npz", "in.vlat", "shards"]
    options = ("--lossless", "--decoder", "tiny", "--device", "cpu", "--json")
    found = []
    for source in sources:
        order = ("--order", "xz") if source in ("in.npy", "in.npz") else ()
        found += figures(run("evaluate", source, *options, *order))["files"]
    assert [one["file"] for one in found] == sources
    assert {one["max_error_m_s"] for one in found} == {0.0}
    assert {one["models"] for one in found} == {3}
    assert abs(found[3]["bytes"] - found[0]["bytes"]) < 64
    assert not list(Path.cwd().glob("velcodec-*"))
