"""Bad input: one line that names file and problem, an exit code, no partial output."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from latent_archives import latent_archive

from velcodec.decoder import Decoder
from velcodec.formats import errors
from velcodec.formats.container.header import Layout

Run = Callable[..., Result]


def assert_refused(result: Result, kind: type[errors.VelcodecError], *said: str) -> None:
    """Check for the error's exit code and one line that contains all of `said`."""
    assert result.exit_code == kind.exit_code, result.stderr
    assert result.stderr.startswith("velcodec: error: ")
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""
    for words in said:
        assert words in result.stderr


def files() -> set[str]:
    """Names of all files in the folder of the test, hidden ones too."""
    return {path.name for path in Path.cwd().iterdir()}


GRID = np.full((20, 24), 2000.0)

BAD_SHAPES = {
    "one axis": (GRID[0], "(24,)"),
    "no axis": (GRID[0, 0], "()"),
    "five axes": (GRID[None, None, None], "(1, 1, 1, 20, 24)"),
    "two channels": (np.stack([GRID, GRID])[None], "(1, 2, 20, 24)"),
}


@pytest.mark.parametrize("case", BAD_SHAPES)
def test_a_wrong_shape_is_refused(compress: Run, case: str) -> None:
    array, said = BAD_SHAPES[case]
    np.save("in.npy", array)
    assert_refused(compress("in.npy", "out.vlat"), errors.InputShapeError, "in.npy", said)
    assert files() == {"in.npy"}


def test_a_three_dimensional_model_is_refused_as_such(compress: Run) -> None:
    np.save("in.npy", np.full((2, 20, 20, 20), 2000.0))
    result = compress("in.npy", "out.vlat")
    assert_refused(result, errors.InputShapeError, "in.npy", "3-D", "(2, 20, 20, 20)")


@pytest.mark.parametrize("dtype", ["float16", "complex64", "bool", "|S8"])
def test_a_wrong_dtype_is_refused(compress: Run, dtype: str) -> None:
    np.save("in.npy", GRID.astype(dtype))
    assert_refused(compress("in.npy", "out.vlat"), errors.InputDtypeError, "in.npy", dtype)
    assert files() == {"in.npy"}


def test_pickled_objects_are_refused_unopened(compress: Run) -> None:
    np.save("in.npy", np.array([[object()]]), allow_pickle=True)
    assert_refused(compress("in.npy", "out.vlat"), errors.InputDtypeError, "in.npy", "object")


@pytest.mark.parametrize("shape", [(0, 20, 24), (3, 0, 24), (0, 1, 70, 70), (20, 0)])
def test_an_empty_array_is_refused(compress: Run, shape: tuple[int, ...]) -> None:
    np.save("in.npy", np.zeros(shape))
    assert_refused(compress("in.npy", "out.vlat"), errors.EmptyInputError, "in.npy", str(shape))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf], ids=str)
def test_a_value_that_is_not_finite_is_refused_naming_its_position(
    compress: Run, models: np.ndarray, value: float
) -> None:
    bad = models[:, None].copy()
    bad[1, 0, 5, 7] = value
    np.save("in.npy", bad)
    result = compress("in.npy", "out.vlat")
    assert_refused(result, errors.NonFiniteError, "in.npy", "(1, 0, 5, 7)", str(value))
    assert files() == {"in.npy"}


def test_a_file_that_is_not_npy_is_refused(compress: Run) -> None:
    Path("in.npy").write_text("velocities\n")
    assert_refused(compress("in.npy", "out.vlat"), errors.InputFileError, "in.npy")


def test_a_truncated_npy_file_is_refused(compress: Run, models: np.ndarray) -> None:
    np.save("in.npy", models)
    os.truncate("in.npy", 500)
    assert_refused(compress("in.npy", "out.vlat"), errors.InputFileError, "in.npy")


def test_a_missing_input_is_named(compress: Run) -> None:
    result = compress("nowhere.npy", "out.vlat")
    assert_refused(result, errors.InputFileError, "velcodec: error: nowhere.npy: ")
    assert files() == set()


