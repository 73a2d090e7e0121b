"""The benchmark of other codecs: every byte that a decoder needs is counted, bounds are kept."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from benchmarks.peers.__main__ import main
from benchmarks.peers.base import (
    Known,
    Models,
    Mosaic,
    Peer,
    Setting,
    Streams,
    from_mosaic,
    mosaic_grid,
    to_mosaic,
)
from benchmarks.peers.budgets import OWN_SETTINGS, best
from benchmarks.peers.labels import LabelCoder
from benchmarks.peers.load import load
from benchmarks.peers.measure import ROUNDING, Point, curve, measure
from benchmarks.peers.ours import NAME
from benchmarks.peers.pictures import shared_header_sizes
from benchmarks.peers.quantised import DeltaZstd, JpegXlLossless
from benchmarks.peers.registry import peers

PEERS = [peer for peer in peers(budgets=(64.0,)) if not peer.name.startswith(NAME)]
QUICK = [peer for peer in PEERS if not peer.ideal]


def _installed(peer: Peer) -> None:
    if missing := peer.missing():
        pytest.skip(f"{', '.join(missing)} is not installed")


def _names(found: list[Peer]) -> list[str]:
    return [peer.name for peer in found]


@pytest.fixture(scope="module")
def layered() -> Models:
    """Three models of five curved layers, whole m/s."""
    z, x = np.mgrid[0:40, 0:36]
    depth = z[None] + np.array([2.0, 3.0, 5.0])[:, None, None] * np.sin(x / 9.0)
    layers = np.clip(depth // 9, 0, 4).astype(np.int64)
    return np.array([1600, 2100, 2750, 3333, 4200], np.float32)[layers]


@pytest.fixture(scope="module")
def smooth() -> Models:
    """Three smooth models, with velocities that are not whole m/s."""
    z, x = np.mgrid[0:40, 0:36]
    phase = np.array([0.0, 1.0, 2.0])[:, None, None]
    return (3000 + 900 * np.sin(z / 13.0 + phase) * np.cos(x / 11.0)).astype(np.float32)


@pytest.mark.parametrize("peer", QUICK, ids=_names(QUICK))
def test_more_bytes_bring_models_closer(peer: Peer, smooth: Models) -> None:
    _installed(peer)
    points = []
    for value in (peer.lossy[len(peer.lossy) // 2], peer.lossy[-2]):
        points.append(measure(peer, "smooth", smooth, Setting("lossy", value)))
    assert points[1].bytes_per_model > points[0].bytes_per_model
    assert points[1].psnr.mean() > points[0].psnr.mean()
    assert points[1].psnr.mean() > 25


@pytest.mark.parametrize("bound", [2.0, 40.0])
@pytest.mark.parametrize(
    "peer", [peer for peer in PEERS if peer.bounded], ids=_names([p for p in PEERS if p.bounded])
)
def test_no_sample_is_off_by_more_than_the_bound(
    peer: Peer, bound: float, smooth: Models, layered: Models
) -> None:
    _installed(peer)
    for models in (smooth, layered):
        point = measure(peer, "both", models, Setting("bound", bound))
        assert point.kept
        assert point.max_error.max() <= bound + ROUNDING


@pytest.mark.parametrize(
    "peer", [peer for peer in PEERS if peer.lossless], ids=_names([p for p in PEERS if p.lossless])
)
def test_decoding_inverts_encoding_without_loss(
    peer: Peer, smooth: Models, layered: Models
) -> None:
    _installed(peer)
    for models in (layered,) if "AV1" in peer.name else (smooth, layered):
        assert measure(peer, "both", models, Setting("lossless")).exact


@pytest.mark.parametrize("peer", QUICK, ids=_names(QUICK))
def test_sizes_add_up_to_the_bytes_there_are(peer: Peer, layered: Models) -> None:
    _installed(peer)
    known = Known.of(layered)
    stored = peer.encode(layered, known, Setting("lossy", peer.lossy[-2]))
    total = peer.sizes(stored, known).sum()
    if isinstance(stored, bytes):
        assert total == pytest.approx(len(stored))
    elif "AV1" in peer.name:
        start = 4 if peer.name.startswith("quantised") else 0
        header = stored[0][start:][: stored[0][start + 1] + 2]
        assert all(stream[start:].startswith(header) for stream in stored)
        frames = sum(len(stream) - len(header) for stream in stored)
        assert total == pytest.approx(len(header) + frames)
    else:
        assert total == sum(len(stream) for stream in stored)


def test_different_sequence_headers_are_all_counted() -> None:
    first, second = b"\x0a\x02AB", b"\x0a\x03CDE"
    streams = [b"--" + first + b"frame", b"--" + second + b"longer frame", b"--" + first + b"f"]
    one_header = shared_header_sizes([streams[0], streams[2]], [2, 2])
    assert one_header.sum() == pytest.approx(2 * 2 + len(first) + len("framef"))
    several = shared_header_sizes(streams, [2, 2, 2])
    frames = len("framelonger framef")
    assert several.sum() == pytest.approx(3 * 2 + len(first) + len(second) + frames + 3)


def test_velocities_off_a_grid_of_metres_are_integers_when_they_are_few() -> None:
    _, x = np.mgrid[0:40, 0:36]
    plane = (1500.0 + 3000.0 * (x // 6) / 7.0).astype(np.float32)
    known = Known((1, *plane.shape))
    codec = DeltaZstd()
    stream = codec.encode(plane, known, Setting("lossless"))
    floats = codec.encode_floats(plane + np.random.default_rng(1).random(plane.shape, np.float32))
    assert np.array_equal(codec.decode(stream, known), plane)
    assert len(stream) < len(floats) / 10


@pytest.mark.parametrize("program", ["aomenc", "aomdec"])
def test_a_codec_without_its_program_is_reported_as_skipped(
    program: str,
    tmp_path: Path,
    layered: Models,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None if name == program else name)
    np.save(tmp_path / "layered.npy", layered)
    main([str(tmp_path / "layered.npy"), "--out", str(tmp_path), "--only", "block copy"])
    skipped = f"AV1, palette + block copy, shared header: skipped, {program} is not installed"
    assert skipped in capsys.readouterr().err


@pytest.mark.parametrize("count", [1, 2, 3, 7, 12, 40])
def test_a_mosaic_gives_its_models_back(count: int) -> None:
    models = np.arange(count * 6, dtype=np.float32).reshape(count, 2, 3)
    rows, columns = mosaic_grid(count)
    assert rows * columns - count < columns
    assert np.array_equal(from_mosaic(to_mosaic(models), models.shape), models)


def test_a_shared_header_makes_a_mosaic_shorter(layered: Models) -> None:
    peer = Mosaic(JpegXlLossless(effort=9))
    _installed(peer)
    alone = measure(Streams(peer.codec), "layered", layered, Setting("lossless"))
    together = measure(peer, "layered", layered, Setting("lossless"))
    assert together.bytes_per_model < alone.bytes_per_model


@pytest.mark.parametrize("count", [1, 2, 9, 300])
def test_labels_come_back_in_order(count: int) -> None:
    draws = np.random.default_rng(count)
    images = [draws.integers(0, count, (12, 7)) for _ in range(3)]
    encoder = LabelCoder()
    for image in images:
        encoder.code(image.copy(), count)
    decoder = LabelCoder(encoder.finish())
    for image in images:
        found = np.zeros_like(image)
        decoder.code(found, count)
        assert np.array_equal(found, image)


def _point(setting: float, sizes: list[float], psnr: list[float], archive: bool = False) -> Point:
    figures = np.array(psnr)
    return Point(
        codec="a codec",
        file="a file",
        setting=Setting("lossy", setting),
        archive=archive,
        ideal=False,
        sizes=np.array(sizes),
        psnr=figures,
        ssim=figures / 100.0,
        mae=figures,
        max_error=figures,
        exact=False,
        encode_speed=1.0,
        decode_speed=1.0,
    )


def test_the_best_within_a_budget_keeps_to_it() -> None:
    points = [_point(1, [10, 30], [20, 20]), _point(2, [40, 60], [30, 30])]
    found = best(points, 45.0)
    assert found is not None
    assert (found.psnr, found.bytes_per_model, found.choice) == (25.0, 35.0, OWN_SETTINGS)
    assert best(points, 50.0).bytes_per_model == 50.0  # type: ignore[union-attr]
    assert best(points, 19.0) is None


def test_models_of_an_archive_share_a_setting() -> None:
    points = [
        _point(1, [20, 20], [20, 20], archive=True),
        _point(2, [50, 50], [30, 30], archive=True),
    ]
    found = best(points, 45.0)
    assert found is not None
    assert found.psnr == 20.0


def test_a_broken_promise_is_not_kept() -> None:
    point = _point(1, [10, 30], [20, 20])
    within = Point(**{**vars(point), "setting": Setting("bound", 19.0)})
    assert not within.kept
    assert not Point(**{**vars(point), "setting": Setting("lossless")}).kept


def test_the_curve_comes_close_to_a_budget_from_below(smooth: Models) -> None:
    peer = next(peer for peer in PEERS if "zstd" in peer.name)
    points = curve(peer, "smooth", smooth, (300.0,), lambda _: None)
    found = best(points, 300.0)
    assert found is not None
    assert 240.0 < found.bytes_per_model <= 300.0


def test_the_command_writes_its_files_and_prints_its_tables(
    tmp_path: Path, layered: Models, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save(tmp_path / "layered.npy", layered)
    main(
        [str(tmp_path / "layered.npy"), "--models", "2", "--out", str(tmp_path), "--only", "solid"]
    )
    printed = capsys.readouterr().out
    assert "## layered, 2 models" in printed
    assert "palette (k-means) + contexts, solid" in printed
    assert (tmp_path / "layered.png").stat().st_size > 0
    rows = list(csv.DictReader((tmp_path / "bounds.csv").open()))
    assert {row["asked_m_s"] for row in rows} == {"1", "5", "10", "25", "50", "lossless"}
    assert {row["kept"] for row in rows} == {"yes"}
    within = list(csv.DictReader((tmp_path / "budgets.csv").open()))
    assert all(float(row["bytes_per_model"]) <= float(row["budget"]) for row in within)
    assert len(list(csv.DictReader((tmp_path / "rates.csv").open()))) > 3


def test_bounds_alone_leave_out_the_curves(tmp_path: Path, layered: Models) -> None:
    np.save(tmp_path / "layered.npy", layered)
    main(
        [
            *(str(tmp_path / "layered.npy"), "--last", "2", "--bounds-only"),
            *("--out", str(tmp_path), "--only", "stack"),
        ]
    )
    assert list(csv.DictReader((tmp_path / "rates.csv").open())) == []
    rows = list(csv.DictReader((tmp_path / "bounds.csv").open()))
    assert [row["models"] for row in rows] == ["2"] * 6


def test_the_last_models_are_the_last(tmp_path: Path, layered: Models) -> None:
    np.save(tmp_path / "layered.npy", layered)
    assert np.array_equal(load(tmp_path / "layered.npy", last=2), layered[1:])
    assert np.array_equal(load(tmp_path / "layered.npy", first=2), layered[:2])


def test_a_codec_without_its_package_is_reported_as_skipped(
    tmp_path: Path,
    layered: Models,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    np.save(tmp_path / "layered.npy", layered)
    main([str(tmp_path / "layered.npy"), "--out", str(tmp_path), "--only", "ZFP"])
    assert "ZFP: skipped, zfpy is not installed" in capsys.readouterr().err
