"""Every class of error is raised in the test named after it, with a message of one line.

A message names the file and the place in it (or the option), what was found there and what was
expected. Each test says which words those are.
"""

from __future__ import annotations

import ast
import inspect
import io
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from checkers import layered

import velcodec
from velcodec.cli.failures import message_of
from velcodec.decoder import Decoder
from velcodec.decoder.registry import HOME_VARIABLE
from velcodec.encode.samples import check_samples
from velcodec.encode.target import Target
from velcodec.encode.tiles import ModelSet
from velcodec.files.compress import Coding, compress_job
from velcodec.files.distributed import connected
from velcodec.files.job import Job
from velcodec.formats import errors
from velcodec.formats.container.directory import Directory
from velcodec.formats.container.framing import SIGNATURE, pack_tail
from velcodec.formats.container.reader import VlatReader
from velcodec.formats.container.sections import Place, pack_section
from velcodec.formats.container.writer import VlatWriter
from velcodec.formats.files import open_models

MODELS = layered(2, 9, 8)
SOURCES = Path(velcodec.__file__).parent


@contextmanager
def refuses(kind: type[errors.VelcodecError], *words: str) -> Iterator[None]:
    """Check that the block raises exactly this class, with the words in order in one line."""
    with pytest.raises(errors.VelcodecError) as caught:
        yield
    assert type(caught.value) is kind
    message = message_of(caught.value)
    assert len(message.splitlines()) == 1
    assert re.search(".*".join(re.escape(word) for word in words), message), message


@pytest.fixture
def data(tiny: Decoder) -> bytes:
    """An archive of two models, bit for bit."""
    return velcodec.compress(MODELS, decoder=tiny, lossless=True)


@pytest.fixture
def path(tmp_path: Path, data: bytes) -> Path:
    (tmp_path / "a.vlat").write_bytes(data)
    return tmp_path / "a.vlat"


def read(path: Path) -> np.ndarray:
    return velcodec.decompress(path)


def test_volume_error() -> None:
    volume = np.full((4, 5, 6), 2000.0)
    archive = velcodec.open(velcodec.compress(volume, volume=True, lossless=True))
    with archive, refuses(errors.VolumeError, "model 0: a volume", "decoded to arrays"):
        archive.decode(0, device="cpu")


def test_option_error(tiny: Decoder) -> None:
    with refuses(errors.OptionError, "psnr: ", "expected 0 to 100 dB", "found -1"):
        velcodec.compress(MODELS, decoder=tiny, psnr=-1.0)


def test_input_shape_error(tmp_path: Path) -> None:
    np.save(tmp_path / "m.npy", np.ones(5))
    with refuses(errors.InputShapeError, "m.npy: shape", "found (5,)", "expected"):
        velcodec.compress(tmp_path / "m.npy")


def test_input_dtype_error(tmp_path: Path) -> None:
    np.save(tmp_path / "m.npy", np.ones((5, 5), dtype=complex))
    with refuses(errors.InputDtypeError, "m.npy: dtype", "found complex128", "expected float32"):
        velcodec.compress(tmp_path / "m.npy")


def test_empty_input_error(tmp_path: Path) -> None:
    np.save(tmp_path / "m.npy", np.ones((0, 5, 5)))
    with refuses(errors.EmptyInputError, "m.npy: shape", "found (0, 5, 5)", "expected"):
        velcodec.compress(tmp_path / "m.npy")


def test_non_finite_error(tmp_path: Path) -> None:
    models = MODELS.copy()
    models[1, 2, 3] = np.nan
    np.save(tmp_path / "m.npy", models)
    words = ("m.npy: ", "found nan at index (1, 2, 3)", "expected finite")
    with refuses(errors.NonFiniteError, *words):
        velcodec.compress(tmp_path / "m.npy")


def test_no_data_error(tmp_path: Path) -> None:
    models = MODELS.copy()
    models[1, 2, 3:5] = -9999.0
    np.save(tmp_path / "m.npy", models)
    words = ("m.npy: ", "found -9999.0 at index (1, 2, 3)", "2 of 144 samples", "expected")
    with refuses(errors.NoDataError, *words):
        velcodec.compress(tmp_path / "m.npy")


def test_input_file_error(tmp_path: Path) -> None:
    (tmp_path / "m.npy").write_bytes(b"nothing of the kind")
    with refuses(errors.InputFileError, "m.npy: ", "found b'nothin'", "expected a .npy file"):
        velcodec.compress(tmp_path / "m.npy")


def test_units_error(tmp_path: Path) -> None:
    np.save(tmp_path / "m.npy", MODELS / 1000)
    words = ("m.npy: model 0: ", "found values from ", "expected velocities in m/s", "--units km/s")
    with refuses(errors.UnitsError, *words):
        velcodec.compress(tmp_path / "m.npy")


def test_changed_file_error(data: bytes) -> None:
    memory = pytest.importorskip("fsspec").filesystem("memory")
    memory.pipe("/changed.vlat", data + bytes(1 << 17))
    with velcodec.open("memory://changed.vlat") as archive:
        memory.pipe("/changed.vlat", data)
        words = ("changed.vlat: ", "replaced", "found ", "expected ")
        with refuses(errors.ChangedFileError, *words):
            archive._reader._source.read_at(1 << 13, 9, "record 0")
    memory.rm("/changed.vlat")


