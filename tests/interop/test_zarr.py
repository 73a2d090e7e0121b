"""The target of an array in a zarr store holds for every sample."""

from __future__ import annotations

import logging
import pickle
import subprocess
import sys
import warnings
from pathlib import Path
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
from velcodec.metrics import psnr
from velcodec.synth import draw

zarr = pytest.importorskip("zarr")

from velcodec.interop.zarr_codec import VelcodecCodec  # noqa: E402

BOUND = 10.0


def create(store: Any, codec: VelcodecCodec, like: np.ndarray, **options: Any) -> Any:
    return zarr.create_array(
        store,
        shape=like.shape,
        dtype=like.dtype,
        serializer=codec,
        compressors=None,
        **options,
    )


def saved(codec: VelcodecCodec, models: np.ndarray, **options: Any) -> np.ndarray:
    """The models written to a store in memory and read back."""
    array = create({}, codec, models, **options)
    array[...] = models
    return array[...]


def worst(found: np.ndarray, models: np.ndarray) -> float:
    return float(np.abs(found.astype("f8") - models).max())


@pytest.mark.parametrize("family", ["curvevel_a", "flatfault_b", "style_b"])
def test_the_bound_holds_on_every_sample_of_generated_models(family: str) -> None:
    models = draw(family, seed=2, start=0, count=5).render(24, 30).numpy()
    found = saved(VelcodecCodec(max_error=BOUND), models, chunks=(3, 24, 30))
    assert 0 < worst(found, models) <= BOUND


@pytest.mark.parametrize("dtype", ["f4", "f8", ">f4", "i2", "u4"])
def test_lossless_is_bit_for_bit(dtype: str) -> None:
    models = layered(3, 10, 8).astype(dtype)
    found = saved(VelcodecCodec(lossless=True), models, chunks=(2, 10, 8))
    np.testing.assert_array_equal(found, models)


def test_psnr_is_kept_for_every_model() -> None:
    models = layered(2, 16, 16)
    found = saved(VelcodecCodec(psnr=30.0, effort=1), models, chunks=(2, 16, 16))
    assert min(psnr(a, b) for a, b in zip(models, found, strict=True)) >= 30.0


@pytest.mark.parametrize(
    ("shape", "chunks"),
    [((10, 8), (10, 8)), ((5, 10, 8), (2, 10, 8)), ((5, 1, 10, 8), (2, 1, 10, 8))],
)
def test_one_model_or_several_with_or_without_a_channel(
    shape: tuple[int, ...], chunks: tuple[int, ...]
) -> None:
    models = layered(5, 10, 8)[: shape[0] if len(shape) > 2 else 1].reshape(shape)
    np.testing.assert_array_equal(
        saved(VelcodecCodec(lossless=True), models, chunks=chunks), models
    )
    assert worst(saved(VelcodecCodec(max_error=BOUND), models, chunks=chunks), models) <= BOUND


def test_chunks_over_every_edge_keep_the_bound() -> None:
    models = layered(5, 11, 9)
    found = saved(VelcodecCodec(max_error=BOUND), models, chunks=(2, 4, 5))
    assert worst(found, models) <= BOUND


def test_unwritten_chunks_have_the_fill_value(tmp_path: Path) -> None:
    models = layered(6, 8, 8)
    array = create(
        tmp_path / "a", VelcodecCodec(lossless=True), models, chunks=(2, 8, 8), fill_value=1500
    )
    array[:2] = models[:2]
    assert len(list((tmp_path / "a" / "c").glob("*/*/*"))) == 1
    np.testing.assert_array_equal(array[:2], models[:2])
    np.testing.assert_array_equal(array[2:], np.full_like(models[2:], 1500))


