"""Large volumes are read, encoded, decoded and written in parts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import velcodec
from velcodec.decode.volumes import StoredVolume
from velcodec.encode import volume_coder as encoding
from velcodec.files.compress import compress_files
from velcodec.files.decompress import decompress_file, decompress_stream
from velcodec.formats.errors import InputFileError, NonFiniteError
from velcodec.formats.files import base, checks, open_models
from velcodec.formats.files.base import FileVolume
from velcodec.formats.storage import safe_read

SIDES = (72, 64, 60)
FORMATS = ("npy", "npz", "bin", "rsf", "h5", "nc", "zarr")


def layers(order: str = "zyx") -> np.ndarray:
    """Flat layers, the cheapest volume to code, 1.1 MB."""
    z = np.arange(SIDES[0])[:, None, None]
    volume = np.broadcast_to(1500.0 + 200 * (z // 9), SIDES)
    return np.ascontiguousarray(volume.transpose(["zyx".index(axis) for axis in order]), "<f4")


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoding, "BRICK", (8, 16, 15))
    monkeypatch.setattr(base, "LAYER", 8)
    monkeypatch.setattr(checks, "LAYER", 8)
    monkeypatch.setattr(checks, "SAMPLES_AT_ONCE", 1 << 13)


@pytest.mark.parametrize("order", ["zyx", "xyz"])
@pytest.mark.parametrize("suffix", ["npy", "h5"])
def test_neither_direction_holds_the_whole_volume(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, order: str, suffix: str
) -> None:
    volume, path = layers(order), tmp_path / f"in.{suffix}"
    with velcodec.open(
        velcodec.compress(volume, volume=True, order=order, lossless=True)
    ) as archive:
        decompress_file(archive, path)
    sizes: list[int] = []

    def noted(of: Callable[..., np.ndarray]) -> Callable[..., np.ndarray]:
        def work(*arguments: Any) -> np.ndarray:
            found = of(*arguments)
            sizes.append(found.size)
            return found

        return work

    monkeypatch.setattr(base.Part, "_box", noted(base.Part._box))
    monkeypatch.setattr(base.Part, "read", noted(base.Part.read))
    models = open_models(path, volume=True, order=order)
    for promise in ({"lossless": True}, {"psnr": 40.0}, {"max_error": 20.0}):
        compress_files(models, tmp_path / "out.vlat", **promise, force=True)  # type: ignore[arg-type]
    assert max(sizes) <= volume.size / 7
    assert sum(sizes) >= 6 * volume.size  # all of it is read, and checked before it is encoded
    monkeypatch.setattr(StoredVolume, "read", noted(StoredVolume.read))
    sizes.clear()
    with velcodec.open(tmp_path / "out.vlat") as archive:
        decompress_file(archive, tmp_path / f"back.{suffix}")
    assert sum(sizes) == volume.size
    assert max(sizes) <= volume.size / 4
    (part,) = open_models(tmp_path / f"back.{suffix}", volume=True, order=order).parts
    assert np.abs(part.read(0, 1)[0] - layers()).max() <= 20.0


@pytest.mark.parametrize(
    ("suffix", "z_up"), [*((suffix, False) for suffix in FORMATS), ("npy", True), ("h5", True)]
)
def test_parts_of_a_file_are_those_of_its_volume(tmp_path: Path, suffix: str, z_up: bool) -> None:
    path = tmp_path / f"in.{suffix}"
    stack = np.stack([layers(), layers() + np.arange(SIDES[2], dtype=np.float32)])
    with velcodec.open(velcodec.compress(stack, volume=True, lossless=True)) as archive:
        decompress_file(archive, path)
    direction = {"z_positive": "up"} if z_up else {}
    shape = stack.shape if suffix == "bin" else None
    (part,) = open_models(path, volume=True, shape=shape, **direction).parts
    whole = part.read(0, 2)
    assert np.array_equal(np.sort(whole, axis=None), np.sort(stack, axis=None))
    for number in range(2):
        volume = part.volume(number)
        assert isinstance(volume, FileVolume)
        assert (volume.shape, volume.dtype, volume.size) == (SIDES, np.float32, stack[0].size)
        assert volume.ends == (whole[number].min(), whole[number].max())
        for box in (
            (slice(0, 8), slice(16, 32), slice(45, 60)),
            (slice(60, 72), slice(63, 64), slice(0, 60)),
            (slice(7, 9), slice(0, 64), slice(3, 4)),
            (slice(None), slice(None), slice(None)),
        ):
            assert np.array_equal(volume[box], whole[number][box])
        assert np.array_equal(volume[5:30], whole[number][5:30])


def test_boxes_of_any_array_are_read_from_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    random = np.random.default_rng(0)
    path = tmp_path / "array"
    for long_step, piece in ((1 << 16, 1 << 24), (60, 200), (0, 64)):
        monkeypatch.setattr(safe_read, "LONG_STEP_BYTES", long_step)
        monkeypatch.setattr(safe_read, "PIECE_BYTES", piece)
        for _ in range(20):
            shape = tuple(random.integers(1, 9, 4).tolist())
            array = random.integers(0, 1000, shape).astype(">i2")
            starts = [int(random.integers(0, size)) for size in shape]
            box = tuple(
                slice(start, int(random.integers(start, size + 1)))
                for start, size in zip(starts, shape, strict=True)
            )
            for fortran in (False, True):
                path.write_bytes(b"head" + array.tobytes("F" if fortran else "C"))
                found = safe_read.read_box(path, 4, shape, array.dtype, box, fortran=fortran)
                assert np.array_equal(found, array[box])


@pytest.mark.parametrize("shape", [(1, 1, 1), (72, 64, 60), (20, 100, 100), (8, 1, 1)])
def test_parts_that_are_checked_cover_a_volume_within_its_layers(shape: tuple[int, ...]) -> None:
    ranges = checks.plane_ranges(shape)
    assert [start for start, _ in ranges] == [0, *(stop for _, stop in ranges[:-1])]
    assert ranges[-1][1] == shape[0]
    for start, stop in ranges:
        assert start // 8 == (stop - 1) // 8
        assert stop - start == 1 or (stop - start) * shape[1] * shape[2] <= 1 << 13


def test_chunks_of_a_file_are_read_once_to_check_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with velcodec.open(velcodec.compress(layers(), volume=True, lossless=True)) as archive:
        decompress_file(archive, tmp_path / "in.h5")
    (part,) = open_models(tmp_path / "in.h5").parts
    sizes: list[int] = []
    of_part = type(part)._load_box

    def counted(self: base.Part, box: tuple[slice, ...]) -> np.ndarray:
        found = of_part(self, box)
        sizes.append(found.size)
        return found

    monkeypatch.setattr(type(part), "_load_box", counted)
    volume = part.volume(0)
    assert sum(sizes) == layers().size
    sizes.clear()
    for start in range(8, 16):
        assert np.array_equal(volume[start : start + 1], layers()[start : start + 1])
    assert sizes == [8 * 64 * 60]


def test_a_file_that_changes_while_it_is_read_is_an_error(tmp_path: Path) -> None:
    np.save(tmp_path / "in.npy", layers())
    volume = open_models(tmp_path / "in.npy", volume=True).parts[0].volume(0)
    np.save(tmp_path / "in.npy", layers()[:50])
    with pytest.raises(InputFileError, match="has changed while it was read"):
        volume[:8]


def test_a_bad_sample_is_named_by_its_place_in_the_file(tmp_path: Path) -> None:
    array = layers("yxz")
    array[63, 2, 71] = np.nan
    np.save(tmp_path / "in.npy", array[None])
    (part,) = open_models(tmp_path / "in.npy", volume=True, order="yxz").parts
    with pytest.raises(NonFiniteError, match=r"found nan at index \(0, 63, 2, 71\)"):
        part.volume(0)


def test_a_volume_goes_to_a_stream_in_parts(tmp_path: Path) -> None:
    stack = np.stack([layers("yxz"), layers("yxz") + 1])
    data = velcodec.compress(stack, volume=True, order="yxz", lossless=True)
    for name in ("npy", "raw"):
        path = tmp_path / f"out.{name}"
        with velcodec.open(data) as archive, path.open("wb") as out:
            shape = decompress_stream(archive, out, velcodec_options(name))
        assert shape == stack.shape
        written = np.load(path) if name == "npy" else np.fromfile(path, "<f4").reshape(shape)
        assert np.array_equal(written, stack)


def velcodec_options(name: str) -> Any:
    from velcodec.files.decompress import Decompression

    return Decompression(format=name)