def test_not_vlat_error(path: Path) -> None:
    path.write_bytes(b"\x89PNG\r\n\x1a\n and so on")
    with refuses(errors.NotVlatError, "a.vlat: signature: ", "found b'\\x89PNG", "expected"):
        read(path)


def test_truncated_error(path: Path, data: bytes) -> None:
    path.write_bytes(data[:-3])
    with refuses(errors.TruncatedError, "a.vlat: end signature: ", "found b'", "expected b'"):
        read(path)


def test_corrupt_error(path: Path, data: bytes) -> None:
    middle = len(data) // 2
    path.write_bytes(data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :])
    with refuses(errors.CorruptError, "a.vlat: records 0 to 1: checksum ", "found ", "expected "):
        read(path)


def test_version_error(path: Path, data: bytes) -> None:
    path.write_bytes(SIGNATURE + b"\x63" + data[len(SIGNATURE) + 1 :])
    with refuses(errors.VersionError, "a.vlat: format version: ", "found 99", "expected 1"):
        read(path)


def test_damaged_end_error(path: Path) -> None:
    with velcodec.append(path, lossless=True) as archive:
        archive.add(MODELS)
    data = bytearray(path.read_bytes())
    data[-20] ^= 1
    path.write_bytes(data)
    with refuses(errors.DamagedEndError, "a.vlat: end: ", "found 2 intact models", "repair"):
        velcodec.cat([path], path.with_name("b.vlat"))


def test_unknown_feature_error(path: Path, data: bytes) -> None:
    """A critical section of unknown type, as a later version may write."""
    section, old = (
        pack_section(b"Q", b"what comes", VlatReader(data).stamp),
        VlatReader(data).directory,
    )
    place = Place(len(data), len(section))
    directory = Directory(old.headers, old.pages, old.decoders, ((b"Q", place),))
    body = pack_section(b"L", directory.to_bytes(), VlatReader(data).stamp)
    path.write_bytes(data + section + body + pack_tail(len(body)))
    words = (
        f"a.vlat: section b'Q' at byte {len(data)}: ",
        "found an unknown type",
        "expected a known one",
    )
    with refuses(errors.UnknownFeatureError, *words):
        read(path)


def test_missing_decoder_error(
    tiny: Decoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    latents = velcodec.compress(MODELS, decoder=tiny, latent_only=True, psnr=15.0)
    (tmp_path / "a.vlat").write_bytes(latents)
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path))
    assert tiny.identity is not None
    words = ("a.vlat: ", "decoder 'tiny'", tiny.identity.hex(), "not found", "expected it in ")
    with refuses(errors.MissingDecoderError, *words):
        read(tmp_path / "a.vlat")


def test_decoder_file_error(tmp_path: Path) -> None:
    (tmp_path / "d.safetensors").write_bytes(b"no safetensors")
    with refuses(errors.DecoderFileError, "d.safetensors: ", "found", "expected"):
        velcodec.compress(MODELS, decoder=tmp_path / "d.safetensors")


def test_context_network_error(path: Path, data: bytes) -> None:
    """An archive whose streams need a network of a later version."""
    reader = VlatReader(data)
    assert reader.header.exact is not None
    exact = replace(reader.header.exact, network=9999)
    stream = io.BytesIO()
    writer = VlatWriter(stream, replace(reader.header, exact=exact))
    writer.add_many(list(reader.payloads()))
    writer.close()
    path.write_bytes(stream.getvalue())
    with refuses(errors.ContextNetworkError, "a.vlat: ", "9999", "expected"):
        read(path)


def test_sampler_error(path: Path, data: bytes) -> None:
    """An archive whose samples need a sampler of a later version at other grids."""
    reader = VlatReader(data)
    assert reader.header.exact is not None
    native = velcodec.decompress(data)
    stream = io.BytesIO()
    exact = replace(reader.header.exact, sampler=99)
    writer = VlatWriter(stream, replace(reader.header, exact=exact))
    writer.add_many(list(reader.payloads()))
    writer.close()
    path.write_bytes(stream.getvalue())
    words = "found number 99", "expected 1 to ", "native grid can be decoded"
    with refuses(errors.SamplerError, "sampler", *words):
        velcodec.decompress(path, 30)
    assert np.array_equal(velcodec.decompress(path), native)


def test_missing_extra_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with (
        refuses(errors.MissingExtraError, "distributed", "not installed", "velcodec[dask]"),
        connected("local"),
    ):
        pass


def test_resolution_error(path: Path) -> None:
    with refuses(errors.ResolutionError, "--res: ", "found 0x0", "expected at least 1"):
        velcodec.decompress(path, 0)


def test_points_outside_error(tiny: Decoder, tmp_path: Path) -> None:
    latents = velcodec.compress(MODELS, decoder=tiny, latent_only=True, psnr=15.0)
    words = ("point 1 at (x, z) = (5000, 5) m", "expected x in [-5, 75] and z in [-5, 85]")
    with velcodec.open(latents) as archive, refuses(errors.PointsOutsideError, *words):
        archive.sample(0, [[5.0, 5.0], [5000.0, 5.0]])


