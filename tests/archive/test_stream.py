"""Archives from a pipe are decoded as they arrive, in bounded memory."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from builders import records_apart
from checkers import layered
from rich_archives import rich_archive

import velcodec
from velcodec.decoder import Decoder, read_decoder
from velcodec.decoder.registry import HOME_VARIABLE
from velcodec.encode.description import Description
from velcodec.encode.setup import Coding
from velcodec.encode.target import Target
from velcodec.files.compress import compress_job
from velcodec.files.decompress import (
    Decompression,
    decompress_file,
    decompress_folder,
    decompress_stream,
    open_pipe,
)
from velcodec.files.job import Job
from velcodec.formats.errors import (
    CorruptError,
    MixedShapesError,
    ModelNumberError,
    NotVlatError,
    OptionError,
    ResolutionError,
    TruncatedError,
)
from velcodec.formats.files import open_models


class Pipe(io.RawIOBase):
    """A stream that gives its bytes once, in pieces."""

    def __init__(self, data: bytes, at_once: int = 1000) -> None:
        self._data, self._at, self._at_once = data, 0, at_once

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False

    def readinto(self, buffer) -> int:  # type: ignore[no-untyped-def]
        part = self._data[self._at : self._at + min(len(buffer), self._at_once)]
        buffer[: len(part)] = part
        self._at += len(part)
        return len(part)

    @property
    def taken(self) -> int:
        return self._at


def pipe(data: bytes, at_once: int = 1000) -> io.BufferedReader:
    return io.BufferedReader(Pipe(data, at_once))


@pytest.fixture
def data(tiny: Decoder) -> bytes:
    return rich_archive(tiny)


@pytest.fixture
def mixed(tiny: Decoder) -> bytes:
    """Two models of 9 x 14 and one of 8 x 8, lossless."""
    stream = io.BytesIO()
    with velcodec.create(stream, lossless=True, decoder="tiny") as writer:
        writer.add(layered(2, 9, 14))
        writer.add(layered(1, 8, 8))
    return stream.getvalue()


def test_a_stream_gives_the_models_of_an_open_archive_in_order(data: bytes) -> None:
    with velcodec.open(data) as archive, velcodec.stream(pipe(data)) as streamed:
        for before, after in zip(archive, streamed, strict=True):
            assert np.allclose(before, after)
        assert len(streamed) == 12


def test_models_are_decoded_before_the_stream_ends(tiny: Decoder) -> None:
    data = rich_archive(tiny, 1000)
    raw = Pipe(data)
    blocks = velcodec.stream(io.BufferedReader(raw)).blocks(2000)  # one model at once
    assert next(blocks) == range(1)
    assert raw.taken < len(data) / 4


def test_at_most_one_block_of_records_is_kept(data: bytes) -> None:
    streamed = velcodec.stream(pipe(data))
    for block in streamed.blocks(2000):
        assert len(streamed._reader._records) <= len(block) + 1


def test_models_of_several_shapes_form_separate_blocks(mixed: bytes) -> None:
    streamed = velcodec.stream(pipe(mixed))
    found = [streamed.decode(block).shape for block in streamed.blocks()]
    assert found == [(2, 9, 14), (1, 8, 8)]


def test_a_model_that_has_passed_is_an_error(data: bytes) -> None:
    streamed = velcodec.stream(pipe(data))
    for _ in streamed.blocks():
        pass
    with pytest.raises(ModelNumberError, match=r"model 0: .* read once, in order"):
        streamed.decode(0)


@pytest.mark.parametrize("what", ["fields", "keys", "quality"])
def test_keys_fields_and_quality_are_unknown(data: bytes, what: str) -> None:
    with pytest.raises(OptionError, match="are at its end"):
        getattr(velcodec.stream(pipe(data)), what)


def test_an_embedded_decoder_suffices_for_a_stream(
    other: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = rich_archive(read_decoder(other), 3, embedded=other.read_bytes())
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "nowhere"))
    assert len(list(velcodec.stream(pipe(data)))) == 3


def test_a_damaged_stream_raises_after_its_intact_models(data: bytes, tmp_path: Path) -> None:
    with records_apart():
        velcodec.cat([data], tmp_path / "apart.vlat")
    data = (tmp_path / "apart.vlat").read_bytes()
    with velcodec.open(data) as archive:
        at = data.index(archive.reader.payload(6))
    altered = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
    for bad, error in ((data[: at + 3], TruncatedError), (altered, CorruptError)):
        come: list[range] = []
        with pytest.raises(error):
            come.extend(velcodec.stream(pipe(bad)).blocks(2000))
        assert [block.stop for block in come] == [1, 2, 3, 4, 5]
    with pytest.raises(TruncatedError):
        list(velcodec.stream(pipe(data[:-4])))
    with pytest.raises(NotVlatError):
        velcodec.stream(pipe(b"no archive at all"))


# To files


def decompressed(
    data: bytes, target: Path, how: Decompression | None = None, *, folder: bool = False
) -> None:
    how = how or Decompression()
    with open_pipe(pipe(data), target, how, folder=folder) as archive:
        if folder:
            decompress_folder(archive, target, how)
        else:
            decompress_file(archive, target, how)


@pytest.mark.parametrize("name", ["m.npy", "m.bin", "m.npz", "m.h5", "m.nc", "m.zarr", "m.rsf"])
def test_a_pipe_becomes_a_file_of_any_format(name: str, tmp_path: Path, tiny: Decoder) -> None:
    models = layered(5, 9, 14)
    stream = io.BytesIO()
    with velcodec.create(stream, lossless=True, decoder="tiny") as writer:
        writer.add(models)
    decompressed(stream.getvalue(), tmp_path / name)
    hints = {"shape": (5, 9, 14), "dtype": "<f4"} if name == "m.bin" else {}
    (part,) = open_models(tmp_path / name, **hints).parts  # type: ignore[arg-type]
    assert np.array_equal(part.read(0, 5), models)


def test_a_pipe_gives_the_same_file_as_the_archive(data: bytes, tmp_path: Path) -> None:
    decompressed(data, tmp_path / "piped.npy", Decompression(res=(18, 28)))
    with velcodec.open(data) as archive:
        decompress_file(archive, tmp_path / "opened.npy", Decompression(res=(18, 28)))
    piped, opened = np.load(tmp_path / "piped.npy"), np.load(tmp_path / "opened.npy")
    assert piped.shape == (12, 18, 28)
    assert np.allclose(piped, opened)


def test_a_pipe_becomes_the_folder_that_was_compressed(tmp_path: Path, tiny: Decoder) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    np.save(folder / "a.npy", layered(3, 9, 14))
    np.save(folder / "b.npy", layered(2, 9, 14))
    job = Job(open_models(folder), Description(), Coding(Target(lossless=True), decoder="tiny"))
    stream = io.BytesIO()
    compress_job(job, stream)  # type: ignore[arg-type]
    decompressed(stream.getvalue(), tmp_path / "out", folder=True)
    for name in ("a.npy", "b.npy"):
        assert (tmp_path / "out" / name).read_bytes() == (folder / name).read_bytes()


def test_pipe_to_pipe_needs_the_number_of_models(data: bytes) -> None:
    out = io.BytesIO()
    streamed = velcodec.stream(pipe(data))
    assert decompress_stream(streamed, out, count=12) == (12, 9, 14)
    assert np.load(io.BytesIO(out.getvalue())).shape == (12, 9, 14)
    for wrong, said in ((11, "more than the 11"), (13, "found 12 models, 13 were announced")):
        with pytest.raises(OptionError, match=said):
            decompress_stream(velcodec.stream(pipe(data)), io.BytesIO(), count=wrong)


def test_raw_samples_stream_from_pipe_to_pipe(data: bytes) -> None:
    out = io.BytesIO()
    decompress_stream(velcodec.stream(pipe(data)), out, Decompression(format="raw"))
    assert len(out.getvalue()) == 12 * 9 * 14 * 4
    with pytest.raises(OptionError, match="cannot be written to a stream"):
        decompress_stream(velcodec.stream(pipe(data)), out, Decompression(format="hdf5"))


def test_models_that_do_not_stack_leave_no_file(mixed: bytes, tmp_path: Path) -> None:
    with pytest.raises(MixedShapesError):
        decompressed(mixed, tmp_path / "m.npy")
    assert list(tmp_path.iterdir()) == []


def test_too_many_samples_from_a_pipe_need_confirmation(data: bytes, tmp_path: Path) -> None:
    with pytest.raises(ResolutionError):
        decompressed(data, tmp_path / "m.npy", Decompression(res=10_000))
    assert list(tmp_path.iterdir()) == []