def test_an_impossible_budget_is_refused_naming_the_minimum(
    compress: Run, models: np.ndarray
) -> None:
    np.save("in.npy", models[0])
    result = compress("in.npy", "out.vlat", "--bytes-per-model", 64)
    assert_refused(result, errors.BudgetError, "in.npy", "64")
    least = [int(word) for word in result.stderr.replace(",", "").split() if word.isdecimal()]
    assert max(least) > 64
    assert files() == {"in.npy"}


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--bytes-per-model", "0"),
        ("--bytes-per-model", "nan"),
        ("--dx", "0"),
        ("--dx", "-10"),
        ("--dz", "nan"),
        ("--dz", "inf"),
        ("--origin", "0,inf"),
        ("--origin", "5"),
        ("--device", "gpu"),
        ("--device", "cuda:99"),
        ("--threads", "0"),
        ("--units", "ft/s"),
        ("--order", "yx"),
    ],
)
def test_an_option_out_of_range_is_refused(
    compress: Run, models: np.ndarray, option: str, value: str
) -> None:
    np.save("in.npy", models)
    result = compress("in.npy", "out.vlat", option, value)
    assert_refused(result, errors.OptionError, value.split(",")[-1])
    assert files() == {"in.npy"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--keep-latent --latent-only", "--keep-latent and --latent-only: expected one of them"),
        ("--psnr 30 --lossless", "--psnr and --lossless: expected one of them"),
        ("--latent-only --max-error 5", "--latent-only: expected it without --max-error and"),
        (
            "--keep-latent --bytes-per-model 90",
            "--keep-latent: expected it without --bytes-per-model",
        ),
        ("--max-error -1", "--max-error: expected more than 0 m/s, found -1"),
        ("--dx -1", "--dx: expected a positive number of metres"),
        ("--device gpu", "--device: expected auto, cpu, cuda or cuda:N, found 'gpu'"),
        ("--crs somewhere", "--crs: found 'somewhere', expected AUTHORITY:CODE"),
        ("--crs EPSG:4326", "--crs: found 'EPSG:4326', which is in degrees"),
        ("--doi nowhere", "--doi: found 'nowhere', expected one such as 10."),
        (f"--title {'x' * 40_000}", "--title: found 40,000 bytes, expected at most 32,768"),
        (f"--licence {'x' * 40_000}", "--licence: found 40,000 bytes, expected at most"),
        ("--volume --dy -1", "--dy: expected a positive number of metres, found -1"),
    ],
)
def test_impossible_options_are_named_as_typed_without_a_file(
    compress: Run, models: np.ndarray, arguments: str, message: str
) -> None:
    np.save("in.npy", models)
    result = compress("in.npy", "out.vlat", *arguments.split())
    assert result.exit_code == 2
    assert f"velcodec: error: {message}" in result.stderr
    assert "in.npy" not in result.stderr


@pytest.mark.parametrize("command", ["decompress", "preview"])
def test_a_bad_resolution_is_reported_before_an_existing_output(
    run: Run, archive: Path, command: str
) -> None:
    Path("out.npy").touch()
    options = ("--bytes", 20) if command == "preview" else ()
    result = run(command, archive, "out.npy", "--res", 0, *options)
    assert_refused(result, errors.ResolutionError, "--res: found 0x0")
    assert Path("out.npy").stat().st_size == 0


def test_a_suffix_of_no_format_is_refused(run: Run, archive: Path) -> None:
    before = files()
    for command in (("decompress",), ("preview", "--bytes", 20)):
        result = run(command[0], archive, "out.npc", *command[1:])
        said = "out.npc: suffix .npc: found no format of this name, "
        assert_refused(result, errors.OptionError, said)
    assert files() == before
    assert run("decompress", archive, "out.npc", "--format", "raw").exit_code == 0
    result = run("decompress", archive, "plain")
    assert result.exit_code == 0, result.stderr
    assert ", as npy; " in result.stdout
    assert np.load("plain").ndim > 1


def test_keys_that_do_not_fit_are_refused(compress: Run, models: np.ndarray) -> None:
    np.save("in.npy", models)
    Path("keys.txt").write_text("a\nb\n")
    assert_refused(compress("in.npy", "out.vlat", "--keys", "keys.txt"), errors.OptionError, "2")
    Path("keys.txt").write_text("a\nb\na\n")
    assert_refused(compress("in.npy", "out.vlat", "--keys", "keys.txt"), errors.OptionError, "'a'")
    result = compress("in.npy", "out.vlat", "--keys", "keys.txt", "--key-prefix", "m")
    assert_refused(result, errors.OptionError, "--key-prefix")


