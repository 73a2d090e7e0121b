"""A file's claims cost nothing: shapes, headers and keys are bounded before memory is allocated."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import struct
import tracemalloc
import warnings
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zstandard

from velcodec.formats.errors import InputFileError, VelcodecError
from velcodec.formats.files import base, open_models, zarr_store
from velcodec.formats.files.inflation import check_inflation

h5py = pytest.importorskip("h5py")
pytest.importorskip("segyio")
zarr = pytest.importorskip("zarr")
numcodecs = pytest.importorskip("numcodecs")

MOST_MEMORY = 8 << 20
MANY, SIDE = 1 << 40, 60_000


def npy(shape: tuple[int, ...], dtype: str = "<f4", samples: int = 100) -> bytes:
    """A `.npy` file of this shape, with any bytes after its header."""
    head = repr({"descr": dtype, "fortran_order": False, "shape": shape}).encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head + bytes(samples)


def long_header(size: int) -> bytes:
    """A `.npy` file that claims a header of this size."""
    return b"\x93NUMPY\x02\x00" + struct.pack("<I", size)


def npz(**members: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(f"{name}.npy", data)
    return stream.getvalue()


def segy(samples: int) -> bytes:
    """600 bytes of traces that claim this many samples each."""
    data = bytearray(3600 + 600)
    data[3220:3222] = data[3600 + 114 : 3600 + 116] = struct.pack(">H", samples)
    data[3224:3226] = struct.pack(">H", 5)
    return bytes(data)


def rsf(words: str) -> bytes:
    return f'{words} esize=4 data_format="native_float" in="stdin"\n'.encode() + (
        b"\x0c\x0c\x04" + bytes(24)
    )


FILES: dict[str, tuple[str, Callable[[], bytes]]] = {
    "npy: many models": (".npy", lambda: npy((MANY, 70, 70))),
    "npy: a shape that overflows": (".npy", lambda: npy((1 << 62, 1 << 62))),
    "npy: a large model": (".npy", lambda: npy((1, SIDE, SIDE))),
    "npy: a negative size": (".npy", lambda: npy((2, -1, 3))),
    "npy: objects": (".npy", lambda: npy((3, 3), "|O")),
    "npy: a long header": (".npy", lambda: long_header(1 << 31) + b" " * 999),
    "npz: many models": (".npz", lambda: npz(velocity=npy((MANY, 70, 70)))),
    "npz: a header that inflates": (
        ".npz",
        lambda: npz(velocity=long_header(1 << 25) + b" " * (1 << 25)),
    ),
    "npz: samples that inflate": (
        ".npz",
        lambda: npz(velocity=npy((1, 1 << 20, 1 << 20), samples=1 << 25)),
    ),
    "segy: long traces": (".sgy", lambda: segy(65_535)),
    "segy: no samples": (".sgy", lambda: segy(0)),
    "rsf: a long axis": (".rsf", lambda: rsf("n1=1e18 n2=2")),
    "rsf: an axis beyond numbers": (".rsf", lambda: rsf("n1=inf n2=2")),
    "rsf: an axis of no number": (".rsf", lambda: rsf("n1=nan n2=2")),
    "rsf: a large model": (".rsf", lambda: rsf("n1=65536 n2=65536")),
    "rsf: many models": (".rsf", lambda: rsf("n1=3 n2=2 n3=1e15")),
}


def h5_keys(source: Any) -> None:
    source.create_dataset("v", (1 << 20, 2, 2), "f4", chunks=(1024, 2, 2))
    wide = h5py.string_dtype("utf-8", 1000)
    source.create_dataset("keys", (1 << 20,), wide, chunks=(1024,))


STORES: dict[str, tuple[str, Callable[[Any], object]]] = {
    "hdf5: a large model": ("h5", lambda f: f.create_dataset("v", (1, SIDE, SIDE), "f4")),
    "hdf5: a large model in chunks": (
        "h5",
        lambda f: f.create_dataset(
            "v", (1, SIDE, SIDE), "f4", chunks=(1, 100, 100), compression="gzip"
        ),
    ),
    "hdf5: a large chunk": (
        "h5",
        lambda f: f.create_dataset(
            "v", (1 << 20, 100, 100), "f4", chunks=(1 << 15, 100, 100), compression="gzip"
        ),
    ),
    "hdf5: many long keys": ("h5", h5_keys),
    "zarr: a large model": (
        "zarr",
        lambda path: zarr.create_array(
            store=path, shape=(1, SIDE, SIDE), chunks=(1, 100, 100), dtype="f4"
        ),
    ),
    "zarr: a large chunk": (
        "zarr",
        lambda path: zarr.create_array(
            store=path, shape=(1, 10, 10), chunks=(1, 30_000, 30_000), dtype="f4"
        ),
    ),
}


def check(path: Path) -> None:
    """Refused on purpose, in one line, with little memory."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tracemalloc.start()
        try:
            with pytest.raises(VelcodecError) as caught:
                next(open_models(path).read(0, 1))
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert "\n" not in str(caught.value)
    assert peak < MOST_MEMORY


