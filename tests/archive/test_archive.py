"""An archive is a sequence of models, at any resolution and point, within the models' range."""

from __future__ import annotations

import copy
import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from checkers import check_within, layered

import velcodec
from velcodec import Archive
from velcodec.decoder import Decoder
from velcodec.files.decompress import (
    Decompression,
    decompress_file,
    decompress_folder,
    decompress_stream,
)
from velcodec.formats.errors import (
    CorruptError,
    InputDtypeError,
    InputShapeError,
    KeyNotFoundError,
    MissingDecoderError,
    MixedShapesError,
    ModelNumberError,
    NotVlatError,
    OptionError,
    PointsOutsideError,
    ResolutionError,
    TruncatedError,
)

ROUNDING = 0.01
"""m/s; models rendered together may differ from ones rendered alone in the last float32 bit."""

KEYS = ["north", "south", "west"]


@pytest.fixture(scope="session")
def models() -> np.ndarray:
    return layered(3, 24, 30, seed=4)


@pytest.fixture(scope="session")
def data(models: np.ndarray, tiny_home: Path) -> bytes:
    """An archive of three models, the third large enough for tiles when they are small."""
    return velcodec.compress(
        models,
        dx=12.5,
        dz=5.0,
        origin=(100.0, 50.0),
        keys=KEYS,
        provenance="made up",
        licence="CC0",
        user={"crew": 7},
        decoder=tiny_home / "decoders" / "tiny.safetensors",
        latent_only=True,
        psnr=28.0,
    )


@pytest.fixture
def archive(data: bytes, tiny: Decoder) -> Archive:
    return velcodec.open(data)


def test_an_archive_is_a_sequence(archive: Archive, models: np.ndarray) -> None:
    assert len(archive) == 3
    assert archive[0].shape == models[0].shape
    np.testing.assert_array_equal(archive[-1], archive[2])
    assert len(archive[1:]) == 2
    np.testing.assert_allclose(archive[::-1][0], archive[2], atol=ROUNDING)
    for one, other in zip(archive, archive[:], strict=True):
        np.testing.assert_allclose(one, other, atol=ROUNDING)


def test_models_are_looked_up_by_key(archive: Archive) -> None:
    assert list(archive.keys) == KEYS
    assert "south" in archive
    assert "east" not in archive
    np.testing.assert_array_equal(archive["south"], archive[1])
    with pytest.raises(KeyNotFoundError, match="east"):
        archive.decode("east")


def test_a_number_out_of_range_is_an_error(archive: Archive) -> None:
    for number in (3, -4):
        with pytest.raises(ModelNumberError, match=str(number)):
            archive.decode(number)


@pytest.mark.parametrize("which", [1.5, None, 1.0, [0, 1.5], {}, slice(0, 1.5)], ids=repr)
def test_an_index_that_is_neither_number_nor_key_is_refused(
    archive: Archive, which: object
) -> None:
    with pytest.raises(
        (OptionError, ModelNumberError), match=r"^archive: model|^models: found none"
    ):
        _ = archive[which]  # type: ignore[index]


def test_numpy_integers_are_valid_numbers(archive: Archive) -> None:
    for number in (np.int64(1), np.array(1), np.uint8(1)):
        np.testing.assert_array_equal(archive.decode(number), archive[1])
    assert archive.decode(np.array([2, 0])).shape == (2, 24, 30)


def test_a_source_that_is_not_an_archive_is_refused(tmp_path: Path) -> None:
    for source in (3, None, [b"x"], io.StringIO("text")):
        with pytest.raises(OptionError, match="expected a path, bytes or a binary file"):
            velcodec.open(source)  # type: ignore[arg-type]


def test_an_archive_opens_from_a_path_bytes_and_a_stream(
    data: bytes, tiny: Decoder, tmp_path: Path
) -> None:
    path = tmp_path / "a.vlat"
    path.write_bytes(data)
    with velcodec.open(path) as first, velcodec.open(io.BytesIO(data)) as second:
        np.testing.assert_array_equal(first[0], second[0])


