"""Streams of least squares: images come back, on every machine, and no bytes harm a reader."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

import velcodec
from velcodec import synth
from velcodec.decode.stored import read_record
from velcodec.formats.errors import CorruptError
from velcodec.formats.sample_coding.dct.coder import encode_waves
from velcodec.formats.sample_coding.prediction.blended import encode_numbers
from velcodec.formats.sample_coding.prediction.least_squares import (
    MAX_SPAN,
    decode_least_squares,
    encode_least_squares,
    fits,
)
from velcodec.formats.sample_coding.stream import LEAST_SQUARES

SHAPES = npst.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=18)

GOLDEN = Path(__file__).parents[1] / "golden" / "samples"


def smooth(shape: tuple[int, int] = (40, 37), span: int = 3001) -> np.ndarray:
    """Integers (nz, nx) of [0, span) that rise with depth and swing a little."""
    z, x = np.mgrid[: shape[0], : shape[1]]
    image = z / max(shape[0], 2) + 0.1 * np.sin(x / 5 + z / 7)
    return np.clip(np.rint((0.1 + 0.7 * image) * span), 0, span - 1).astype(np.int64)


@settings(deadline=None, max_examples=60)
@given(data=st.data(), span=st.integers(1, MAX_SPAN))
def test_any_image_comes_back(data: st.DataObject, span: int) -> None:
    values = st.integers(0, span - 1)
    image = data.draw(npst.arrays(np.int64, SHAPES, elements=values))
    stream = encode_least_squares(image, span)
    np.testing.assert_array_equal(decode_least_squares(stream, image.shape, span), image)


@pytest.mark.parametrize("span", [2, 300, 1 << 16, MAX_SPAN])
@pytest.mark.parametrize("shape", [(1, 60), (60, 1), (40, 37), (7, 3)])
def test_smooth_images_come_back(shape: tuple[int, int], span: int) -> None:
    image = smooth(shape, span)
    stream = encode_least_squares(image, span)
    np.testing.assert_array_equal(decode_least_squares(stream, shape, span), image)


def test_images_of_both_ends_come_back() -> None:
    image = (np.indices((20, 20)).sum(0) % 2) * (MAX_SPAN - 1)
    stream = encode_least_squares(image, MAX_SPAN)
    np.testing.assert_array_equal(decode_least_squares(stream, (20, 20), MAX_SPAN), image)


def test_smooth_models_take_far_fewer_bytes_than_numbers_and_waves() -> None:
    model = synth.draw("style_a", 21, 0, 1).render(70, 70).numpy()[0]
    image = np.rint((model - model.min()) / 10).astype(np.int64)
    span = int(image.max()) + 1
    ours = len(encode_least_squares(image, span))
    assert ours < 0.75 * len(encode_numbers(image, span))
    assert ours < 0.9 * len(encode_waves(np.stack([image] * 3, -1), span))


@pytest.mark.parametrize(("shape", "span"), [((2, 2), MAX_SPAN + 1), ((1 << 10, 1025), 9)])
def test_too_much_is_refused(shape: tuple[int, int], span: int) -> None:
    assert fits((2, 2), MAX_SPAN)
    assert fits((1 << 10, 1 << 10), 9)
    assert not fits(shape, span)
    found = f"found {shape[0]} x {shape[1]} samples of span {span}, too great"
    with pytest.raises(ValueError, match=found):
        encode_least_squares(np.zeros(shape, dtype=np.int64), span)
    with pytest.raises(CorruptError, match=found):
        decode_least_squares(b"", shape, span)


@settings(deadline=None, max_examples=150)
@given(stream=st.binary(max_size=60), span=st.sampled_from([1, 2, 255, MAX_SPAN]))
def test_any_bytes_decode_or_are_refused(stream: bytes, span: int) -> None:
    try:
        image = decode_least_squares(stream, (9, 8), span)
    except CorruptError:
        return
    assert image.shape == (9, 8)
    assert image.min() >= 0
    assert image.max() < span


@pytest.mark.parametrize("cut", [1, 2, 5])
def test_a_stream_cut_short_is_refused(cut: int) -> None:
    stream = encode_least_squares(smooth(), 3001)
    with pytest.raises(CorruptError):
        decode_least_squares(stream[:-cut], (40, 37), 3001)


@pytest.mark.parametrize("promise", [{"lossless": True}, {"max_error": 0.5}])
def test_smooth_models_are_stored_so(promise: dict[str, float]) -> None:
    models = synth.draw("style_a", 22, 0, 2).render(40, 44).numpy()
    with velcodec.open(velcodec.compress(models, **promise)) as archive:  # type: ignore[arg-type]
        for number in range(2):
            exact = read_record(archive._reader, number)[1].exact
            assert exact is not None
            assert exact.coder == LEAST_SQUARES
            error = np.abs(archive[number].astype(np.float64) - models[number]).max()
            assert error <= promise.get("max_error", 0.0)


DECODE = """
import hashlib, sys, velcodec
with velcodec.open(sys.argv[1]) as archive:
    print(*(hashlib.sha256(archive[i].tobytes()).hexdigest() for i in range(len(archive))))
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "way",
    [
        {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": ""},
        {"NUMBA_OPT": "0", "NUMBA_LOOP_VECTORIZE": "0"},
        {"NUMBA_SLP_VECTORIZE": "1"},
    ],
)
def test_each_processor_and_each_compilation_finds_the_same(
    way: dict[str, str], tmp_path: Path
) -> None:
    for name in ("smooth.vlat", "smooth-lossless.vlat"):
        with velcodec.open(GOLDEN / name) as archive:
            sums = [hashlib.sha256(archive[i].tobytes()).hexdigest() for i in range(len(archive))]
        found = subprocess.run(
            [sys.executable, "-c", DECODE, str(GOLDEN / name)],
            env=os.environ | way | {"NUMBA_CACHE_DIR": str(tmp_path)},
            capture_output=True,
            text=True,
            check=True,
        )
        assert found.stdout.split() == sums
