"""numcodecs finds the codec by its id, and arrays keep their target."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from checkers import layered

import velcodec
from velcodec.formats.errors import (
    CorruptError,
    InputDtypeError,
    InputShapeError,
    NonFiniteError,
    OptionError,
    UnitsError,
)

numcodecs = pytest.importorskip("numcodecs")

from velcodec.interop.chunks import ChunkCoding  # noqa: E402
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


def test_arrays_that_are_not_velocities_are_refused() -> None:
    codec = Velcodec(max_error=BOUND)
    with pytest.raises(NonFiniteError):
        codec.encode(np.full((4, 4), np.inf))
    with pytest.raises(InputDtypeError):
        codec.encode(np.zeros((4, 4), bool))
    with pytest.raises(OptionError, match="colour"):
        Velcodec.from_config({"colour": "red"})
    with pytest.raises(velcodec.VelcodecError):
        codec.decode(b"nothing of the kind")


SHAPES = [
    ((10, 9), (10, 9)), ((10, 9), (4, 5)), ((5, 11, 9), (2, 11, 9)), ((5, 11, 9), (1, 4, 5)),
    ((5, 11, 9), (2, 4, 5)), ((4, 1, 10, 9), (3, 1, 10, 9)), ((4, 1, 10, 9), (2, 1, 4, 5)),
]  # fmt: skip


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("axes", ["zx", "xz"])
@pytest.mark.parametrize(("shape", "chunks"), SHAPES)
@pytest.mark.parametrize("options", [{"lossless": True}, {"max_error": BOUND}])
@pytest.mark.parametrize("filtered", [False, True])
def test_arrays_of_either_order_in_memory_come_back_as_they_were(
    order: str,
    axes: str,
    shape: tuple[int, ...],
    chunks: tuple[int, ...],
    options: dict[str, Any],
    filtered: bool,
) -> None:
    zarr = pytest.importorskip("zarr")
    models = np.arange(np.prod(shape), dtype="f4").reshape(shape) * 7 % 2999 + 1500
    array = zarr.create_array(
        {},
        shape=shape,
        chunks=chunks,
        dtype="f4",
        zarr_format=2,
        order=order,
        filters=[numcodecs.AsType("f8", "f4")] if filtered else None,
        compressors=Velcodec(order=axes, **options),
    )
    array[...] = models
    found = array[...]
    assert np.abs(found - models).max() <= options.get("max_error", 0)
    array[..., -2:] = models[..., -2:] + 1
    assert np.abs(array[..., -2:] - models[..., -2:] - 1).max() <= options.get("max_error", 0)


@pytest.mark.parametrize("filter_id", ["delta", "shuffle"])
def test_a_filter_that_leaves_no_models_is_refused(filter_id: str) -> None:
    """A flattened chunk is not a model, and neither are bytes."""
    zarr = pytest.importorskip("zarr")
    filters = {"delta": numcodecs.Delta("f4"), "shuffle": numcodecs.Shuffle(4)}
    array = zarr.create_array(
        {},
        shape=(2, 8, 6),
        dtype="f4",
        zarr_format=2,
        filters=[filters[filter_id]],
        compressors=Velcodec(lossless=True),
    )
    with pytest.raises(InputShapeError):
        array[...] = layered(2, 8, 6)


@pytest.mark.parametrize("layout", ["C", "F", "transposed", "strided", "backwards"])
def test_any_order_in_memory_comes_back_with_its_samples_in_place(layout: str) -> None:
    models = layered(3, 10, 8)
    given = {
        "C": models,
        "F": np.asfortranarray(models),
        "transposed": np.ascontiguousarray(models.transpose(2, 0, 1)).transpose(1, 2, 0),
        "strided": np.repeat(models, 2, axis=2)[..., ::2],
        "backwards": models[:, ::-1].copy()[:, ::-1],
    }[layout]
    codec = Velcodec(lossless=True)
    found = codec.decode(codec.encode(given))
    assert np.array_equal(found, models)
    assert found.flags.f_contiguous == (layout == "F")


def test_one_dimension_is_refused() -> None:
    with pytest.raises(InputShapeError):
        Velcodec(lossless=True).encode(np.zeros(8, "f4"))


@pytest.mark.parametrize("options", [{}, {"psnr": 50.0}, {"max_error": BOUND}])
def test_values_in_km_s_are_refused_where_no_units_are_stated(options: dict[str, float]) -> None:
    models = layered(2, 12, 9)
    models[1] /= 1000
    with pytest.raises(UnitsError, match=r"model 1: .*units='km/s'"):
        Velcodec(**options).encode(models)
    assert Velcodec(units="m/s", **options).encode(models)
    codec = Velcodec(units="km/s", **options)
    found = codec.decode(codec.encode(models[1]))
    assert len(np.unique(found)) > 3


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


def test_a_chunk_of_more_samples_than_are_read_unasked_is_not_written() -> None:
    large = np.broadcast_to(np.float32(1500), (1 << 14, 1 << 14))
    for ask in (
        lambda: Velcodec(lossless=True).encode(large),
        lambda: ChunkCoding(lossless=True).check(large.shape, large.dtype),
    ):
        with pytest.raises(InputShapeError, match="expected at most 100,000,000 samples"):
            ask()