def test_the_description_of_the_models_is_stored(archive: Archive, tiny: Decoder) -> None:
    info = archive.info()
    assert json.loads(json.dumps(info)) == info
    assert info["provenance"] == "made up"
    assert info["licence"] == "CC0-1.0"
    assert info["user"] == {"crew": 7}
    assert info["models"] == 3
    assert tiny.identity is not None
    assert info["decoder"] == {"name": "tiny", "hash": tiny.identity.hex()}
    layout = archive.layout(0)
    assert (layout.dx_m, layout.dz_m) == (12.5, 5.0)
    assert (layout.origin_x_m, layout.origin_z_m) == (100.0, 50.0)


@pytest.mark.parametrize("res", [1, 7, 24, (96, 120), (33, 7)])
def test_any_resolution_renders_within_the_models_range(
    archive: Archive, models: np.ndarray, res: int | tuple[int, int]
) -> None:
    rendering = archive.decode([0, 1, 2], res)
    assert rendering.shape[1:] == (res if isinstance(res, tuple) else (res, res))
    check_within(rendering, models)


def test_renderings_line_up_across_resolutions(archive: Archive) -> None:
    coarse = archive.decode(0, (24, 30)).astype(float)
    fine = archive.decode(0, (72, 90)).astype(float)
    # Odd factors put every coarse sample on a fine one.
    np.testing.assert_allclose(fine[1::3, 1::3], coarse, atol=0.05)


def test_several_models_stack_in_the_requested_order(archive: Archive) -> None:
    batch = archive.decode([2, "north"])
    np.testing.assert_allclose(batch, np.stack([archive[2], archive[0]]), atol=ROUNDING)


def test_a_device_gives_a_tensor_of_the_same_values(archive: Archive) -> None:
    tensor = archive.decode([0, 1], 16, device="cpu")
    assert isinstance(tensor, torch.Tensor)
    assert tensor.dtype == torch.float32
    np.testing.assert_array_equal(tensor.numpy(), archive.decode([0, 1], 16))


@pytest.mark.parametrize("res", [0, -3, (0, 5), (5, 0)])
def test_a_resolution_below_one_is_refused(archive: Archive, res: int | tuple[int, int]) -> None:
    with pytest.raises(ResolutionError, match="at least 1"):
        archive.decode(0, res)


def test_an_excessive_resolution_needs_confirmation(archive: Archive) -> None:
    with pytest.raises(ResolutionError, match="allow-large"):
        archive.decode(0, 20_000)


def test_points_on_the_grid_give_the_grid(archive: Archive) -> None:
    points = archive.geometry(0).sample_points()
    values = archive.sample(0, points).reshape(24, 30)
    np.testing.assert_allclose(values, archive[0], atol=0.05)


def test_no_points_give_no_values(archive: Archive) -> None:
    nowhere = np.zeros((0, 2))
    assert archive.sample(0, nowhere).shape == (0,)
    assert archive.gradient(0, nowhere).shape == (0, 2)


def test_points_are_x_then_z(archive: Archive) -> None:
    down = archive.sample(0, [(200.0, z) for z in (50.0, 100.0, 150.0)])
    column = archive.decode(0, None)[[0, 10, 20], 8]
    np.testing.assert_allclose(down, column, atol=0.05)


def test_a_point_outside_is_refused(archive: Archive) -> None:
    with pytest.raises(PointsOutsideError, match="point 0"):
        archive.sample(0, [(0.0, 60.0)])


def test_points_that_are_not_numbers_are_refused(archive: Archive) -> None:
    for ask in (archive.sample, archive.gradient):
        with pytest.raises(InputDtypeError, match="points: found <U1, expected numbers"):
            ask(0, [["a", "b"]])
        with pytest.raises(InputDtypeError, match="object"):
            ask(0, [[None, 1.0]])
        with pytest.raises(InputShapeError, match=r"points: expected shape \(P, 2\)"):
            ask(0, [[200.0, 60.0], [200.0]])