def test_mixed_shapes_error(tiny: Decoder) -> None:
    mixed = [MODELS[0], MODELS[1, :5]]
    data = velcodec.compress(mixed, decoder=tiny, lossless=True)
    with refuses(errors.MixedShapesError, "models of different kinds", "found 5x8", "9x8"):
        velcodec.decompress(data)


def test_key_not_found_error(path: Path) -> None:
    with (
        velcodec.open(path) as archive,
        refuses(errors.KeyNotFoundError, "a.vlat: key: ", "'north'"),
    ):
        archive["north"]


def test_model_number_error(path: Path) -> None:
    with (
        velcodec.open(path) as archive,
        refuses(errors.ModelNumberError, "a.vlat: model: ", "found number 7", "expected one of 2"),
    ):
        archive[7]


def test_budget_error(tiny: Decoder) -> None:
    words = ("budget of 1 bytes per model", "least possible", "bytes per model")
    with refuses(errors.BudgetError, *words):
        velcodec.compress(MODELS, decoder=tiny, bytes_per_model=1.0, latent_only=True)


def test_quality_error(tiny: Decoder) -> None:
    words = ("model ", "the best of its latents is ", "expected 90 dB", "--latent-only")
    with refuses(errors.QualityError, *words):
        velcodec.compress(MODELS[:1], decoder=tiny, latent_only=True, psnr=90.0)


def test_verification_error() -> None:
    source = ModelSet(list(MODELS), "m/s")
    words = ("model north: ", "found an error of 30 m/s", "expected at most 20")
    with refuses(errors.VerificationError, *words):
        check_samples(source, 1, "north", MODELS[1] + np.float32(30.0), 20.0)


def test_output_exists_error(path: Path) -> None:
    with refuses(errors.OutputExistsError, "a.vlat: ", "exists already", "--force"), \
            velcodec.create(path):  # fmt: skip
        pass


def test_output_path_error(tmp_path: Path) -> None:
    with (
        refuses(errors.OutputPathError, "none/a.vlat: folder ", "none does not exist"),
        velcodec.create(tmp_path / "none" / "a.vlat"),
    ):
        pass


def test_locked_error(path: Path) -> None:
    with (
        velcodec.append(path, lossless=True),
        refuses(errors.LockedError, "a.vlat: ", "another process is adding to it"),
        velcodec.append(path, lossless=True),
    ):
        pass


def test_interrupted_job_error(tmp_path: Path, tiny: Decoder) -> None:
    np.save(tmp_path / "m.npy", MODELS)
    job = Job(open_models(tmp_path / "m.npy"), coding=Coding(Target(lossless=True), decoder=tiny))

    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    with refuses(errors.InterruptedJobError, "interrupted: ", "none of 2 models was finished"):
        compress_job(job, tmp_path / "a.vlat", on_progress=stop)


def test_worker_error() -> None:
    with (
        refuses(errors.WorkerError, "not an address: ", "no scheduler answers"),
        connected("not an address"),
    ):
        pass


def test_repair_error(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with refuses(errors.RepairError, f"{tmp_path / 'empty'}: ", "found no manifest and no shard"):
        velcodec.repair(tmp_path / "empty", tmp_path / "saved.vlat")


def classes() -> list[type[errors.VelcodecError]]:
    found = [errors.VelcodecError]
    for kind in found:
        found.extend(kind.__subclasses__())
    return found[1:]


def test_every_error_class_is_raised_in_the_test_named_after_it() -> None:
    tests = {name: one for name, one in globals().items() if name.startswith("test_")}
    for kind in classes():
        words = re.sub(r"(?<!^)([A-Z])", r"_\1", kind.__name__).lower()
        test = tests[f"test_{words}"]
        assert f"refuses(errors.{kind.__name__}" in inspect.getsource(test)


def raised() -> Iterator[tuple[str, str]]:
    """(class, message) of every velcodec error that the package constructs."""
    names = {kind.__name__ for kind in [errors.VelcodecError, *classes()]}
    for path in _sources():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute):
                name = node.func.id if isinstance(node.func, ast.Name) else node.func.attr
                parts = [part for each in node.args for part in ast.walk(each)]
                texts = [p.value for p in parts if isinstance(p, ast.Constant)]
                if name in names:
                    yield name, "".join(text for text in texts if isinstance(text, str))


def _sources() -> list[Path]:
    """The package's files; `formats` and `cli` may be links to folders."""
    found = list(SOURCES.rglob("*.py"))
    for linked in ("formats", "cli"):
        found += (SOURCES / linked).resolve().rglob("*.py")
    return sorted({path.resolve() for path in found})


def test_every_error_class_is_raised_somewhere_and_the_base_class_nowhere() -> None:
    assert {name for name, _ in raised()} == {kind.__name__ for kind in classes()}


def test_no_message_has_a_second_line() -> None:
    texts = [text for _, text in raised()]
    assert len(texts) > 300
    assert not [text for text in texts if "\n" in text]
