"""Values of new labels: all round-trip, and predicted ones take few bits."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from velcodec.formats.entropy.symbols import (
    finish_decoder,
    finish_encoder,
    new_decoder,
    new_encoder,
)
from velcodec.formats.sample_coding.label_map.network import (
    EXACT_NETWORK,
    Network,
    network_of,
    powers_of_two,
)
from velcodec.formats.sample_coding.label_map.new_values import (
    CODES,
    PREDICTED,
    Mixture,
    bits_of,
    cheapest,
    code_new_value,
    new_mixture,
    prepare,
)
from velcodec.formats.sample_coding.label_map.value_features import (
    DIFFERENCES,
    HALF_OCTAVES,
    HEAD_BITS,
    NEW_VALUE_SIZES,
    PREDICTIONS,
    difference_class,
    fill_value_features,
)

INTERVALS = st.tuples(st.integers(0, 2**58), st.integers(1, 2**58), st.integers(0, 2**60))


@pytest.fixture(scope="module")
def network() -> Network:
    return network_of(EXACT_NETWORK)


def mixture_of(
    network: Network, seed: int, base: int, size: int, shift: int, near: int | None = None
) -> Mixture:
    """The mixture of an interval, with random features."""
    random = np.random.default_rng(seed)
    mixture = new_mixture()
    mixture[CODES][:] = (random.random(len(NEW_VALUE_SIZES)) * NEW_VALUE_SIZES).astype(np.int64)
    mixture[PREDICTED][:] = (
        random.integers(-(1 << 14), 1 << 14, PREDICTIONS) if near is None else near
    )
    prepare(
        seed % 3, seed % 6, base, size, shift, network.values.arrays(), powers_of_two(), mixture
    )
    return mixture


@settings(deadline=None, max_examples=100)
@given(intervals=st.lists(INTERVALS, min_size=1, max_size=8), seed=st.integers(0, 2**20))
def test_new_values_round_trip(
    network: Network, intervals: list[tuple[int, int, int]], seed: int
) -> None:
    coder = new_encoder(8 * len(intervals))
    values, mixtures, shifts = [], [], []
    for k, (base, size, place) in enumerate(intervals):
        shifts.append(max(0, (base + size).bit_length() - HEAD_BITS))
        values.append(base + place % size)
        mixtures.append(mixture_of(network, seed + k, base, size, shifts[-1]))
        code_new_value(values[-1], shifts[-1], mixtures[-1], powers_of_two(), coder)
    decoder = new_decoder(finish_encoder(coder))
    found = [
        code_new_value(0, shift, mixture, powers_of_two(), decoder)
        for shift, mixture in zip(shifts, mixtures, strict=True)
    ]
    assert found == values
    finish_decoder(decoder)


@settings(deadline=None, max_examples=60)
@given(low=st.integers(0, 3000), heads=st.integers(1, 1095), seed=st.integers(0, 2**20))
def test_probabilities_sum_to_one(network: Network, low: int, heads: int, seed: int) -> None:
    mixture = mixture_of(network, seed, low, heads, 0)
    bits = [bits_of(low + k, mixture, powers_of_two()) for k in range(heads)]
    assert sum(2.0**-b for b in bits) == pytest.approx(1.0)


def test_a_value_within_a_bound_moves_to_a_centre(network: Network) -> None:
    mixture = mixture_of(network, 6, 100, 2000, 0, near=700)
    value, bits = cheapest(690, 705, 720, 0, mixture, powers_of_two())
    assert 690 <= value <= 720
    assert bits <= bits_of(705, mixture, powers_of_two())
    assert cheapest(1500, 1500, 1500, 0, mixture, powers_of_two())[0] == 1500


def test_a_value_that_neighbours_predict_takes_few_bits(network: Network) -> None:
    # A ramp that goes down evenly from column to column: the next sample lies on a plane.
    values = np.arange(0, 2400, 40, dtype=np.int64)
    columns = np.array([[x + 2 * z for z in range(8)] for x in range(6)], dtype=np.int64)
    mixture = new_mixture()
    newest = np.array([values[columns[5, 3]], 40])
    fill_value_features(columns, values, 5, 4, -1, 3, newest, 0, mixture[CODES], mixture[PREDICTED])
    base = int(values[columns[5, 3]]) + 1
    prepare(1, 1, base, 3000 - base, 0, network.values.arrays(), powers_of_two(), mixture)
    assert bits_of(int(values[columns[5, 4]]), mixture, powers_of_two()) < 0.6 * np.log2(3000)


def test_differences_are_classed_by_half_octaves() -> None:
    classes = [difference_class(d) for d in (0, 1, 2, 3, 4, 6, 8, 1 << 60)]
    assert classes == [
        HALF_OCTAVES,
        HALF_OCTAVES + 1,
        HALF_OCTAVES + 2,
        HALF_OCTAVES + 4,
        HALF_OCTAVES + 5,
        HALF_OCTAVES + 6,
        HALF_OCTAVES + 7,
        2 * HALF_OCTAVES,
    ]
    assert difference_class(-(1 << 60)) == 0
    assert DIFFERENCES == 2 * HALF_OCTAVES + 1