@pytest.mark.parametrize("case", FILES)
def test_a_file_that_claims_too_much_is_refused_with_little_memory(
    case: str, tmp_path: Path
) -> None:
    suffix, made = FILES[case]
    path = tmp_path / f"models{suffix}"
    path.write_bytes(made())
    check(path)


@pytest.mark.parametrize("case", STORES)
def test_a_store_that_claims_too_much_is_refused_with_little_memory(
    case: str, tmp_path: Path
) -> None:
    kind, fill = STORES[case]
    path = tmp_path / f"models.{kind}"
    if kind == "zarr":
        fill(str(path))
    else:
        with h5py.File(path, "w") as source:
            fill(source)
    check(path)


def test_keys_that_are_all_one_large_text_are_refused(tmp_path: Path) -> None:
    """In HDF5 many texts may be one text in the file."""
    path = tmp_path / "models.h5"
    with h5py.File(path, "w") as source:
        source.create_dataset("v", data=np.ones((200, 2, 2), np.float32))
        source.create_dataset("keys", data=["k" * (1 << 19)] * 200, dtype=h5py.string_dtype())
    with pytest.raises(VelcodecError, match="bytes and more"):
        open_models(path)


def stored(kind: str, path: Path, models: np.ndarray) -> None:
    """These models compressed, all in one chunk."""
    if kind == "h5":
        with h5py.File(path, "w") as out:
            out.create_dataset("v", data=models, chunks=models.shape, compression="gzip")
    elif kind == "nc":
        with h5py.File(path, "w") as out:
            made = out.create_dataset("v", data=models, chunks=models.shape, compression="gzip")
            for axis, name in enumerate(("model", "z", "x")):
                scale = out.create_dataset(name, data=np.arange(models.shape[axis], dtype="f8"))
                scale.make_scale(name)
                made.dims[axis].attach_scale(scale)
    elif kind == "zarr":
        made = zarr.create_array(
            store=str(path), shape=models.shape, chunks=models.shape, dtype=models.dtype
        )
        made[...] = models
    else:
        np.savez_compressed(path, velocity=np.asfortranarray(models))