def test_a_part_of_a_chunk_can_be_written_and_read() -> None:
    models = layered(4, 8, 8)
    array = create({}, VelcodecCodec(lossless=True), models, chunks=(4, 8, 8))
    array[:3] = models[:3]
    array[3, 2:] = models[3, 2:]
    np.testing.assert_array_equal(array[:3], models[:3])
    np.testing.assert_array_equal(array[3, 2:, 5], models[3, 2:, 5])
    np.testing.assert_array_equal(array[3, :2], np.zeros((2, 8)))
    np.testing.assert_array_equal(array.oindex[[0, 2], :, [1, 7]], models[[0, 2]][:, :, [1, 7]])


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("transposed", [None, (0, 2, 1), (2, 0, 1), (2, 1, 0)])
@pytest.mark.parametrize("chunks", [(2, 8, 6), (1, 8, 6), (2, 5, 4)])
def test_arrays_keep_their_memory_order(
    order: str, transposed: tuple[int, ...] | None, chunks: tuple[int, ...]
) -> None:
    models = np.asarray(layered(5, 8, 6), order=order)  # type: ignore[call-overload]
    filters = [] if transposed is None else [zarr.codecs.TransposeCodec(order=transposed)]
    with zarr.config.set({"array.order": order}):
        array = create({}, VelcodecCodec(lossless=True), models, chunks=chunks, filters=filters)
        array[...] = models
        np.testing.assert_array_equal(array[...], models)
        array[1:, :, 2:4] = models[1:, :, 2:4] + 1
        np.testing.assert_array_equal(array[1:, :, 2:4], models[1:, :, 2:4] + 1)


def test_values_in_km_s_are_refused_where_no_units_are_stated() -> None:
    models = layered(2, 8, 6)
    models[1] /= 1000
    for options in ({}, {"max_error": BOUND}):
        with pytest.raises(UnitsError, match=r"model 1: .*units='km/s'"):
            saved(VelcodecCodec(**options), models, chunks=(2, 8, 6))
        saved(VelcodecCodec(units="m/s", **options), models, chunks=(2, 8, 6))
    found = saved(VelcodecCodec(units="km/s"), models[1:], chunks=(2, 8, 6))
    assert len(np.unique(found)) > 3


def test_fill_values_are_no_velocities_in_other_units() -> None:
    models = layered(3, 8, 6)
    for fill in (0, 1, -1):
        found = saved(VelcodecCodec(max_error=BOUND), models, chunks=(2, 8, 8), fill_value=fill)
        assert worst(found, models) <= BOUND


def test_shards_hold_chunks() -> None:
    models = layered(8, 8, 8)
    found = saved(VelcodecCodec(max_error=BOUND), models, chunks=(2, 8, 8), shards=(4, 8, 8))
    assert worst(found, models) <= BOUND


def test_each_chunk_is_an_archive(tmp_path: Path) -> None:
    models = layered(4, 10, 8)
    create(tmp_path / "a", VelcodecCodec(max_error=BOUND), models, chunks=(2, 10, 8))[:] = models
    with velcodec.open(tmp_path / "a" / "c" / "1" / "0" / "0") as archive:
        assert len(archive) == 2
        assert worst(archive.decode([0, 1]), models[2:]) <= BOUND


def test_it_is_smaller_than_what_zarr_does_by_itself(tmp_path: Path) -> None:
    models = draw("curvevel_a", seed=2, start=0, count=8).render(40, 40).numpy()
    create(tmp_path / "a", VelcodecCodec(lossless=True), models, chunks=(8, 40, 40))[:] = models
    plain = zarr.create_array(
        tmp_path / "b", shape=models.shape, dtype=models.dtype, chunks=models.shape
    )
    plain[:] = models
    ours, zarrs = ((tmp_path / name / "c" / "0" / "0" / "0").stat().st_size for name in "ab")
    assert ours < zarrs / 4


def test_a_fresh_process_reads_the_store(tmp_path: Path) -> None:
    models = layered(5, 10, 8)
    create(tmp_path / "a", VelcodecCodec(lossless=True), models, chunks=(2, 10, 8))[:] = models
    np.save(tmp_path / "models.npy", models)
    code = (
        "import sys, numpy, zarr\n"
        "array = zarr.open_array(sys.argv[1] + '/a', mode='r')\n"
        "print((array[:] == numpy.load(sys.argv[1] + '/models.npy')).all())"
    )
    run = [sys.executable, "-W", "error", "-c", code, str(tmp_path)]
    done = subprocess.run(run, capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.stderr) == ("True", "")


OPTIONS: list[dict[str, Any]] = [
    {},
    {"lossless": True},
    {"max_error": 2.5, "units": "km/s"},
    {"psnr": 40.0, "order": "xz", "effort": 1, "decoder": "velcodec-2"},
]


@pytest.mark.parametrize("options", OPTIONS)
def test_its_configuration_makes_the_round_trip(options: dict[str, Any]) -> None:
    codec = VelcodecCodec(**options)
    assert codec.to_dict() == {"name": "velcodec", "configuration": options}
    assert VelcodecCodec.from_dict(codec.to_dict()) == codec
    assert pickle.loads(pickle.dumps(codec)) == codec
    assert codec != VelcodecCodec(max_error=1.0)


