"""Tile streams: every tile that a writer may have comes back, integer for integer."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Iterator

import numpy as np
import pytest
from builders import STEPS, coding_for, random_tiles, tables, tiles
from hypothesis import given, settings
from hypothesis import strategies as st

from velcodec.formats.entropy.rans import RansEncoder
from velcodec.formats.errors import CorruptError, OptionError
from velcodec.formats.latent_coding.coding import RANGE_KIND_FREQUENCIES, TileCoding
from velcodec.formats.latent_coding.stream import Tiles, decode_tiles, encode_tiles, tile_bits
from velcodec.formats.latent_coding.tables import TOTAL, starts_of

LARGEST = 2**31 - 1
TABLES = tables()
CODING = TileCoding(1500.0, 1.0, 12, {0: 10000, 1: 6000, 2: TOTAL - 16000})


@pytest.fixture(autouse=True)
def _numpy_has_nothing_to_warn_of() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def assert_same(found: Tiles, expected: Tiles) -> None:
    for name in ("coefficients", "step", "low", "high"):
        assert np.array_equal(getattr(found, name), getattr(expected, name)), name


COEFFICIENTS = st.lists(st.integers(-LARGEST, LARGEST) | st.integers(-5, 5), min_size=4, max_size=4)
GRID = st.integers(1500, 1500 + 2**12 - 1).map(float)
FINE = st.integers(1500 * 64, (1500 + 2**12) * 64 - 1).map(lambda k: k / 64)
EXACT = st.floats(allow_nan=False, allow_infinity=False)
RANGES = (
    st.tuples(GRID, GRID) | st.tuples(FINE, FINE) | st.tuples(EXACT, EXACT) | st.tuples(GRID, EXACT)
)
ENDS = RANGES.map(sorted) | (GRID | FINE | EXACT).map(lambda v: [v, v])


@st.composite
def batches(draw: st.DrawFn) -> Tiles:
    n = draw(st.integers(0, 5))
    ends = [draw(ENDS) for _ in range(n)]
    varied = [high > low for low, high in ends]
    return tiles(
        [draw(COEFFICIENTS) if v else [0] * 4 for v in varied],
        [draw(st.integers(0, STEPS - 1)) if v else 0 for v in varied],
        [low for low, _ in ends],
        [high for _, high in ends],
    )


@settings(deadline=None, max_examples=150)
@given(batches())
def test_any_tiles_come_back_exactly(batch: Tiles) -> None:
    assert_same(decode_tiles(encode_tiles(batch, TABLES, CODING), TABLES, CODING), batch)


@settings(deadline=None, max_examples=60)
@given(batches().filter(len))
def test_the_coding_made_for_tiles_holds_them(batch: Tiles) -> None:
    coding = coding_for(batch)
    assert_same(decode_tiles(encode_tiles(batch, TABLES, coding), TABLES, coding), batch)


def test_a_stream_does_not_depend_on_its_neighbours() -> None:
    batch = random_tiles(40)
    together = encode_tiles(batch, TABLES, CODING)
    for i in range(len(batch)):
        one = Tiles(*(getattr(batch, f.name)[i : i + 1] for f in dataclasses.fields(batch)))
        assert encode_tiles(one, TABLES, CODING) == [together[i]]


@pytest.mark.parametrize("record_class", [0, 1])
def test_the_record_class_is_the_cheapest(record_class: int) -> None:
    peaked, flat = np.zeros((1, 4)), np.full((1, 4), 3)
    coefficients = (peaked if record_class else flat).astype(np.int32)
    bits = tile_bits(coefficients, np.array([1]), TABLES)
    rows = TABLES.classes[:, 1]
    own = [
        14 - np.log2(share) + TABLES.bits[row, coefficients[0] + TABLES.limit].sum()
        for row, share in zip(rows, TABLES.class_frequencies, strict=True)
    ]
    assert bits[0] == pytest.approx(min(own))


def test_a_stream_takes_its_ideal_bits_and_the_range_and_rounding() -> None:
    rng = np.random.default_rng(1)
    own = tables(size=256, limit=15)
    coefficients = np.round(rng.laplace(0, 0.8, (300, 256))).astype(np.int32)
    low = rng.integers(1500, 2000, 300).astype(float)
    batch = Tiles(coefficients, np.ones(300, dtype=np.int64), low, low + 2000)
    coding = coding_for(batch)
    total = 8 * sum(len(stream) for stream in encode_tiles(batch, own, coding))
    ideal = tile_bits(coefficients, batch.step, own) + 2 * coding.range_bits
    assert total / 300 - ideal.mean() < 5.5


def test_a_constant_tile_on_the_grid_takes_five_bytes_at_most() -> None:
    batch = tiles([[0] * 4] * 2, [0, 0], [1500.0, 2000.25], [1500.0, 2000.25])
    assert max(len(s) for s in encode_tiles(batch, TABLES, CODING)) <= 5


def test_one_step_for_all_costs_nothing() -> None:
    batch = tiles([[0] * 4], [2], [1500.0], [2000.0])
    alone = encode_tiles(batch, TABLES, coding_for(batch))
    assert coding_for(batch).step_frequencies == {2: TOTAL}
    assert len(alone[0]) <= len(encode_tiles(batch, TABLES, CODING)[0])


REFUSED = {
    "step without a frequency": tiles([[0] * 4], [7], [1500], [2000]),
    "range upside down": tiles([[0] * 4], [0], [2000], [1500]),
    "range that is not finite": tiles([[0] * 4], [0], [1500], [np.inf]),
    "range that is no number": tiles([[0] * 4], [0], [np.nan], [2000]),
    "coefficient of -2^31": tiles([[0, 0, 0, -(2**31)]], [0], [1500], [2000]),
    "too few coefficients": tiles([[0] * 3], [0], [1500], [2000]),
}


@pytest.mark.parametrize("case", REFUSED)
def test_tiles_that_no_reader_would_take_are_not_written(case: str) -> None:
    with pytest.raises(OptionError):
        encode_tiles(REFUSED[case], TABLES, CODING)


def test_a_step_that_the_tables_lack_is_not_written() -> None:
    batch = tiles([[0] * 4], [STEPS], [1500], [2000])
    with pytest.raises(OptionError, match=f"step index: found {STEPS}"):
        encode_tiles(batch, TABLES, coding_for(batch))


def test_a_step_that_the_tables_lack_is_refused() -> None:
    stream = encode_tiles(tiles([[0] * 4], [0], [1500], [2000]), TABLES, CODING)
    other = TileCoding(1500.0, 1.0, 12, {STEPS: TOTAL})
    with pytest.raises(CorruptError, match="step index: found 3, expected less than 3"):
        decode_tiles(stream, TABLES, other)


def test_an_escape_beyond_31_bits_is_refused() -> None:
    encoder = RansEncoder(1)
    encoder.push_bits([2000 - 1500], 12)
    encoder.push_bits([0], 12)
    encoder.push_bits([2**31 - 1], 31)  # beyond = 2^32 - 1
    encoder.push_bits([31], 5)
    encoder.push_bits([0], 1)
    row = TABLES.classes[0, 0, 0]
    encoder.push([TABLES.starts[row, -1]], [TABLES.frequencies[row, -1]], 14)
    encoder.push([0], [TABLES.class_frequencies[0]], 14)
    encoder.push([0], [CODING.step_frequencies[0]], 14)
    encoder.push([0], [RANGE_KIND_FREQUENCIES[0]], 14)
    with pytest.raises(CorruptError, match="coefficient: found"):
        decode_tiles(encoder.finish(), TABLES, CODING)


@pytest.mark.parametrize(("low", "high"), [(1600, 1600), (1700, 1600)])
def test_a_range_that_is_none_is_refused(low: int, high: int) -> None:
    encoder = RansEncoder(1)
    encoder.push_bits([high - 1500], 12)
    encoder.push_bits([low - 1500], 12)
    row = TABLES.classes[0, 0, 0]
    for _ in range(4):
        encoder.push([TABLES.starts[row, 3]], [TABLES.frequencies[row, 3]], 14)
    encoder.push([0], [TABLES.class_frequencies[0]], 14)
    encoder.push([0], [CODING.step_frequencies[0]], 14)
    encoder.push([0], [RANGE_KIND_FREQUENCIES[0]], 14)
    with pytest.raises(CorruptError, match=r"value range of tile 0: found 1[67]00.0 to 1600"):
        decode_tiles(encoder.finish(), TABLES, CODING)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_stored_value_that_is_not_finite_is_refused(value: float) -> None:
    encoder = RansEncoder(1)
    encoder.push_bits(np.array([value]).view(np.uint64), 64)
    encoder.push(starts_of(RANGE_KIND_FREQUENCIES)[4:], RANGE_KIND_FREQUENCIES[4:], 14)
    with pytest.raises(CorruptError, match="value range of tile 0"):
        decode_tiles(encoder.finish(), TABLES, CODING)


@settings(deadline=None, max_examples=200)
@given(st.lists(st.binary(max_size=40), max_size=4))
def test_arbitrary_bytes_decode_to_valid_tiles_or_are_refused(streams: list[bytes]) -> None:
    try:
        found = decode_tiles(streams, TABLES, CODING)
    except CorruptError:
        return
    assert len(found) == len(streams)
    assert np.isfinite([found.low, found.high]).all()
    assert (found.low <= found.high).all()
    assert_same(decode_tiles(encode_tiles(found, TABLES, CODING), TABLES, CODING), found)


def test_every_cut_and_flipped_bit_decodes_to_valid_tiles_or_is_refused() -> None:
    batch = random_tiles(20)
    for i, stream in enumerate(encode_tiles(batch, TABLES, CODING)):
        altered = [stream[:cut] for cut in range(len(stream))]
        for bit in range(8 * len(stream)):
            flipped = bytearray(stream)
            flipped[bit // 8] ^= 1 << bit % 8
            altered.append(bytes(flipped))
        refused = 0
        for data in altered:
            try:
                found = decode_tiles([data], TABLES, CODING)
            except CorruptError:
                refused += 1
            else:
                assert found.low[0] <= found.high[0]
        assert refused, f"nothing was noticed in stream {i}"