@pytest.mark.parametrize("kind", ["h5", "nc", "zarr", "npz"])
def test_what_is_unpacked_at_once_is_paid_for_in_bytes(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (base, zarr_store):
        monkeypatch.setattr(module, "FREE_CHUNK_BYTES", 1 << 10)
    noise = np.random.default_rng(0).uniform(1500, 4500, (9, 40, 50)).astype(np.float32)
    stored(kind, tmp_path / f"noise.{kind}", noise)
    (_, found), *_ = open_models(tmp_path / f"noise.{kind}").read(2, 4)
    assert np.array_equal(found, noise[2:4])
    stored(kind, tmp_path / f"flat.{kind}", np.full_like(noise, 1500))
    with pytest.raises(InputFileError, match="found chunks of 72,000 bytes, expected at most"):
        open_models(tmp_path / f"flat.{kind}")


@pytest.mark.parametrize("kind", ["h5", "nc", "zarr", "npz"])
def test_models_that_are_compressed_are_paid_for_in_bytes(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flat = np.full((9, 400, 50), 1500, np.float32)
    stored(kind, tmp_path / f"flat.{kind}", flat)
    assert len(open_models(tmp_path / f"flat.{kind}")) == 9
    with monkeypatch.context() as patched:
        for module in (base, zarr_store):
            patched.setattr(module, "FREE_MODEL_BYTES", 0)
            patched.setattr(module, "MODEL_BYTES_OF_BYTE", 1, raising=False)
        with pytest.raises(InputFileError, match="found models of 400 x 50 samples, 80,000 bytes"):
            open_models(tmp_path / f"flat.{kind}")
    for module in (base, zarr_store):
        monkeypatch.setattr(module, "FREE_SAMPLES", 0)
        monkeypatch.setattr(module, "SAMPLES_OF_BYTE", 1, raising=False)
    with pytest.raises(InputFileError, match="found 9 models of 400 x 50 samples, expected at"):
        open_models(tmp_path / f"flat.{kind}")


PACKED: dict[str, Callable[[bytes], bytes]] = {
    "zstd": zstandard.ZstdCompressor().compress,
    "gzip": gzip.compress,
    "zlib": zlib.compress,
    "bz2": bz2.compress,
    "lzma": lzma.compress,
    "lz4": lambda data: bytes(numcodecs.LZ4().encode(data)),
    "blosc": lambda data: bytes(numcodecs.Blosc().encode(data)),
}


@pytest.mark.parametrize("codec", PACKED)
def test_unpacked_sizes_are_known_before_unpacking(codec: str) -> None:
    data = PACKED[codec](bytes(300_000))
    check_inflation(codec, data, 300_000, "here")
    with pytest.raises(InputFileError, match=r"here: a chunk of .* expected at most 299,999"):
        check_inflation(codec, data, 299_999, "here")
    if codec in ("gzip", "zlib", "bz2", "lzma"):  # consecutive frames
        with pytest.raises(InputFileError):
            check_inflation(codec, 2 * data, 500_000, "here")
    if codec != "lz4":  # any four bytes are a valid size
        check_inflation(codec, b"not", 9, "here")


@pytest.mark.parametrize("form", [2, 3])
@pytest.mark.parametrize("name", ["v", "z"])
def test_a_chunk_of_zarr_that_unpacks_to_more_than_its_shape_is_refused(
    form: int, name: str, tmp_path: Path
) -> None:
    path = tmp_path / "a.zarr"
    group = zarr.create_group(store=str(path), zarr_format=form)
    models = np.random.default_rng(0).uniform(1500, 4500, (3, 10, 9)).astype("f4")
    packs = numcodecs.Zstd() if form == 2 else zarr.codecs.ZstdCodec()
    for key, data in (("v", models), ("z", 5.0 * np.arange(10))):
        about = {"compressors": packs, "chunks": (1, *data.shape[1:]) if key == "v" else (10,)}
        if form == 3:
            about["dimension_names"] = ["model", "z", "x"] if key == "v" else ["z"]
        made = group.create_array(name=key, shape=data.shape, dtype=data.dtype, **about)
        made[...] = data
        if form == 2:
            made.attrs["_ARRAY_DIMENSIONS"] = ["model", "z", "x"] if key == "v" else ["z"]
    (_, found), *_ = open_models(path).read(0, 3)
    assert np.array_equal(found, models)
    for chunk in [p for p in (path / name).rglob("*") if p.name in ("0", "0.0.0") and p.is_file()]:
        chunk.write_bytes(PACKED["zstd"](bytes(1 << 22)))
    with pytest.raises(InputFileError, match="unpacks to 4,194,304 and more"):
        list(open_models(path).read(0, 3))