def test_an_unreadable_key_file_is_named(
    run: Run, compress: Run, models: np.ndarray, archive_bytes: bytes
) -> None:
    np.save("in.npy", models)
    Path("a.vlat").write_bytes(archive_bytes)
    Path("latin.txt").write_bytes("süd\n".encode("latin-1"))
    for name, said in (("latin.txt", "byte 1: found 0xfc"), ("none.txt", "No such file")):
        for result in (
            compress("in.npy", "out.vlat", "--keys", name),
            run("ls", "a.vlat", "--keys", name),
        ):
            assert_refused(result, errors.InputFileError, f"{name}: {said}")


@pytest.fixture
def archive(run: Run, archive_bytes: bytes) -> Path:
    """`in.vlat`, alone in its folder."""
    Path("in.vlat").write_bytes(archive_bytes)
    return Path("in.vlat")


READERS = [("decompress", "in.vlat", "out.npy"), ("info", "in.vlat"), ("verify", "in.vlat")]


@pytest.mark.parametrize("command", READERS, ids=lambda command: command[0])
def test_a_file_that_is_not_vlat_is_refused(run: Run, command: tuple[str, ...]) -> None:
    Path("in.vlat").write_bytes(b"PK\x03\x04" + bytes(500))
    assert_refused(run(*command), errors.NotVlatError, "in.vlat")
    assert files() == {"in.vlat"}


@pytest.mark.parametrize("command", READERS, ids=lambda command: command[0])
def test_an_empty_file_is_refused(run: Run, command: tuple[str, ...]) -> None:
    Path("in.vlat").touch()
    result = run(*command)
    assert result.exit_code in (errors.NotVlatError.exit_code, errors.TruncatedError.exit_code)
    assert "in.vlat" in result.stderr


