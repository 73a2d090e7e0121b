"""What a stream's samples take in time is paid for in bytes, and grows with the samples alone."""

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
from velcodec.formats.sample_coding.domain import Domain
from velcodec.formats.sample_coding.label_map.coder import decode_labels, encode_labels
from velcodec.formats.sample_coding.label_map.network import network_of
from velcodec.formats.sample_coding.label_map.recency import label_at, new_recency, place_of, use
from velcodec.formats.sample_coding.stream import (
    EXACT_NETWORK,
    LABELS,
    LEAST_SQUARES,
    NUMBERS,
    SAMPLES_PER_BYTE,
    WAVES,
    ExactStream,
    Made,
    decode_exact,
    encode_as_labels,
    encode_as_least_squares,
    encode_as_waves,
    encode_exact,
)

SPAN = 3001
CODING = exact_coding(Domain(0, 1500.0, 1.0, SPAN))
SHAPES = {LABELS: (128, 96), NUMBERS: (128, 192), WAVES: (128, 96), LEAST_SQUARES: (64, 96)}
SECONDS_PER_BYTE = 0.05
"""Five times what docs/trust.md says of a core, so that a busy machine passes."""

F4 = np.dtype("<f4")


def seconds(call: Callable[[], object]) -> float:
    """What a call takes of a core once its loops are compiled."""
    call()
    begun = time.process_time()
    call()
    return time.process_time() - begun


def read(coder: int, data: bytes) -> np.ndarray:
    return decode_exact(ExactStream(0, coder, data), CODING, SHAPES[coder], F4)


def least(coder: int) -> int:
    return SHAPES[coder][0] * SHAPES[coder][1] // SAMPLES_PER_BYTE[coder]


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
def test_zeros_before_a_stream_are_as_many_as_it_lacks(coder: int) -> None:
    made = constant(coder)
    assert len(made.stream.data) == least(coder)
    assert made.stream.data.startswith(b"\0")
    assert np.array_equal(read(coder, made.stream.data), 1500 + made.codes)
    for data in (b"\0" + made.stream.data, made.stream.data[1:]):
        with pytest.raises(CorruptError, match="exact stream: found"):
            read(coder, data)


def constant(coder: int) -> Made:
    """A model of one value in the stream of a coder."""
    codes = np.full(SHAPES[coder], 700, dtype=np.int64)
    allowed = np.repeat(codes[..., None], 3, axis=2)
    if coder == WAVES:
        allowed[..., 0], allowed[..., 2] = 0, SPAN - 1
    made = {
        LABELS: lambda: encode_as_labels(allowed, 0, CODING),
        NUMBERS: lambda: encode_exact(allowed, 0, CODING)[-1],
        WAVES: lambda: encode_as_waves(allowed, 0, CODING),
        LEAST_SQUARES: lambda: encode_as_least_squares(
            encode_exact(allowed, 0, CODING)[-1], CODING
        ),
    }[coder]()
    assert made is not None
    return made


@pytest.mark.parametrize("coder", SHAPES)
@pytest.mark.parametrize("fill", [b"\0", b"\1", b"\x7f", b"\xff"])
def test_no_byte_of_a_stream_takes_longer_than_is_said(coder: int, fill: bytes) -> None:
    data = fill * least(coder)

    def ask() -> None:
        with suppress(CorruptError):
            read(coder, data)

    assert seconds(ask) < SECONDS_PER_BYTE * len(data)


def test_labels_of_noise_take_time_by_their_samples_not_by_their_values() -> None:
    network, rng = network_of(EXACT_NETWORK), np.random.default_rng(0)
    took = []
    for values in (64, 16_384):
        codes = rng.integers(0, values, (128, 128))
        allowed = np.repeat(codes[..., None], 3, axis=2)
        encoded = encode_labels(allowed, values, 0, network)
        assert encoded is not None
        stream = encoded[0]
        assert np.array_equal(decode_labels(stream, (128, 128), values, 0, network), codes)
        took.append(
            seconds(lambda v=values, s=stream: decode_labels(s, (128, 128), v, 0, network))
            + seconds(lambda v=values, a=allowed: encode_labels(a, v, 0, network))
        )
    assert took[1] < 8 * took[0]


def test_the_rank_of_every_label_is_found_in_little_time() -> None:
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
def test_labels_stand_in_the_order_of_their_use(capacity: int, used: list[int]) -> None:
    recency, order = new_recency(capacity), list[int]()
    for label in used:
        label = min(label, len(order), capacity - 1)  # numbered by first use
        use(label, True, recency)
        order = [label, *(other for other in order if other != label)]
    assert [label_at(place, recency) for place in range(len(order))] == order
    assert [place_of(label, recency) for label in order] == list(range(len(order)))