def test_sample_and_gradient_use_the_units_of_decode(tiny: Decoder) -> None:
    # Of float64, so that both are the same models to the fit, which computes in float32.
    models = np.rint(layered(1, 16, 20)).astype(np.float64)
    options = {"dx": 20.0, "dz": 5.0, "decoder": tiny, "latent_only": True, "psnr": 28.0}
    metres = velcodec.open(velcodec.compress(models, **options))
    kilometres = velcodec.open(velcodec.compress(models / 1000.0, units="km/s", **options))
    points = kilometres.geometry(0).sample_points()
    speeds = kilometres.sample(0, points)
    np.testing.assert_allclose(speeds.reshape(16, 20), kilometres[0], atol=1e-4)
    np.testing.assert_allclose(speeds * 1000.0, metres.sample(0, points), atol=1.0)
    slopes, expected = kilometres.gradient(0, points) * 1000.0, metres.gradient(0, points)
    assert np.median(np.abs(slopes - expected)) < 0.01 * np.abs(expected).max()


def exact(data: bytes, tiny: Decoder) -> Archive:
    """The archive read with a decoder that computes in float64."""
    return velcodec.open(data, decoder=copy.deepcopy(tiny).double())


@pytest.mark.parametrize("number", [0, 1])
def test_the_gradient_matches_finite_differences(data: bytes, tiny: Decoder, number: int) -> None:
    archive = exact(data, tiny)
    random = np.random.default_rng(8)
    points = np.stack([random.uniform(101, 460, 200), random.uniform(51, 160, 200)], axis=1)
    gradient = archive.gradient(number, points)
    assert np.abs(gradient).max() > 1.0
    h = 1e-4
    for axis in (0, 1):
        shift = h * np.eye(2)[axis]
        ahead, behind = (archive.sample(number, points + s) for s in (shift, -shift))
        np.testing.assert_allclose(gradient[:, axis], (ahead - behind) / (2 * h), atol=1e-3)


