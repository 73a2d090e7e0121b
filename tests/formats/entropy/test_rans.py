"""The entropy coder: what goes in comes out, at its ideal length, and nothing runs away."""

from __future__ import annotations

import math
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from velcodec.formats.entropy.rans import RansDecoder, RansEncoder
from velcodec.formats.errors import CorruptError

Symbol = tuple[int, int, int]  # start, frequency, precision


@st.composite
def symbols(draw: st.DrawFn) -> Symbol:
    precision = draw(st.integers(1, 16))
    frequency = draw(st.integers(1, 1 << precision))
    return draw(st.integers(0, (1 << precision) - frequency)), frequency, precision


def encode(lane: list[Symbol]) -> bytes:
    encoder = RansEncoder(1)
    for start, frequency, precision in reversed(lane):
        encoder.push([start], [frequency], precision)
    return encoder.finish()[0]


@settings(deadline=None, max_examples=80)
@given(st.lists(symbols(), max_size=60))
def test_any_symbols_come_back_in_order(lane: list[Symbol]) -> None:
    decoder = RansDecoder([encode(lane)])
    for start, frequency, precision in lane:
        assert start <= decoder.peek(precision)[0] < start + frequency
        decoder.pop([start], [frequency], precision)
    decoder.finish()


@settings(deadline=None, max_examples=80)
@given(st.lists(symbols(), max_size=60))
def test_after_uniform_bits_a_stream_takes_its_ideal_length_rounded_up(lane: list[Symbol]) -> None:
    bits = 24 + sum(precision - math.log2(frequency) for _, frequency, precision in lane)
    filled = [*lane, (0xAB, 1, 12), (0xCDE, 1, 12)]
    # A state of 2^24 or more loses at most 2^-8 of a bit by a symbol of at most 2^16.
    assert len(encode(filled)) <= math.ceil((bits + len(lane) * 2**-7 + 1) / 8)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.lists(symbols(), max_size=8), min_size=2, max_size=5))
def test_lanes_do_not_touch_each_other(lanes: list[list[Symbol]]) -> None:
    longest = max(len(lane) for lane in lanes)
    padded = [[*lane, *[(0, 1, 1)] * (longest - len(lane))] for lane in lanes]
    encoder = RansEncoder(len(lanes))
    for number in reversed(range(longest)):
        for precision in range(1, 17):
            active = np.array(
                [number < len(lane) and lane[number][2] == precision for lane in lanes]
            )
            if active.any():
                start = [lane[number][0] for lane in padded]
                encoder.push(start, [lane[number][1] for lane in padded], precision, active)
    assert encoder.finish() == [encode(lane) for lane in lanes]


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=4), st.integers(1, 64))
def test_uniform_bits_come_back(values: list[int], bits: int) -> None:
    cut = np.array([value % 2**bits for value in values], dtype=np.uint64)
    active = np.arange(len(values)) % 3 != 1
    encoder = RansEncoder(len(values))
    encoder.push_bits(cut, bits, active)
    decoder = RansDecoder(encoder.finish())
    assert decoder.pop_bits(bits, active).tolist() == np.where(active, cut, 0).tolist()
    decoder.finish()


def test_no_symbols_take_no_bytes() -> None:
    assert RansEncoder(3).finish() == [b"", b"", b""]
    RansDecoder([b"", b"", b""]).finish()
    assert RansEncoder(0).finish() == []
    RansDecoder([]).finish()


def test_certain_symbols_take_no_bytes() -> None:
    assert encode([(0, 1 << 14, 14)] * 1000) == b""


@pytest.mark.parametrize("length", range(12))
def test_a_stream_that_was_not_read_to_its_end_is_refused(length: int) -> None:
    stream = encode([(5, 1, 8)] * length + [(1, 1, 1)])
    decoder = RansDecoder([stream])
    for _ in range(length):
        decoder.pop([5], [1], 8)
    with pytest.raises(CorruptError, match="stream 0: found state"):
        decoder.finish()


@settings(deadline=None, max_examples=60)
@given(st.lists(st.binary(max_size=20), max_size=4), st.integers(1, 16))
def test_arbitrary_bytes_decode_or_are_refused(streams: list[bytes], precision: int) -> None:
    decoder = RansDecoder(streams)
    for _ in range(30):
        decoder.pop(decoder.peek(precision), np.ones(len(streams)), precision)
    try:
        decoder.finish()
    except CorruptError:
        return
    assert all(8 * len(stream) <= 30 * precision + 8 for stream in streams)


def test_one_long_stream_among_many_short_ones_costs_its_own_length() -> None:
    streams = [b"\x07" * (1 << 20), *[b"\x07"] * 4000]
    tracemalloc.start()
    RansDecoder(streams)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8 << 20
