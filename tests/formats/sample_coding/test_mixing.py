"""Streams of mixed decisions: images come back, on every machine, and no bytes harm a reader."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from velcodec import synth
from velcodec.formats.errors import CorruptError
from velcodec.formats.sample_coding.label_map.coder import encode_label_map
from velcodec.formats.sample_coding.label_map.network import network_of
from velcodec.formats.sample_coding.mixing.coder import (
    MAX_SPAN,
    blank_start,
    decode_mixed,
    encode_mixed,
    fits,
    write,
)
from velcodec.formats.sample_coding.mixing.mixer import (
    CONFIDENCE,
    MOST_LOGIT,
    SHARES,
    SQUASH,
    STRETCH,
)
from velcodec.formats.sample_coding.mixing.start import kept, restored
from velcodec.formats.sample_coding.prediction.blended import encode_blended

SHAPES = npst.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=18)
WAYS = pytest.mark.parametrize("smooth", [False, True])


def layers(shape: tuple[int, int], values: int, span: int) -> np.ndarray:
    """Integers (nz, nx) of [0, span): curved layers of so many values, one with specks."""
    z, x = np.mgrid[: shape[0], : shape[1]]
    layer = np.clip((z + 3 * np.sin(x / 9)) * values / shape[0], 0, values - 1).astype(np.int64)
    palette = np.random.default_rng(values).integers(0, span, values)
    return palette[layer]


def came_back(image: np.ndarray, span: int, smooth: bool, bound: int = 0) -> np.ndarray:
    """The image after a way through a stream."""
    stream = encode_mixed(image, span, bound, smooth)
    return decode_mixed(stream, image.shape, span, bound)


@WAYS
@settings(deadline=None, max_examples=60)
@given(data=st.data(), span=st.integers(1, MAX_SPAN), few=st.integers(1, 5))
def test_any_image_comes_back(data: st.DataObject, span: int, few: int, smooth: bool) -> None:
    any_value = st.integers(0, span - 1)
    palette = data.draw(st.lists(any_value, min_size=few, max_size=few))
    elements = data.draw(st.sampled_from([any_value, st.sampled_from(palette)]))
    image = data.draw(npst.arrays(np.int64, SHAPES, elements=elements))
    bound = data.draw(st.integers(0, 5))
    np.testing.assert_array_equal(came_back(image, span, smooth, bound), image)


@WAYS
@pytest.mark.parametrize("values", [1, 5, 60])
@pytest.mark.parametrize(
    "shape", [(1, 1), (1, 90), (90, 1), (70, 70), (300, 40), (37, 300), (170, 170)]
)
def test_layers_come_back(shape: tuple[int, int], values: int, smooth: bool) -> None:
    image = layers(shape, values, 3000)
    np.testing.assert_array_equal(came_back(image, 3000, smooth), image)


@WAYS
def test_images_of_both_ends_come_back(smooth: bool) -> None:
    image = (np.indices((20, 20)).sum(0) % 2) * (MAX_SPAN - 1)
    np.testing.assert_array_equal(came_back(image, MAX_SPAN, smooth), image)


@WAYS
def test_noise_takes_hardly_more_bytes_than_it_has(smooth: bool) -> None:
    image = np.random.default_rng(4).integers(0, 256, (70, 70))
    assert len(encode_mixed(image, 256, 0, smooth)) < 1.08 * image.size


def test_large_layered_models_take_far_fewer_bytes_than_labels() -> None:
    model = synth.draw("geology", 21, 0, 1).render(200, 300).numpy()[0]
    image = np.rint((model - model.min()) / 20).astype(np.int64)
    span = int(image.max()) + 1
    labels = encode_label_map(np.stack([image] * 3, -1), span, 1, network_of(3))
    assert labels is not None
    assert len(encode_mixed(image, span, 1, smooth=False)) < 0.9 * len(labels[0])


@pytest.mark.parametrize("levels", [256, 1 << 22])
def test_smooth_models_take_far_fewer_bytes_than_by_blended_predictions(levels: int) -> None:
    model = synth.draw("style_a", 22, 0, 1).render(70, 70).numpy()[0].astype(np.float64)
    image = np.rint((model - model.min()) * (levels - 1) / np.ptp(model)).astype(np.int64)
    mixed, blended = encode_mixed(image, levels, 0, smooth=True), encode_blended(image, levels)
    assert len(mixed) < 0.85 * len(blended)


def test_a_stream_tells_whether_its_image_is_smooth() -> None:
    image = layers((30, 30), 5, 90)
    layered, smooth = (encode_mixed(image, 90, 0, way) for way in (False, True))
    assert layered != smooth
    for stream in (layered, smooth):
        np.testing.assert_array_equal(decode_mixed(stream, (30, 30), 90, 0), image)


def test_streams_do_not_depend_on_those_before() -> None:
    image = layers((50, 40), 6, 900)
    first = encode_mixed(image, 900, 0, smooth=False)
    encode_mixed(layers((50, 40), 30, 900), 900, 0, smooth=False)
    assert encode_mixed(image, 900, 0, smooth=False) == first


@pytest.mark.parametrize("shape", [(70, 70), (170, 170)])
def test_what_is_learned_shortens_what_follows(shape: tuple[int, int]) -> None:
    start, image = blank_start(), layers(shape, 6, 900)
    first, second = (len(write(image, 900, 0, start, smooth=False)) for _ in range(2))
    assert second < 0.7 * first


@WAYS
@pytest.mark.parametrize(("shape", "span"), [((2, 2), MAX_SPAN + 1), ((1 << 11, 2049), 9)])
def test_too_much_is_refused(shape: tuple[int, int], span: int, smooth: bool) -> None:
    assert fits((2, 2), MAX_SPAN)
    assert fits((1 << 11, 1 << 11), 9)
    assert not fits(shape, span)
    found = f"found {shape[0]} x {shape[1]} samples of span {span}, too great"
    with pytest.raises(ValueError, match=found):
        encode_mixed(np.zeros(shape, dtype=np.int64), span, 0, smooth)
    with pytest.raises(CorruptError, match=found):
        decode_mixed(b"", shape, span, 0)


@WAYS
@settings(deadline=None, max_examples=150)
@given(stream=st.binary(max_size=60), span=st.sampled_from([1, 2, 255, MAX_SPAN]))
def test_any_bytes_decode_or_are_refused(stream: bytes, span: int, smooth: bool) -> None:
    try:
        image = decode_mixed(stream, (9, 8), span, 0)
    except CorruptError:
        return
    assert image.shape == (9, 8)
    assert image.min() >= 0
    assert image.max() < span


@WAYS
@pytest.mark.parametrize("cut", [1, 2, 5])
def test_a_stream_cut_short_is_refused(cut: int, smooth: bool) -> None:
    image = layers((40, 37), 20, 900)
    stream = encode_mixed(image, 900, 0, smooth)
    with pytest.raises(CorruptError):
        decode_mixed(stream[:-cut], (40, 37), 900, 0)


@WAYS
def test_hostile_bytes_take_no_more_time_than_samples_do(smooth: bool) -> None:
    """Whatever the bytes: 40 microseconds a sample are many times what the slowest ones take."""
    decode_mixed(encode_mixed(np.eye(9, dtype=np.int64), 2, 0, smooth), (9, 9), 2, 0)
    random = np.random.default_rng(5)
    for length in (0, 100, 20_000):
        begun = time.process_time()
        with pytest.raises(CorruptError):
            decode_mixed(random.bytes(length), (150, 150), MAX_SPAN, 0)
        assert time.process_time() - begun < 150 * 150 * 40e-6 + 0.5


def test_logits_are_the_inverse_of_probabilities() -> None:
    assert SQUASH[MOST_LOGIT] == 1 << 15
    np.testing.assert_array_equal(SQUASH + SQUASH[::-1], 1 << 16)
    assert (np.diff(SQUASH) >= 0).all()
    exact = 65536 / (1 + np.exp(-np.arange(-MOST_LOGIT, MOST_LOGIT + 1) / 256))
    assert np.abs(SQUASH - exact).max() <= 1
    back = SQUASH[STRETCH.astype(np.int64) + MOST_LOGIT]
    assert np.abs(back - np.arange(1 << 16)).max() <= 65


def test_counters_trust_and_move_as_often_as_they_were_used() -> None:
    assert (np.diff(CONFIDENCE) >= 0).all()
    assert (np.diff(SHARES[1:]) < 0).all()
    assert SHARES[1] < 1 << 20


def test_what_a_file_keeps_of_a_start_serves_nearly_as_well() -> None:
    start, blank = blank_start(), blank_start()
    for values in range(3, 23):
        write(layers((60, 60), values, 900), 900, 0, start, smooth=False)
    parts = ("quiet", "like", "miss")
    again = start._replace(
        **{
            name: restored(
                kept(getattr(start, name), name, getattr(blank, name)), name, getattr(blank, name)
            )
            for name in parts
        }
    )
    image = layers((60, 60), 12, 700)
    sizes = [len(write(image, 700, 0, one, smooth=False)) for one in (blank, start, again)]
    assert sizes[1] < 0.7 * sizes[0]
    assert sizes[2] < 1.05 * sizes[1]


ENCODE = """
import hashlib, sys
import numpy as np
from velcodec.formats.sample_coding.mixing.coder import encode_mixed
z, x = np.mgrid[:60, :50]
layered = np.clip((z + 3 * np.sin(x / 9)) / 10, 0, 5).astype(np.int64) * 37
grey = (z * 3 + 20 * np.sin(x / 8 + z / 11) + 30).astype(np.int64)
for image in (layered, grey):
    for smooth in (False, True):
        print(hashlib.sha256(encode_mixed(image, 256, 0, smooth)).hexdigest())
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "way",
    [
        {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": ""},
        {"NUMBA_OPT": "0", "NUMBA_LOOP_VECTORIZE": "0"},
    ],
)
def test_each_processor_and_each_compilation_makes_the_same_bytes(
    way: dict[str, str], tmp_path: Path
) -> None:
    def bytes_made(environment: dict[str, str]) -> str:
        return subprocess.run(
            [sys.executable, "-c", ENCODE],
            env=os.environ | environment,
            capture_output=True,
            text=True,
            check=True,
        ).stdout

    own = bytes_made({})
    assert len(set(own.split())) == 4
    assert bytes_made(way | {"NUMBA_CACHE_DIR": str(tmp_path)}) == own