def test_a_missing_decoder_does_not_stop_info(
    data: bytes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("VELCODEC_HOME", str(tmp_path))
    archive = velcodec.open(data)
    assert archive.info()["models"] == 3
    with pytest.raises(MissingDecoderError, match="'tiny' with hash"):
        archive.decode(0)


def test_a_decoder_of_another_hash_is_refused(data: bytes, tiny: Decoder) -> None:
    other = copy.deepcopy(tiny)
    other.identity = b"x" * 32
    with pytest.raises(MissingDecoderError, match="the archive needs 'tiny'"):
        velcodec.open(data, decoder=other).decode(0)


def test_an_altered_record_is_refused(data: bytes, tiny: Decoder) -> None:
    whole = velcodec.open(data)
    at = data.find(whole._reader.payload(1))
    assert at > 0
    altered = bytearray(data)
    altered[at + 3] ^= 4
    archive = velcodec.open(bytes(altered))
    with pytest.raises(CorruptError, match=r"records? \d.*: checksum"):
        archive.decode(1)


def test_bytes_that_are_no_archive_are_refused() -> None:
    with pytest.raises(NotVlatError):
        velcodec.open(b"\x93NUMPY" + bytes(100))


def test_a_truncated_archive_is_refused(data: bytes) -> None:
    for size in (9, len(data) // 2, len(data) - 1):
        with pytest.raises((TruncatedError, CorruptError)):
            velcodec.open(data[:size])


def test_mixed_shapes_stack_at_a_common_resolution_only(tiny: Decoder) -> None:
    one, other = layered(1, 16, 12)[0], layered(1, 10, 20)[0]
    archive = velcodec.open(velcodec.compress([one, other], decoder="tiny"))
    assert [model.shape for model in archive] == [(16, 12), (10, 20)]
    assert archive.decode([0, 1], 15).shape == (2, 15, 15)
    with pytest.raises(MixedShapesError, match=r"velcodec\.open"):
        archive.decode([0, 1])


def test_decoded_arrays_outlive_the_archive(data: bytes, tiny: Decoder) -> None:
    with velcodec.open(data) as archive:
        model = archive[0]
    assert model.shape == (24, 30)


def test_models_of_mixed_dtypes_never_stack(tiny: Decoder) -> None:
    one = layered(1, 8, 8)[0]
    archive = velcodec.open(velcodec.compress([one, one.astype(np.float64)], decoder="tiny"))
    assert [model.dtype for model in archive] == [np.float32, np.float64]
    with pytest.raises(MixedShapesError, match="<f8"):
        archive.decode([0, 1], 8)


def test_info_counts_the_tiles(tiny: Decoder) -> None:
    models = layered(1, 100, 12)
    archive = velcodec.open(
        velcodec.compress(models, decoder="tiny", bytes_per_model=900, latent_only=True)
    )
    assert archive.info()["tiles"] > 1


@pytest.fixture
def few_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lower the limits of `allow_large` to 200 samples."""
    monkeypatch.setattr("velcodec.resolution.LARGE_CELLS", 200)
    monkeypatch.setattr("velcodec.resolution.WRITTEN_PER_BYTE", 0)


@pytest.mark.usefixtures("few_samples", "tiny")
def test_the_sample_limit_holds_at_every_grid(tmp_path: Path) -> None:
    models = layered(4, 10, 8)
    data = velcodec.compress(models, lossless=True, decoder="tiny")
    archive, every = velcodec.open(data), range(4)
    assert len(archive[:2]) == len(archive.decode([0, 1])) == 2
    assert len(archive.decode(every, 5)) == 4
    assert len(list(archive)) == sum(map(len, archive.blocks())) == 4  # one by one, as many as like
    for ask in (
        lambda: archive[:],
        lambda: archive[[0, 1, 2]],
        lambda: archive.decode(every),
        lambda: archive.decode(every, device="cpu"),
        lambda: archive.decode(every, (10, 8)),
        lambda: archive.decode([0, 0, 0]),
        lambda: archive.decode(0, average="cell"),  # means of 64 values for each sample
        lambda: archive.decode(0, 1, average="slowness"),
        lambda: velcodec.decompress(data),
        lambda: decompress_file(archive, tmp_path / "a.npy"),
        lambda: decompress_folder(archive, tmp_path / "folder"),
        lambda: decompress_stream(archive, io.BytesIO()),
        lambda: decompress_stream(velcodec.stream(io.BytesIO(data)), io.BytesIO(), count=4),
    ):
        with pytest.raises(ResolutionError, match="allow-large"):
            ask()
    assert not list(tmp_path.iterdir())
    large = Decompression(allow_large=True)
    for found in (
        archive.decode(every, allow_large=True),
        velcodec.decompress(data, allow_large=True),
        np.load(io.BytesIO(_decompressed(archive, large))),
        np.load(io.BytesIO(_decompressed(velcodec.stream(io.BytesIO(data)), large))),
    ):
        assert np.array_equal(found, models)
    assert archive.decode(0, 1, average="cell", allow_large=True).shape == (1, 1)


def _decompressed(archive: Archive, how: Decompression) -> bytes:
    out = io.BytesIO()
    decompress_stream(archive, out, how, count=4)
    return out.getvalue()


@pytest.mark.usefixtures("few_samples", "tiny")
def test_the_sample_limit_counts_models_of_several_shapes() -> None:
    models = [model for n in (9, 10, 11) for model in layered(1, n, 8)]
    archive = velcodec.open(velcodec.compress(models, lossless=True, decoder="tiny"))
    assert [each.shape for each in archive[:2]] == [(9, 8), (10, 8)]
    with pytest.raises(ResolutionError, match="240 samples and more"):
        archive[:]
