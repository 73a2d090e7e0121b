"""The rendering that exact streams are coded against: the same integers wherever it is made."""

from __future__ import annotations

import hashlib
import math
import os
import subprocess
import sys

import numpy as np
import pytest
import torch

import velcodec
from velcodec import synth
from velcodec.codec.coded import render_native
from velcodec.codec.exact_render import ExactRenderer
from velcodec.decoder import Decoder, load_decoder
from velcodec.decoder.integer import ACTIVATION, MAP, POWER_BITS, SINE_BITS, TANH_REACH, tables
from velcodec.formats.exact.stream import NEWEST_NETWORKS
from velcodec.formats.tile_stream import Tiles
from velcodec.stored import read_record
from velcodec.tiling import Tiling, plan

WHOLE = 1 << 30
TILINGS = plan(11, 13, 70), plan(11, 13, 6)
GOLDEN = "7846836a5d592a80"


def some_tiles(tiling: Tiling, seed: int = 0) -> Tiles:
    """Random latents."""
    random = np.random.default_rng(seed)
    count = tiling.tiles
    size = 8.0 * 0.97 ** np.arange(256)
    return Tiles(
        np.rint(random.normal(size=(count, 256)) * size).astype(np.int32),
        random.integers(8, 24, count),
        np.floor(random.uniform(1500, 2000, count)),
        np.floor(random.uniform(2000, 4500, count)),
    )


def checksum(decoder: Decoder, points_at_once: int = WHOLE) -> str:
    """Of a rendering of one tile and one of several, by a decoder whose weights are in a file."""
    digest = hashlib.sha256()
    renderer = ExactRenderer(decoder, points_at_once)
    for tiling in TILINGS:
        digest.update(renderer.render(some_tiles(tiling), tiling).astype("<f8").tobytes())
    return digest.hexdigest()[:16]


@pytest.mark.parametrize("points", [1, 7, 256, WHOLE])
def test_the_points_rendered_together_change_no_sample(points: int) -> None:
    assert checksum(load_decoder(), points) == GOLDEN


@pytest.mark.parametrize("threads", [1, 2])
def test_threads_change_no_sample(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("velcodec.threads._asked_for", threads)
    assert checksum(load_decoder()) == GOLDEN


def test_a_plain_processor_renders_the_same() -> None:
    """Without the vector instructions that torch would choose."""
    code = "from test_exact_render import *; print(checksum(load_decoder()))"
    environment = dict(
        os.environ, ATEN_CPU_CAPABILITY="default", PYTHONPATH=os.path.dirname(__file__)
    )
    found = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == GOLDEN


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_renders_the_same() -> None:
    assert checksum(load_decoder().to("cuda")) == GOLDEN


def test_it_is_close_to_the_rendering_in_floating_point() -> None:
    decoder = load_decoder()
    for tiling in TILINGS:
        tiles = some_tiles(tiling)
        exact = ExactRenderer(decoder).render(tiles, tiling)
        assert np.abs(exact - render_native(decoder, tiles, tiling)).mean() < 2.0
        assert np.array_equal(exact * 16, np.rint(exact * 16))


def test_latents_beyond_all_measure_stay_integers() -> None:
    tiling = plan(9, 9, 70)
    tiles = some_tiles(tiling)
    wild = Tiles(np.full((1, 256), 2**31 - 1, dtype=np.int32), np.array([0]), tiles.low, tiles.high)
    found = ExactRenderer(load_decoder()).render(wild, tiling)
    assert ((tiles.low[0] <= found) & (found <= tiles.high[0])).all()


def test_constant_tiles_render_their_value() -> None:
    tiling = plan(9, 9, 70)
    tiles = some_tiles(tiling)
    flat = Tiles(tiles.coefficients, tiles.step, np.array([2000.5]), np.array([2000.5]))
    assert (ExactRenderer(load_decoder()).render(flat, tiling) == 2000.5).all()


def test_tables_are_the_functions_rounded() -> None:
    found = tables()
    for k in range(0, 1 << SINE_BITS, 97):
        angle = 2 * math.pi * k / (1 << SINE_BITS)
        assert abs(found["sine"][k] - math.sin(angle) * ACTIVATION) <= 0.5 + 1e-6
        reach = 2 * TANH_REACH * k / len(found["tanh"]) - TANH_REACH
        assert abs(found["tanh"][k] - math.tanh(reach) * ACTIVATION) <= 0.5 + 1e-6
    for k in range(0, 1 << POWER_BITS, 31):
        assert abs(found["power"][k] - 2 ** (k / (1 << POWER_BITS)) * MAP) <= 0.5 + 1e-6


def test_samples_beside_a_latent_are_coded_against_its_rendering() -> None:
    models = synth.draw("curvevel_a", 5, 0, 2).render(70, 70).numpy()
    alone = velcodec.compress(models, lossless=True)
    beside = velcodec.compress(models, lossless=True, keep_latent=True)
    assert np.array_equal(velcodec.decompress(beside), models)
    with velcodec.open(alone) as a, velcodec.open(beside) as b:
        assert a.header.exact is not None
        assert a.header.exact.guided == 0
        assert b.header.exact is not None
        assert b.header.exact.guided == NEWEST_NETWORKS[1]
        for number in range(2):
            streams = [read_record(archive._reader, number)[1].exact for archive in (a, b)]
            assert streams[0] is not None
            assert streams[1] is not None
            assert len(streams[1].data) < len(streams[0].data)
