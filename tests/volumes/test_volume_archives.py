"""Volumes in archives: what is promised, what comes back, and how little is read for a part."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from volumes import folded_volume, reads_of, smooth_volume

import velcodec
from velcodec.encode import volume_coder as encoding
from velcodec.encode.description import Description
from velcodec.formats.errors import (
    BudgetError,
    InputShapeError,
    MixedShapesError,
    OptionError,
    PointsOutsideError,
    ResolutionError,
    UnitsError,
    VolumeError,
)
from velcodec.formats.storage import source
from velcodec.formats.storage.source import ByteSource
from velcodec.formats.volume_coding.stream import Bricks

VOLUMES = {"folded": folded_volume(), "smooth": smooth_volume()}
SMALL_BRICKS = (8, 8, 8)


@pytest.fixture(params=list(VOLUMES))
def volume(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    """A volume of many small bricks, the last of each row smaller still."""
    monkeypatch.setattr(encoding, "BRICK", SMALL_BRICKS)
    return VOLUMES[request.param]


def compressed(volume: np.ndarray, **options: Any) -> velcodec.Archive:
    return velcodec.open(velcodec.compress(volume, volume=True, **options))


def test_lossless_volumes_come_back_bit_for_bit(volume: np.ndarray) -> None:
    for dtype in ("<f4", "<f8", ">f4", "<i2", "<u4"):
        given = volume.astype(dtype)
        back = compressed(given, lossless=True)[0]
        assert back.dtype == given.dtype
        assert np.array_equal(back, given)


def test_every_sample_of_a_volume_is_within_the_bound(volume: np.ndarray) -> None:
    for bound in (1.0, 17.0, 90.0):
        with compressed(volume, max_error=bound) as archive:
            error = np.abs(archive[0].astype(float) - volume)
            assert error.max() <= bound
            quality = archive.quality
            assert quality is not None
            assert error.max() <= quality[0].max_error_m_s


def test_a_bound_holds_in_km_s_too(volume: np.ndarray) -> None:
    with compressed((volume / 1000).astype(np.float32), units="km/s", max_error=5.0) as archive:
        assert np.abs(archive[0] * 1000.0 - volume).max() <= 5.0 + 1e-3


def test_a_volume_reaches_its_psnr(volume: np.ndarray) -> None:
    for psnr in (35.0, 52.0):
        with compressed(volume, psnr=psnr) as archive:
            error = archive[0].astype(float) - volume
            assert 10 * np.log10(3000.0**2 / max(np.square(error).mean(), 1e-9)) >= psnr


def test_the_default_keeps_the_contrast_of_a_volume(volume: np.ndarray) -> None:
    flat = (1800 + (volume - volume.mean()) / 5).astype(np.float32)
    found = velcodec.decompress(velcodec.compress(flat, volume=True))
    assert np.sqrt(np.square(found - flat).mean()) <= 0.15 * flat.std()


@pytest.mark.parametrize("kind", VOLUMES)
def test_a_volume_keeps_to_its_size(kind: str) -> None:
    volume = {"folded": folded_volume, "smooth": smooth_volume}[kind](36, 40, 44)
    whole = len(velcodec.compress(volume, volume=True, lossless=True))
    size = whole - 100
    assert len(velcodec.compress(volume, volume=True, bytes_per_model=size)) <= size
    with pytest.raises(BudgetError, match="the least possible"):
        velcodec.compress(volume, volume=True, bytes_per_model=60)


@settings(max_examples=25, deadline=None)
@given(
    shape=st.tuples(*[st.integers(1, 9)] * 3),
    dtype=st.sampled_from(["<f4", ">f8", "<i2", "|u1", "<i8"]),
    kind=st.sampled_from(["constant", "layers", "noise", "wide"]),
    promise=st.sampled_from([{"lossless": True}, {"max_error": 30.0}, {"psnr": 40.0}]),
    seed=st.integers(0, 1000),
)
def test_any_volume_keeps_any_promise(
    shape: tuple[int, int, int], dtype: str, kind: str, promise: dict[str, Any], seed: int
) -> None:
    random = np.random.default_rng(seed)
    values = {
        "constant": np.full(shape, 37.0),
        "layers": np.broadcast_to(random.integers(20, 120, shape[0])[:, None, None], shape),
        "noise": random.uniform(21, 120, shape),
        "wide": random.uniform(-1, 1, shape) * (1e30 if "f" in dtype else 100),
    }[kind]
    if dtype == "|u1":
        values = np.abs(values)
    volume = values.astype(dtype)
    with compressed(volume, units="m/s", **promise) as archive:
        back = archive[0]
        assert (back.dtype, back.shape) == (volume.dtype, volume.shape)
        error = np.abs(back.astype(float) - volume.astype(float))
        if "lossless" in promise:
            assert back.tobytes() == volume.tobytes()
        elif "max_error" in promise:
            assert error.max() <= 30.0
        else:
            assert 10 * np.log10(3000.0**2 / max(np.square(error).mean(), 1e-9)) >= 40.0


@pytest.mark.parametrize("order", ["zyx", "yxz", "xyz", "xzy"])
def test_volumes_keep_the_order_of_their_axes(order: str) -> None:
    axes = ["zyx".index(axis) for axis in order]
    stack = np.stack([folded_volume(seed=seed).transpose(axes) for seed in (0, 1)])
    with compressed(stack, order=order, lossless=True) as archive:
        assert np.array_equal(archive.decode([0, 1]), stack)
        assert np.array_equal(archive.box(1, [(2, 9), (3, 5), (0, 7)]).transpose(np.argsort(axes)),
                              folded_volume(seed=1)[2:9, 3:5, :7])  # fmt: skip
    assert np.array_equal(velcodec.decompress(velcodec.compress(stack, volume=True, order=order,
                                                                lossless=True)), stack)  # fmt: skip


@pytest.mark.parametrize("promise", [{"lossless": True}, {"max_error": 20.0}, {"psnr": 40.0}])
def test_different_volumes_written_together_are_each_themselves(promise: dict[str, Any]) -> None:
    stack = np.stack([folded_volume(), smooth_volume(), folded_volume(seed=3), smooth_volume()])
    with compressed(stack, **promise) as archive:
        back = archive.decode(range(4))
        if "lossless" in promise:
            assert np.array_equal(back, stack)
        assert np.abs(back - stack).max() <= promise.get("max_error", 500.0)
        for number in range(4):
            assert np.array_equal(archive.section(number, y=2), back[number][:, 2])


def test_a_box_is_that_part_of_the_volume_and_reads_no_other_brick(volume: np.ndarray) -> None:
    with compressed(volume, max_error=3.0) as archive:
        whole = archive[0]
        read = reads_of(archive)
        part = archive.box(0, [(7, 9), slice(None, 4), (29, 30)])
        assert np.array_equal(part, whole[7:9, :4, 29:30])
        bricks = 2 * 1 * 1
        assert len(read) == 2 + bricks  # the edges of bricks, the table, two bricks
        assert sum(read) < archive.record_bytes[0]


def test_one_brick_of_a_large_archive_reads_the_index_the_table_and_its_stream(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encoding, "BRICK", SMALL_BRICKS)
    noise = np.random.default_rng(0).uniform(1500, 4500, (40, 40, 40)).astype(np.float32)
    path = tmp_path / "out.vlat"
    stack = np.stack([noise, noise + 1])
    path.write_bytes(velcodec.compress(stack, volume=True, lossless=True))
    spans: list[tuple[int, int]] = []
    of_source = ByteSource.read_at

    def counted(source: ByteSource, offset: int, count: int, place: str) -> bytes:
        spans.append((offset, count))
        return of_source(source, offset, count, place)

    monkeypatch.setattr(ByteSource, "read_at", counted)
    with velcodec.open(path) as archive:
        layout = archive.layout(1)
        part = archive.box(1, [(8, 16), (32, 40), (0, 8)])
        read = list(spans)
        record, bricks = archive.record_bytes[1], len(Bricks(layout.shape, SMALL_BRICKS))
    assert np.array_equal(part, noise[8:16, 32:40, :8] + 1)
    stream = record / bricks
    assert sum(count for _, count in read) < 2 * 8 * bricks + 2 * stream + 2000
    assert max(count for _, count in read) < max(8 * bricks, 2 * stream) + 100


def test_one_brick_of_a_remote_archive_is_fetched_by_ranges(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fsspec = pytest.importorskip("fsspec")
    monkeypatch.setattr(encoding, "BRICK", (16, 16, 16))
    noise = np.random.default_rng(0).uniform(1500, 4500, (48, 64, 64)).astype(np.float32)
    data = velcodec.compress(noise, volume=True, lossless=True)
    with fsspec.open("memory://volume.vlat", "wb") as stream:
        stream.write(data)
    fetched: list[int] = []
    of_remote = source._Remote._get

    def counted(remote: source._Remote, begin: int, end: int) -> bytes:
        fetched.append(end - begin)
        return of_remote(remote, begin, end)

    monkeypatch.setattr(source._Remote, "_get", counted)
    with velcodec.open("memory://volume.vlat") as archive:
        part = archive.box(0, [(16, 32), (0, 16), (48, 64)])
    assert np.array_equal(part, noise[16:32, :16, 48:])
    brick = len(data) / 48
    ends = source.REMOTE_START_BYTES + source.REMOTE_END_BYTES  # fetched when it is opened
    assert sum(fetched) < ends + 2 * brick
    assert sum(fetched) < len(data) / 4


def test_sections_are_those_of_the_volume(volume: np.ndarray) -> None:
    with compressed(volume, lossless=True) as archive:
        assert np.array_equal(archive.section(0, z=3), volume[3])
        assert np.array_equal(archive.section(0, y=-1), volume[:, -1])
        assert np.array_equal(archive.section(0, x=29), volume[:, :, 29])
        wrongs: list[dict[str, Any]] = [{}, {"z": 1, "x": 1}, {"z": 20}, {"x": -31}, {"y": 3.0}]
        for wrong in wrongs:
            with pytest.raises(OptionError):
                archive.section(0, **wrong)


def test_an_archive_holds_sections_and_volumes(tmp_path: Path) -> None:
    section, volume = folded_volume()[:, 0], folded_volume(10, 12, 14)
    path = tmp_path / "both.vlat"
    path.write_bytes(velcodec.compress(section, lossless=True))
    with velcodec.append(path, lossless=True, description=Description(volume=True)) as writer:
        writer.add(folded_volume())
        writer.add(volume)
    with velcodec.open(path) as archive:
        assert [layout.shape for layout in archive.layouts] == [
            (20, 30), (20, 25, 30), (10, 12, 14)
        ]  # fmt: skip
        assert np.array_equal(archive[0], section)
        assert np.array_equal(archive[2], volume)
        assert [each.shape for each in archive] == [layout.shape for layout in archive.layouts]
        with pytest.raises(MixedShapesError):
            archive.decode([0, 1])
        velcodec.subset(archive, part := tmp_path / "part.vlat", [2, 0])
    with velcodec.open(part) as archive:
        assert np.array_equal(archive[0], volume)
        assert np.array_equal(archive[1], section)


def test_what_only_sections_can_do_is_refused_by_name() -> None:
    with compressed(folded_volume(), lossless=True) as archive:
        for wrong in (
            lambda: archive.decode(0, device="cpu"),
            lambda: archive.latent(0),
        ):
            with pytest.raises(VolumeError, match="volume"):
                wrong()
    with velcodec.open(velcodec.compress(folded_volume()[:, 0], lossless=True)) as sections:
        for wrong in (lambda: sections.box(0, [(0, 1)] * 3), lambda: sections.section(0, z=1)):
            with pytest.raises(VolumeError, match="found a section"):
                wrong()


def test_wrong_boxes_and_options_are_refused_by_name() -> None:
    volume = folded_volume()
    with compressed(volume, lossless=True) as archive:
        for box in ([(0, 1)] * 2, [(0, 21), (0, 1), (0, 1)], [(3, 3), (0, 1), (0, 1)],
                    [(-1, 3), (0, 1), (0, 1)], [slice(0, 4, 2)] * 3):  # fmt: skip
            with pytest.raises(OptionError, match="box"):
                archive.box(0, box)
    for options in ({"keep_latent": True}, {"latent_only": True}, {"mask": "water"}):
        with pytest.raises(OptionError):
            compressed(volume, **options)
    with pytest.raises(UnitsError):
        compressed(volume / 1000)


def test_large_boxes_must_be_asked_for_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("velcodec.resolution.LARGE_CELLS", 1000)
    with compressed(folded_volume(), lossless=True) as archive:
        with pytest.raises(ResolutionError, match="20 x 25 x 30"):
            archive.decode(0)
        with pytest.raises(ResolutionError, match="box"):
            archive.box(0, [slice(None)] * 3)
        assert archive.decode(0, allow_large=True).shape == (20, 25, 30)
        assert archive.box(0, [(0, 10), (0, 10), (0, 10)]).shape == (10, 10, 10)


def test_the_same_volume_gives_the_same_bytes_on_any_number_of_threads(volume: np.ndarray) -> None:
    from velcodec.parallel import set_threads, threads

    before = threads()
    try:
        set_threads(1)
        alone = velcodec.compress(volume, volume=True, max_error=10)
        set_threads(3)
        assert velcodec.compress(volume, volume=True, max_error=10) == alone
    finally:
        set_threads(before)


def test_a_volume_is_a_field_that_passes_through_its_samples(volume: np.ndarray) -> None:
    with compressed(volume, lossless=True, dx=20, dz=5, dy=10, origin=(100, 0)) as archive:
        fine = archive.decode(0, res=(60, 75, 90))
        assert fine.dtype == volume.dtype
        assert np.array_equal(fine[1::3, 1::3, 1::3], volume)
        assert volume.min() <= fine.min()
        assert fine.max() <= volume.max()
        places = [(100 + 20 * 7, 10 * 3, 5 * 11), (100, 0, 0), (680, 240, 95)]
        assert np.array_equal(
            archive.sample(0, places), [volume[11, 3, 7], volume[0, 0, 0], volume[19, 24, 29]]
        )
        none = np.zeros((0, 3))
        assert (archive.sample(0, none).shape, archive.gradient(0, none).shape) == ((0,), (0, 3))
        with pytest.raises(PointsOutsideError, match=r"\(x, y, z\) .* outside"):
            archive.sample(0, [(0.0, 0.0, 0.0)])
        with pytest.raises(InputShapeError, match="x, y, z"):
            archive.sample(0, [(0.0, 0.0)])
        with pytest.raises(ResolutionError):
            archive.decode(0, res=(10, 10))


def test_a_part_of_the_field_is_that_part_of_the_whole() -> None:
    volume = folded_volume(70, 12, 75)
    with compressed(volume, lossless=True) as archive:
        whole = archive.decode(0, res=(140, 24, 150)).astype(float)
        part = archive.box(0, [(40, 44), slice(None), (3, 9)], (8, 24, 12))
        assert np.allclose(part, whole[80:88, :, 6:18], atol=1e-2)


def test_means_of_a_volume_are_those_of_its_field(volume: np.ndarray) -> None:
    with compressed(volume, lossless=True) as archive:
        shape = volume.shape
        coarse = archive.decode(0, res=(10, 5, 10), average="cell")
        native = archive.decode(0, average="cell")
        assert (native.shape, native.dtype) == (shape, volume.dtype)
        assert not np.array_equal(native, archive[0])
        assert coarse.mean() == pytest.approx(native.mean(dtype=float), abs=0.01)
        slowness = archive.decode(0, res=(10, 5, 10), average="slowness")
        assert (slowness <= coarse + 1e-3).all()


def test_the_means_of_a_part_are_those_of_the_whole() -> None:
    with compressed(folded_volume(70, 12, 75), lossless=True) as archive:
        whole = archive.decode(0, res=(35, 6, 75), average="cell").astype(float)
        part = archive.box(0, [(40, 44), slice(None), (3, 9)], (2, 6, 6), average="cell")
        assert np.allclose(part, whole[20:22, :, 3:9], atol=1e-2)
        own = archive.box(0, [(40, 44), (0, 2), (3, 9)], average="slowness")
        assert np.allclose(own, archive.decode(0, average="slowness")[40:44, :2, 3:9], atol=1e-2)
        with pytest.raises(OptionError, match="average: expected one of none, cell, slowness"):
            archive.box(0, [slice(None)] * 3, average="median")


def test_a_section_is_rendered_at_other_grids() -> None:
    with compressed(folded_volume(), lossless=True) as archive:
        fine = archive.decode(0, res=(40, 25, 60)).astype(float)
        section = archive.section(0, y=7, res=(40, 60))
        assert np.allclose(section, fine[:, 7], atol=1e-2)
        assert archive.section(0, z=-1, res=9).shape == (9, 9)
        mean = archive.section(0, x=3, average="cell")
        assert np.allclose(mean, archive.decode(0, average="cell")[:, :, 3], atol=1e-2)


def test_a_field_is_rendered_brick_by_brick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few bricks are read at a time, and each is decoded once while it is kept."""
    from velcodec.decode.volumes import StoredVolume

    volume = folded_volume(12, 16, 150)
    monkeypatch.setattr(encoding, "BRICK", (12, 16, 10))
    most: list[int] = []
    decoded: list[int] = []
    parts, brick = StoredVolume.parts, StoredVolume._brick

    def counted(self: StoredVolume, box: Any, blank: float) -> Any:
        most.append(len(self.table.bricks.within(box)))
        return parts(self, box, blank)

    def of_brick(self: StoredVolume, number: int) -> Any:
        decoded.append(number)
        return brick(self, number)

    monkeypatch.setattr(StoredVolume, "parts", counted)
    monkeypatch.setattr(StoredVolume, "_brick", of_brick)
    with compressed(volume, lossless=True) as archive:
        most.clear()
        decoded.clear()
        archive.decode(0, res=(6, 8, 75), average="cell")
        assert max(most) < 15
        assert sorted(decoded) == list(range(15))
        decoded.clear()
        archive.sample(0, [[55.0, 20.0, 20.0]])
        assert len(decoded) < 8


def test_gradients_are_those_of_the_field() -> None:
    volume = smooth_volume()
    with compressed(volume, lossless=True, dx=20, dz=5, dy=10) as archive:
        point = np.array([[203.0, 111.0, 42.0]])
        slopes = archive.gradient(0, point)[0]
        for axis, step in enumerate((1e-3, 1e-3, 1e-3)):
            moved = point.copy()
            moved[0, axis] += step
            finite = (archive.sample(0, moved) - archive.sample(0, point))[0] / step
            assert abs(finite - slopes[axis]) < 1e-2 * max(1.0, abs(slopes[axis]))


def test_bricks_cover_a_volume_once() -> None:
    bricks = Bricks((20, 7, 9), (8, 4, 9))
    seen = np.zeros((20, 7, 9), dtype=int)
    for number in range(len(bricks)):
        seen[bricks.box(number)] += 1
        assert bricks.within(bricks.box(number)) == [number]
    assert (seen == 1).all()
    assert bricks.within((slice(7, 9), slice(0, 5), slice(3, 4))) == [0, 1, 2, 3]
