"""The time to decode a stream is bounded by its bytes, and grows with its samples alone."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress

import numpy as np
import pytest
from builders import exact_coding
from hypothesis import given, settings
from hypothesis import strategies as st

from velcodec.formats.errors import CorruptError
from velcodec.formats.sample_coding import absent_mask
from velcodec.formats.sample_coding.base import Request
from velcodec.formats.sample_coding.coders import (
    BLENDED,
    DCT,
    LABEL_MAP,
    MIXED,
    coder_of,
)
from velcodec.formats.sample_coding.domain import Domain
from velcodec.formats.sample_coding.label_map.coder import decode_label_map, encode_label_map
from velcodec.formats.sample_coding.label_map.network import EXACT_NETWORK, network_of
from velcodec.formats.sample_coding.label_map.recency import label_at, new_recency, position_of, use
from velcodec.formats.sample_coding.stream import (
    CodedImage,
    ExactStream,
    decode_exact,
    encode_image,
)

SPAN = 3001
CODING = exact_coding(Domain(0, 1500.0, 1.0, SPAN))
SHAPES = {LABEL_MAP: (128, 96), BLENDED: (128, 192), DCT: (128, 96), MIXED: (64, 96)}
SECONDS_PER_BYTE = 0.05
"""Five times the figure of docs/trust.md, so that a busy machine passes."""

F4 = np.dtype("<f4")


def seconds(call: Callable[[], object]) -> float:
    """CPU seconds of a call, its kernels compiled."""
    call()
    begun = time.process_time()
    call()
    return time.process_time() - begun


def read(coder: int, data: bytes) -> np.ndarray:
    return decode_exact(ExactStream(0, coder, data), CODING, SHAPES[coder], F4)


def least(coder: int) -> int:
    return SHAPES[coder][0] * SHAPES[coder][1] // coder_of(coder).samples_per_byte


@pytest.mark.parametrize("coder", SHAPES)
def test_a_stream_of_too_few_bytes_for_its_samples_is_refused(coder: int) -> None:
    assert least(coder) >= 3
    for size in range(least(coder)):
        with pytest.raises(CorruptError, match=f"found {size} bytes for .* expected at least"):
            read(coder, bytes(size))


@pytest.mark.parametrize("coder", SHAPES)
def test_a_large_model_of_no_bytes_is_refused_at_once(coder: int) -> None:
    def ask() -> None:
        with pytest.raises(CorruptError, match="expected at least"):
            decode_exact(ExactStream(0, coder, b""), CODING, (10_000, 10_000), F4)

    assert seconds(ask) < 0.05


@pytest.mark.parametrize("coder", SHAPES)
def test_short_streams_are_padded_to_exactly_the_least_length(coder: int) -> None:
    made = constant(coder)
    assert len(made.stream.data) == least(coder)
    assert made.stream.data.startswith(b"\0")
    assert np.array_equal(read(coder, made.stream.data), 1500 + made.codes)
    for data in (b"\0" + made.stream.data, made.stream.data[1:]):
        with pytest.raises(CorruptError, match="exact stream: found"):
            read(coder, data)


def constant(coder: int) -> CodedImage:
    """A model of one value, coded."""
    codes = np.full(SHAPES[coder], 700, dtype=np.int64)
    allowed = np.repeat(codes[..., None], 3, axis=2)
    if coder == DCT:
        allowed[..., 0], allowed[..., 2] = 0, SPAN - 1
    made = encode_image(coder, Request(allowed), 0, CODING)
    assert made is not None
    return made


@pytest.mark.parametrize("coder", SHAPES)
@pytest.mark.parametrize("fill", [b"\0", b"\1", b"\x7f", b"\xff"])
def test_decoding_time_per_byte_is_bounded(coder: int, fill: bytes) -> None:
    data = fill * least(coder)

    def ask() -> None:
        with suppress(CorruptError):
            read(coder, data)

    assert seconds(ask) < SECONDS_PER_BYTE * len(data)


@pytest.mark.parametrize("fill", [b"\1", b"\x7f", b"\xff"])
def test_no_byte_of_absent_samples_takes_longer_than_is_said(fill: bytes) -> None:
    data = fill * (512 * 512 // absent_mask.SAMPLES_PER_BYTE)
    assert len(data) == 16

    def ask() -> None:
        with suppress(CorruptError):
            absent_mask.decode_absent(data, (512, 512))

    assert seconds(ask) < 0.01 * len(data)  # five times what is said


def test_label_maps_of_noise_take_time_by_samples_not_by_values() -> None:
    network, rng = network_of(EXACT_NETWORK), np.random.default_rng(0)
    took = []
    for values in (64, 16_384):
        codes = rng.integers(0, values, (128, 128))
        allowed = np.repeat(codes[..., None], 3, axis=2)
        encoded = encode_label_map(allowed, values, 0, network)
        assert encoded is not None
        stream = encoded[0]
        assert np.array_equal(decode_label_map(stream, (128, 128), values, 0, network), codes)
        took.append(
            seconds(lambda v=values, s=stream: decode_label_map(s, (128, 128), v, 0, network))
            + seconds(lambda v=values, a=allowed: encode_label_map(a, v, 0, network))
        )
    assert took[1] < 8 * took[0]


def test_labels_are_found_by_rank_in_little_time() -> None:
    count = 1 << 16
    recency = new_recency(count)
    for label in range(count):
        use(label, True, recency)

    def ask() -> None:
        for place in range(count - 2000, count):
            use(label_at(place, recency), True, recency)

    assert seconds(ask) < 1


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 9), st.lists(st.integers(0, 8), max_size=60))
def test_labels_are_in_order_of_last_use(capacity: int, used: list[int]) -> None:
    recency, order = new_recency(capacity), list[int]()
    for label in used:
        label = min(label, len(order), capacity - 1)  # numbered by first use
        use(label, True, recency)
        order = [label, *(other for other in order if other != label)]
    assert [label_at(place, recency) for place in range(len(order))] == order
    assert [position_of(label, recency) for label in order] == list(range(len(order)))