@pytest.mark.parametrize("command", READERS, ids=lambda command: command[0])
def test_a_truncated_archive_is_refused(run: Run, archive: Path, command: tuple[str, ...]) -> None:
    os.truncate(archive, archive.stat().st_size * 2 // 3)
    hint = "; velcodec repair may save what is intact\n"
    assert_refused(run(*command), errors.TruncatedError, "in.vlat", hint)
    assert files() == {"in.vlat"}


def test_an_archive_altered_anywhere_is_refused(run: Run, archive: Path) -> None:
    whole = archive.read_bytes()
    kinds = (
        errors.NotVlatError,
        errors.TruncatedError,
        errors.CorruptError,
        errors.VersionError,
    )
    for position in range(0, len(whole), max(1, len(whole) // 40)):
        altered = bytearray(whole)
        altered[position] ^= 0x10
        archive.write_bytes(altered)
        result = run("verify", "in.vlat")
        assert result.exit_code in {kind.exit_code for kind in kinds}, position
        assert "in.vlat" in result.stderr
        assert result.stderr.count("\n") == 1


def test_an_unknown_version_is_refused(run: Run, archive: Path) -> None:
    data = bytearray(archive.read_bytes())
    data[8] = 99
    archive.write_bytes(data)
    assert_refused(run("info", "in.vlat"), errors.VersionError, "in.vlat", "99")


@pytest.fixture
def latents(run: Run, tiny: Decoder) -> Path:
    """An archive that cannot be read without its decoder."""
    Path("in.vlat").write_bytes(latent_archive(tiny, Layout(12, 14)))
    return Path("in.vlat")


def test_a_missing_decoder_is_named_with_its_hash_and_where_to_put_it(
    run: Run, latents: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from velcodec.decoder import registry

    identity = registry.find("tiny").identity
    monkeypatch.setenv("VELCODEC_HOME", str(tmp_path / "nowhere"))
    said = ("in.vlat", identity.hex(), "tiny", str(tmp_path / "nowhere"))
    for command in ("decompress", "verify"):
        assert_refused(run(command, "in.vlat"), errors.MissingDecoderError, *said)
    assert files() == {"in.vlat"}


def test_a_decoder_of_another_hash_is_refused(run: Run, latents: Path) -> None:
    result = run("decompress", "in.vlat", "--decoder", "nowhere.safetensors")
    assert_refused(result, errors.MissingDecoderError, "nowhere.safetensors")


@pytest.mark.parametrize("res", ["0", "0x70", "70x0"])
def test_a_resolution_of_zero_is_refused(run: Run, archive: Path, res: str) -> None:
    result = run("decompress", "in.vlat", "--res", res)
    assert_refused(result, errors.ResolutionError, "--res: found ")
    assert files() == {"in.vlat"}


@pytest.mark.parametrize("res", ["100000", "1x999999999"])
def test_an_excessive_resolution_needs_confirmation(run: Run, archive: Path, res: str) -> None:
    result = run("decompress", "in.vlat", "--res", res)
    assert_refused(result, errors.ResolutionError, "in.vlat", res, "--allow-large")
    assert files() == {"in.vlat"}


@pytest.mark.parametrize("res", ["-5", "70x", "x70", "70.5", "large", "70x70x70"])
def test_a_resolution_that_is_not_a_size_is_refused(run: Run, archive: Path, res: str) -> None:
    assert_refused(run("decompress", "in.vlat", f"--res={res}"), errors.OptionError, res)


def test_an_original_of_another_shape_is_refused(
    run: Run, archive: Path, models: np.ndarray
) -> None:
    np.save("other.npy", models[:2])
    result = run("verify", "in.vlat", "--against", "other.npy")
    assert_refused(result, errors.InputShapeError, "other.npy", "3 x 20 x 24", "2 x 20 x 24")


def test_an_existing_output_needs_force(compress: Run, run: Run, archive: Path) -> None:
    np.save("in.npy", GRID)
    for command in (compress, "in.npy", "out"), (run, "decompress", "in.vlat", "out"):
        Path("out").write_text("old")
        result = command[0](*command[1:])
        assert_refused(result, errors.OutputExistsError, "error: out: ", "--force")
        assert Path("out").read_text() == "old"
        assert files() == {"in.npy", "in.vlat", "out"}
        assert command[0](*command[1:], "--force").exit_code == 0
        assert Path("out").read_bytes() != b"old"


def test_an_output_that_is_the_input_is_refused_even_with_force(
    compress: Run, run: Run, archive: Path
) -> None:
    np.save("in.npy", GRID)
    before = {name: Path(name).read_bytes() for name in files()}
    for command in (compress, "in.npy", "in.npy"), (run, "decompress", "in.vlat", "./in.vlat"):
        result = command[0](*command[1:], "--force")
        assert_refused(result, errors.OptionError, "in.")
    assert {name: Path(name).read_bytes() for name in files()} == before


@pytest.mark.parametrize(
    ("command", "name"),
    [
        (("compress", "in.npy"), "h2.npy"),
        (("compress", "in.npy", "--dask", "local"), "h2.zarr"),
        (("append", "in.npy"), "h2.NC"),
        (("subset", "in.vlat", "--models", "0"), "h2.sgy"),
        (("cat", "in.vlat"), "h2.npz"),
        (("repair", "in.vlat"), "h2.h5"),
    ],
)
def test_a_forgotten_output_never_overwrites_a_file_of_models(
    run: Run, archive: Path, command: tuple[str, ...], name: str
) -> None:
    np.save("in.npy", GRID)
    Path(name).write_text("models")
    result = run(*command, name, *(() if command[0] == "append" else ("--force",)))
    said = f"OUT: found the name of a file of models ({name}), expected that of an archive"
    assert_refused(result, errors.OptionError, said, "was it forgotten?")
    assert Path(name).read_text() == "models"


@pytest.mark.parametrize("target", ["nowhere/out.vlat", "in.npy/out.vlat", "/proc/out.vlat"])
def test_an_output_that_cannot_be_written_is_refused(compress: Run, target: str) -> None:
    np.save("in.npy", GRID)
    assert_refused(compress("in.npy", target), errors.OutputPathError, target)
    assert files() == {"in.npy"}


def test_an_output_that_is_a_folder_is_refused(compress: Run) -> None:
    np.save("in.npy", GRID)
    Path("out.vlat").mkdir()
    assert_refused(compress("in.npy", "out.vlat"), errors.OutputPathError, "out.vlat")
    assert list(Path("out.vlat").iterdir()) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_an_output_folder_that_is_not_writable_is_refused(compress: Run) -> None:
    np.save("in.npy", GRID)
    Path("locked").mkdir(mode=0o500)
    assert_refused(compress("in.npy", "locked/out.vlat"), errors.OutputPathError, "locked")


def test_an_error_while_writing_leaves_no_file(
    compress: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    np.save("in.npy", GRID)
    monkeypatch.setattr("velcodec.formats.container.writer.VlatWriter.end_page", fail)
    result = compress("in.npy", "out.vlat")
    assert result.exit_code == 3
    assert result.stderr == "velcodec: error: out.vlat.part: No space left on device\n"
    assert files() == {"in.npy"}
