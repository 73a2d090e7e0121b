"""Prefixes of tile streams: what they tell is what a reader of those bytes alone would find."""

from __future__ import annotations

import numpy as np
import pytest
from builders import coding_for, random_tiles, tables, tiles
from hypothesis import given, settings
from hypothesis import strategies as st

from velcodec.formats.entropy.rans import head_length
from velcodec.formats.errors import CorruptError, OptionError
from velcodec.formats.latent_coding.prefix import Prefix, decode_prefixes
from velcodec.formats.latent_coding.stream import Tiles, decode_measured, decode_tiles, encode_tiles

SIZE = 40
TABLES = tables(SIZE)


class CutError(Exception):
    """The next symbol needs bytes that are not there."""


class Reader:
    """docs/format.md, "Entropy coding", symbol by symbol, of the first bytes of a stream."""

    def __init__(self, prefix: bytes, total: int) -> None:
        head = head_length(total)
        if len(prefix) < head:
            raise CutError
        self.state = int.from_bytes(prefix[:head], "big") if head else 1
        self.words = [prefix[i : i + 2] for i in range(head, len(prefix) - 1, 2)]
        self.left = (total - head) // 2
        self.dry = False

    def symbol(self, frequencies: list[int], precision: int = 14) -> int:
        if self.dry:
            raise CutError
        slot, start, number = self.state % 2**precision, 0, 0
        while slot >= start + frequencies[number]:
            start += frequencies[number]
            number += 1
        self._step(start, frequencies[number], slot, precision)
        return number

    def bits(self, count: int) -> int:
        value = 0
        while count:
            if self.dry:
                raise CutError
            width = (count - 1) % 16 + 1
            slot = self.state % 2**width
            self._step(slot, 1, slot, width)
            value, count = value << width | slot, count - width
        return value

    def _step(self, start: int, frequency: int, slot: int, precision: int) -> None:
        self.state = frequency * (self.state >> precision) + slot - start
        if self.state < 2**32 and self.left:
            self.left -= 1
            if self.words:
                self.state = self.state << 16 | int.from_bytes(self.words.pop(0), "big")
            else:
                self.dry = True


def coefficients_of(prefix: bytes, total: int, steps: dict[int, int]) -> list[int]:
    """The coefficients that a prefix of a stream of `total` bytes holds, zeros after them.

    Raises CutError where it ends before the first.
    """
    reader = Reader(prefix, total)
    found: list[int] = []
    if reader.symbol([16128, 128, 16, 96, 16]) > 2:
        return [0] * SIZE
    step = sorted(steps)[reader.symbol([steps[s] for s in sorted(steps)])]
    record_class = reader.symbol(TABLES.class_frequencies.tolist())
    try:
        while len(found) < SIZE:
            row = TABLES.classes[record_class, step, len(found)]
            value = reader.symbol(TABLES.frequencies[row].tolist()) - TABLES.limit
            if value > TABLES.limit:
                negative, length = reader.bits(1), reader.bits(5)
                size = TABLES.limit + 2**length + reader.bits(length)
                value = -size if negative else size
            found.append(value)
    except CutError:
        pass
    return found + [0] * (SIZE - len(found))


def batch_of(n: int, seed: int) -> Tiles:
    batch = random_tiles(n, SIZE, seed)
    batch.coefficients[1::3, ::7] *= 10_000
    return batch


@settings(deadline=None, max_examples=8)
@given(st.integers(0, 1000))
def test_every_prefix_tells_what_its_bytes_hold(seed: int) -> None:
    batch = batch_of(3, seed)
    coding = coding_for(batch)
    for stream in encode_tiles(batch, TABLES, coding):
        for size in range(len(stream) + 1):
            try:
                expected = coefficients_of(stream[:size], len(stream), coding.step_frequencies)
            except CutError:
                with pytest.raises(OptionError, match=f"found {size}, expected at least"):
                    decode_prefixes([stream], TABLES, coding, Prefix(bytes=size))
            else:
                found = decode_prefixes([stream], TABLES, coding, Prefix(bytes=size))
                assert found.coefficients[0].tolist() == expected


def test_a_prefix_keeps_range_and_step_and_the_whole_keeps_all() -> None:
    batch = batch_of(9, 1)
    coding = coding_for(batch)
    streams = encode_tiles(batch, TABLES, coding)
    whole = decode_tiles(streams, TABLES, coding)
    longest = max(map(len, streams))
    for prefix in (Prefix(bytes=12), Prefix(bytes=longest), Prefix(coefficients=SIZE)):
        found = decode_prefixes(streams, TABLES, coding, prefix)
        for name in ("step", "low", "high"):
            assert np.array_equal(getattr(found, name), getattr(whole, name))
        if prefix.bytes != 12:
            assert np.array_equal(found.coefficients, whole.coefficients)


def test_the_first_coefficients_are_kept_and_no_other() -> None:
    batch = batch_of(5, 2)
    coding = coding_for(batch)
    streams = encode_tiles(batch, TABLES, coding)
    for count in (0, 1, 17, SIZE, SIZE + 5):
        found = decode_prefixes(streams, TABLES, coding, Prefix(coefficients=count))
        assert np.array_equal(found.coefficients[:, :count], batch.coefficients[:, :count])
        assert not found.coefficients[:, count:].any()


def test_bytes_needed_never_fall_and_never_pass_the_stream() -> None:
    batch = batch_of(20, 3)
    coding = coding_for(batch)
    streams = encode_tiles(batch, TABLES, coding)
    ((_, needed),) = decode_measured(streams, TABLES, coding)
    assert (np.diff(needed, axis=1) >= 0).all()
    assert (needed[:, -1] <= [len(stream) for stream in streams]).all()


def test_the_least_that_the_error_names_is_enough() -> None:
    batch = tiles([[0] * 4] * 2, [0, 2], [1500.0, 1500.0], [2000.0, 2000.0])
    own, coding = tables(), coding_for(batch)
    streams = encode_tiles(batch, own, coding)
    with pytest.raises(OptionError, match="found 0, expected at least") as caught:
        decode_prefixes(streams, own, coding, Prefix(bytes=0))
    least = int(str(caught.value).split("at least ")[1].split()[0])
    decode_prefixes(streams, own, coding, Prefix(bytes=least))
    with pytest.raises(OptionError):
        decode_prefixes(streams, own, coding, Prefix(bytes=least - 1))


def test_a_stream_that_is_damaged_beyond_the_prefix_is_refused() -> None:
    batch = batch_of(1, 4)
    coding = coding_for(batch)
    (stream,) = encode_tiles(batch, TABLES, coding)
    with pytest.raises(CorruptError):
        decode_prefixes([stream + b"\0\0"], TABLES, coding, Prefix(bytes=12))


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({}, "found 0 given, expected one"),
        ({"bytes": 9, "coefficients": 9}, "found 2 given, expected one"),
        ({"bytes": -1}, "found -1, expected 0 or more"),
        ({"coefficients": -2}, "found -2, expected 0 or more"),
    ],
)
def test_a_prefix_has_one_size(sizes: dict[str, int], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        Prefix(**sizes)


def test_no_streams_have_any_prefix() -> None:
    assert len(decode_prefixes([], TABLES, coding_for(batch_of(3, 0)), Prefix(bytes=0))) == 0
