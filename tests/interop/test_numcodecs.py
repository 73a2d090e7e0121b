"""numcodecs finds the codec by its id, and what is promised of an array holds."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from checkers import layered

import velcodec
from velcodec.formats.errors import CorruptError, InputDtypeError, NonFiniteError, OptionError

numcodecs = pytest.importorskip("numcodecs")

from velcodec.interop.numcodecs_codec import Velcodec  # noqa: E402

BOUND = 10.0


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(numcodecs.registry.codec_registry, "velcodec", Velcodec)


@pytest.mark.parametrize("shape", [(10, 8), (3, 10, 8), (3, 1, 10, 8)])
@pytest.mark.parametrize("dtype", ["f4", "f8", ">f4", "i2"])
def test_arrays_come_back_with_their_shape_and_dtype(shape: tuple[int, ...], dtype: str) -> None:
    models = layered(3, 10, 8)[: shape[0] if len(shape) > 2 else 1].reshape(shape).astype(dtype)
    codec = Velcodec(lossless=True)
    found = codec.decode(codec.encode(models))
    assert found.dtype == models.dtype
    np.testing.assert_array_equal(found, models)


def test_the_bound_holds() -> None:
    models = layered(4, 12, 9)
    codec = Velcodec(max_error=BOUND)
    found = codec.decode(codec.encode(models))
    assert 0 < np.abs(found - models).max() <= BOUND


def test_it_decodes_into_an_array_and_from_any_buffer() -> None:
    models = layered(2, 12, 9)
    codec = Velcodec(lossless=True)
    data = codec.encode(models)
    out = np.empty_like(models)
    assert codec.decode(np.frombuffer(data, "u1"), out) is out
    np.testing.assert_array_equal(out, models)
    np.testing.assert_array_equal(codec.decode(memoryview(data)), models)
    with pytest.raises(CorruptError, match="chunk"):
        codec.decode(data, np.empty((2, 9, 12), "f4"))


@pytest.mark.usefixtures("registered")
@pytest.mark.parametrize(
    "options", [{}, {"max_error": 10.0}, {"lossless": True, "order": "xz", "decoder": "tiny"}]
)
def test_the_registry_gives_it_back(options: dict[str, Any]) -> None:
    codec = Velcodec(**options)
    assert codec.get_config() == {"id": "velcodec", **options}
    again = numcodecs.get_codec(codec.get_config())
    assert isinstance(again, Velcodec)
    assert again == codec
    assert pickle.loads(pickle.dumps(codec)) == codec
    assert repr(again) == f"Velcodec({', '.join(f'{k}={v!r}' for k, v in options.items())})"
    assert again != Velcodec(max_error=3.0)


def test_the_bytes_are_an_archive() -> None:
    models = layered(2, 12, 9)
    np.testing.assert_array_equal(
        velcodec.decompress(Velcodec(lossless=True).encode(models)), models
    )


def test_what_is_no_velocity_is_refused() -> None:
    codec = Velcodec(max_error=BOUND)
    with pytest.raises(NonFiniteError):
        codec.encode(np.full((4, 4), np.inf))
    with pytest.raises(InputDtypeError):
        codec.encode(np.zeros((4, 4), bool))
    with pytest.raises(OptionError, match="colour"):
        Velcodec.from_config({"colour": "red"})
    with pytest.raises(velcodec.VelcodecError):
        codec.decode(b"nothing of the kind")


def test_it_compresses_arrays_of_zarrs_second_format(tmp_path: Any) -> None:
    zarr = pytest.importorskip("zarr")
    models = layered(5, 12, 9)
    array = zarr.create_array(
        tmp_path / "a",
        shape=models.shape,
        chunks=(2, 12, 9),
        dtype="f4",
        zarr_format=2,
        compressors=Velcodec(max_error=BOUND),
    )
    array[:] = models
    again = zarr.open_array(tmp_path / "a", mode="r")[:]
    assert 0 < np.abs(again - models).max() <= BOUND