def test_numbers_may_be_numpy_scalars() -> None:
    codec = VelcodecCodec(max_error=np.float32(2.5))
    assert codec == VelcodecCodec(max_error=2.5)
    assert type(codec.to_dict()["configuration"]["max_error"]) is float  # type: ignore[index]


def test_an_unknown_configuration_is_refused() -> None:
    for options in (
        {"max_error": 1.0, "lossless": True},
        {"max_error": -1.0},
        {"max_error": "10"},
        {"psnr": float("nan")},
        {"lossless": 1},
        {"units": "ft/s"},
        {"order": "zxy"},
        {"effort": 10},
        {"decoder": 3},
        {"colour": "red"},
    ):
        with pytest.raises(OptionError):
            VelcodecCodec.from_dict({"name": "velcodec", "configuration": options})


def test_arrays_that_hold_no_models_are_refused_on_creation() -> None:
    codec = VelcodecCodec(max_error=BOUND)
    with pytest.raises(InputDtypeError, match="complex64"):
        create({}, codec, np.zeros((2, 8, 8), "c8"), chunks=(1, 8, 8))
    with pytest.raises(InputDtypeError, match="float16"):
        create({}, codec, np.zeros((2, 8, 8), "f2"), chunks=(1, 8, 8))
    with pytest.raises(InputShapeError, match="3-D models"):
        create({}, codec, np.zeros((2, 4, 8, 8), "f4"), chunks=(1, 2, 8, 8))
    with pytest.raises(InputShapeError):
        create({}, codec, np.zeros(8, "f4"), chunks=(8,))


def test_nan_is_refused() -> None:
    models = layered(2, 8, 8)
    models[1, 2, 3] = np.nan
    with pytest.raises(NonFiniteError, match=r"\(1, 2, 3\)"):
        saved(VelcodecCodec(lossless=True), models, chunks=(2, 8, 8))


def test_a_chunk_of_another_shape_or_dtype_is_refused(tmp_path: Path) -> None:
    models = layered(2, 8, 6)
    array = create(tmp_path / "a", VelcodecCodec(lossless=True), models, chunks=(2, 8, 6))
    array[:] = models
    for other in (models[:1], models.astype("f8"), models.swapaxes(1, 2)):
        data = velcodec.compress(np.ascontiguousarray(other), lossless=True)
        (tmp_path / "a" / "c" / "0" / "0" / "0").write_bytes(data)
        with pytest.raises(CorruptError, match="chunk"):
            array[:]


def test_a_damaged_chunk_is_refused(tmp_path: Path) -> None:
    models = layered(2, 8, 6)
    array = create(tmp_path / "a", VelcodecCodec(lossless=True), models, chunks=(2, 8, 6))
    array[:] = models
    path = tmp_path / "a" / "c" / "0" / "0" / "0"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 16
    path.write_bytes(bytes(data))
    with pytest.raises(velcodec.VelcodecError):
        array[:]


def test_kilometres_and_x_first_arrays_keep_the_bound() -> None:
    models = layered(3, 10, 8)
    slow = saved(VelcodecCodec(max_error=BOUND, units="km/s"), models / 1000, chunks=(2, 10, 8))
    assert worst(slow, models / 1000) <= BOUND / 1000
    flipped = np.ascontiguousarray(models.swapaxes(1, 2))
    found = saved(VelcodecCodec(max_error=BOUND, order="xz"), flipped, chunks=(2, 8, 10))
    assert worst(found, flipped) <= BOUND


def test_coding_a_chunk_prints_nothing(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """Not for zeros either, which pad chunks beyond the array's end."""
    models = layered(3, 10, 8)
    with caplog.at_level(logging.DEBUG, "velcodec"), warnings.catch_warnings():
        warnings.simplefilter("error")
        saved(VelcodecCodec(max_error=BOUND), models, chunks=(2, 10, 8))
        saved(
            VelcodecCodec(lossless=True),
            np.zeros_like(models),
            chunks=(2, 10, 8),
            config={"write_empty_chunks": True},
        )
        saved(VelcodecCodec(lossless=True), models - 2000, chunks=(2, 10, 8))
    assert [record for record in caplog.records if record.name.startswith("velcodec")] == []
    assert capfd.readouterr() == ("", "")
