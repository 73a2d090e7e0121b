"""The specification is enough to read every archive: a reader that knows nothing else does."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(HERE), str(HERE.parent / "golden")]

import vlatlite  # noqa: E402
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

HASHES, RENDERINGS = hashes(), renderings()
ALLOWED = {"json", "zlib", "hashlib", "math", "functools", "pathlib", "numpy", "msgpack"}
ALLOWED |= {"zstandard"}


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
def test_all_that_an_archive_says_is_read(name: str) -> None:
    (archive,) = vlatlite.open_archives(METADATA / f"{name}.vlat")
    found, expected = about(archive), told()[name]
    assert expected == (digest(found) if isinstance(expected, str) else found)


def test_constant_models_of_every_archive_of_metadata_are_read(reader: vlatlite.Reader) -> None:
    for name, expected in told().items():
        (archive,) = vlatlite.open_archives(METADATA / f"{name}.vlat")
        assert isinstance(expected, str) or len(archive.payloads) == expected["models"]
        for number in range(0, len(archive.payloads), 1 + len(archive.payloads) // 20):
            assert np.array_equal(reader.model(archive, number), np.full((3, 2), 1500.0 + number))


def test_fields_go_before_the_layout(reader: vlatlite.Reader) -> None:
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


def test_what_it_does_not_know_it_refuses() -> None:
    data = bytearray((GOLDEN / "two_models.vlat").read_bytes())
    for version in (0, 2):
        data[8] = version
        with pytest.raises(ValueError, match=f"version {version}"):
            vlatlite.Archive(bytes(data))
