"""`ls`, `info`, `cat`, `subset` and `split`, which decode nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from checkers import figures, keys_of, layered
from click.testing import Result
from rich_archives import rich_archive

import velcodec
from velcodec.decoder import Decoder
from velcodec.formats.container.reader import VlatReader
from velcodec.formats.container.writer import VlatWriter

Run = Callable[..., Result]


# ls, info


def test_ls_prints_a_line_for_each_model(run: Run, data: bytes) -> None:
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


def test_ls_shows_the_first_of_many_models_by_default(run: Run, data: bytes) -> None:
    lines = run("ls", "a.vlat", "--head", "5").stdout.splitlines()
    assert len(lines) == 7
    assert lines[-1] == "7 more: --all shows them"
    assert len(run("ls", "a.vlat", "--head", "5", "--all").stdout.splitlines()) == 13
    assert run("ls", "a.vlat", "--family", "sand").stdout == "no model\n"


def test_ls_as_json_lists_all_models_by_default(run: Run) -> None:
    Path("b.vlat").write_bytes(
        velcodec.compress(layered(120, 12, 10), lossless=True, decoder="tiny", device="cpu")
    )
    assert run("ls", "b.vlat").stdout.splitlines()[-1] == "20 more: --all shows them"
    for arguments, rows, left_out in (((), 120, 0), (("--head", 50), 50, 70)):
        found = figures(run("ls", "b.vlat", "--json", *arguments))
        assert (len(found["rows"]), found["left_out"]) == (rows, left_out)


def test_ls_of_an_unknown_field_names_the_known_ones(run: Run, data: bytes) -> None:
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


def test_info_summarises_fields(run: Run, data: bytes) -> None:
    shown = run("info", "a.vlat").stdout
    for line in (
        "field: family",
        "text, 2 different: flat, salt",
        "number, 0 to 1100",
        "true or false, true for 4",
    ):
        assert line in shown


def test_info_tells_the_facts_that_options_state(run: Run, compress: Run) -> None:
    np.save("in.npy", layered(2, 9, 14))
    told = {
        "title": "Layers", "creator": "A. Maker", "citation": "Maker (2024)",
        "doi": "10.5281/zenodo.1", "crs": "EPSG:32631", "vertical": "time", "datum": "surface",
    }  # fmt: skip
    given = [word for name, text in told.items() for word in (f"--{name}", text)]
    assert compress("in.npy", "a.vlat", "--lossless", "--dz", "4", *given).exit_code == 0
    found = figures(run("info", "a.vlat", "--json"))
    assert found["facts"] == {name: [text] for name, text in told.items()}
    assert found["software"] == [velcodec.__version__]
    lines = dict(
        line.split(maxsplit=1)
        for line in run("info", "a.vlat").stdout.replace("models: ", "").splitlines()
    )
    assert lines["crs"].startswith("EPSG:32631")
    assert lines["spacing"] == "dx 10 m, dz 4 ms"
    assert lines["grid"] == "9 x 14 (time x distance)"
    assert lines["made"].split() == ["by", "velcodec", velcodec.__version__]


@pytest.mark.parametrize(
    ("option", "expected"),
    [(("--crs", "UTM 31"), "expected AUTHORITY:CODE"), (("--doi", "none"), "expected one such as")],
)
def test_a_fact_that_is_none_is_refused_before_anything_is_written(
    option: tuple[str, str], expected: str, compress: Run
) -> None:
    np.save("in.npy", layered(2, 9, 14))
    refused = compress("in.npy", "a.vlat", "--lossless", *option)
    assert refused.exit_code == 2
    assert refused.stderr.count("\n") == 1
    assert expected in refused.stderr
    assert not Path("a.vlat").exists()


def test_info_shows_every_decoder_provenance_and_licence(run: Run, compress: Run) -> None:
    np.save("in.npy", layered(2, 9, 14))
    np.save("more.npy", layered(1, 9, 14, seed=1))
    about = ("--provenance", "drawn", "--licence")
    assert compress("in.npy", "a.vlat", "--lossless", *about, "CC BY").exit_code == 0
    alone = figures(run("info", "a.vlat", "--json"))
    assert alone["source_sha256"] is not None
    more = ("more.npy", "a.vlat", "--decoder", "tiny", "--lossless", *about, "CC0")
    assert run("append", *more).exit_code == 0
    found = figures(run("info", "a.vlat", "--json"))
    assert (found["provenances"], found["licences"]) == (["drawn"], ["CC BY", "CC0-1.0"])
    assert found["source_sha256"] is None
    lines = [line.split(maxsplit=1) for line in run("info", "a.vlat").stdout.splitlines()]
    assert ["licence", "CC BY (no SPDX identifier that velcodec knows); CC0-1.0"] in lines
    assert ["provenance", "drawn"] in lines


# cat, subset, split


def test_cat_merges_and_reports_what_it_wrote(run: Run, data: bytes, tiny: Decoder) -> None:
    Path("b.vlat").write_bytes(rich_archive(tiny, 3, seed=1, keys=["x", "m1", "y"]))
    result = run("cat", "a.vlat", "b.vlat", "both.vlat")
    assert result.exit_code == 2
    assert "b.vlat: model 1: key 'm1': found it twice" in result.stderr
    assert not Path("both.vlat").exists()
    found = figures(run("cat", "a.vlat", "b.vlat", "both.vlat", "--keys", "first", "--json"))
    assert (found["models"], found["left_out"]) == (14, 1)
    assert found["bytes"] == Path("both.vlat").stat().st_size
    shown = run("cat", "a.vlat", "b.vlat", "both.vlat", "--keys", "prefix", "--force").stdout
    assert shown.startswith("both.vlat: 15 models in ")
    assert keys_of("both.vlat")[-3:] == ["b/x", "b/m1", "b/y"]


def test_subset_selects_by_every_option(run: Run, data: bytes) -> None:
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


def test_subset_without_a_selection_is_a_usage_error(run: Run, data: bytes) -> None:
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


# a last index that is damaged


def test_commands_that_would_lose_models_behind_a_damaged_index_refuse(run: Run) -> None:
    models = layered(6, 9, 8)
    np.save("one.npy", models[:1])
    np.save("more.npy", models[1:])
    coding = ("--lossless", "--decoder", "tiny")
    assert run("compress", "one.npy", "a.vlat", *coding).exit_code == 0
    assert run("append", "more.npy", "a.vlat", *coding).exit_code == 0
    data = bytearray(Path("a.vlat").read_bytes())
    data[-20] ^= 1
    Path("a.vlat").write_bytes(data)
    for command in (
        ("append", "one.npy", "a.vlat", *coding),
        ("cat", "a.vlat", "b.vlat"),
        ("subset", "a.vlat", "b.vlat", "--models", "0"),
        ("split", "a.vlat", "shards"),
        ("verify", "a.vlat"),
    ):
        result = run(*command)
        assert result.exit_code == 24, command
        assert "a.vlat: end: found 5 intact models" in result.stderr
        assert "every checksum holds" not in result.stdout
        assert Path("a.vlat").read_bytes() == data
    assert not Path("b.vlat").exists()
    assert run("repair", "a.vlat", "whole.vlat").exit_code == 4  # nothing says there were no more
    assert len(velcodec.open("whole.vlat")) == 6
    assert run("cat", "a.vlat", "b.vlat", "--ignore-rest").exit_code == 0
    assert run("subset", "a.vlat", "c.vlat", "--models", "0", "--ignore-rest").exit_code == 0
    assert run("split", "a.vlat", "shards", "--ignore-rest").exit_code == 0
    assert run("append", "one.npy", "a.vlat", *coding, "--ignore-rest").exit_code == 0
    assert len(velcodec.open("a.vlat")) == 2


# what holds no model, and fields that mean something


@pytest.mark.parametrize("target", ["x.npy", "x.npz", "x.zarr", "x/", "-"])
def test_an_empty_archive_is_refused_by_commands_that_need_models(
    run: Run, tiny: Decoder, target: str
) -> None:
    data = rich_archive(tiny)
    with VlatReader(data) as reader, Path("none.vlat").open("wb") as stream:
        VlatWriter(stream, reader.header).close()
    result = run("decompress", "none.vlat", target)
    assert result.exit_code == 2
    assert "models: found none in the archive, expected one at least" in result.stderr
    assert [path.name for path in Path.cwd().iterdir() if path.name.startswith("x")] == []
    assert run("ls", "none.vlat").stdout == "no model\n"


def test_a_numeric_file_field_names_a_file(run: Run, compress: Run) -> None:
    np.save("in.npy", layered(3, 9, 8))
    assert compress("in.npy", "a.vlat", "--lossless", "--field", "file=3").exit_code == 0
    result = run("decompress", "a.vlat", "out/")
    assert result.exit_code == 2
    assert "3: the name tells no format; name it with --format" in result.stderr
    assert run("decompress", "a.vlat", "out/", "--format", "npy").exit_code == 0
    assert np.array_equal(np.load("out/3.npy"), layered(3, 9, 8))


# what files say reaches the terminal as text

ODD = "\x1b[31m\x9b2J\u202e\x07\r\nred"
SHOWN = r"\x1b[31m\x9b2J\u202e\x07\r\nred"


@pytest.fixture(scope="module")
def odd_bytes(tiny_home: Path) -> bytes:
    """An archive with terminal control characters in every text."""
    return velcodec.compress(
        layered(2, 9, 8),
        lossless=True,
        decoder=tiny_home / "decoders" / "tiny.safetensors",
        device="cpu",
        keys=[ODD, f"{ODD}2"],
        provenance=ODD,
        licence=ODD,
        user={ODD: ODD},
        fields={ODD: 3, "family": ODD},
    )


@pytest.fixture
def odd(run: Run, odd_bytes: bytes) -> str:
    """The name of that archive, with control characters too."""
    Path(f"{ODD}.vlat").write_bytes(odd_bytes)
    return f"{ODD}.vlat"


@pytest.mark.parametrize(
    "command",
    [
        ("info", "--keys"),
        ("info", "--keys", "--json"),
        ("ls", "--field", ODD),
        ("ls",),
        ("ls", "--json"),
        ("verify",),
        ("verify", "--json"),
        ("ls", "--key", f"{ODD}3"),
        ("subset", f"{ODD}2.vlat", "--key", ODD),
        ("subset", f"{ODD}3.vlat", "--key", f"{ODD}3"),
        ("cat", f"{ODD}3.vlat"),
        ("split", f"{ODD}4"),
        ("decompress", f"{ODD}.npy"),
        ("decompress", f"{ODD}.what/"),
        ("decompress", f"{ODD}.npy", "--decoder", ODD),
        ("repair", f"{ODD}5.vlat"),
        ("cat", f"{ODD}.vlat", f"{ODD}6.vlat"),
        ("verify", "--against", f"{ODD}.npy"),
    ],
    ids=" ".join,
)
def test_control_characters_in_files_and_names_never_reach_a_terminal(
    run: Run, odd: str, command: tuple[str, ...]
) -> None:
    name, *rest = command
    result = run(name, odd, *rest)
    assert result.exception is None or isinstance(result.exception, SystemExit)
    printed = result.stdout + result.stderr
    assert all(c.isprintable() or c in "\n\t" for c in printed), printed
    assert ODD.rstrip("red") not in printed
    if "--json" in rest:
        assert ODD in str(figures(result).values()) or ODD in json.loads(result.stdout)["archive"]
    else:
        assert SHOWN in printed
