"""Values of new labels: every one comes back, and those that were foreseen take few bits."""

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
from velcodec.formats.sample_coding.label_map.network import Network, network_of, powers_of_two
from velcodec.formats.sample_coding.label_map.new_values import (
    CODES,
    SEEN,
    Mixture,
    bits_of,
    cheapest,
    code_fresh,
    new_mixture,
    prepare,
)
from velcodec.formats.sample_coding.label_map.surroundings import (
    DIFFERENCES,
    FRESH_SIZES,
    GUESSES,
    HEAD_BITS,
    WAY,
    difference_class,
    look_around,
)
from velcodec.formats.sample_coding.stream import EXACT_NETWORK

ROOMS = st.tuples(st.integers(0, 2**58), st.integers(1, 2**58), st.integers(0, 2**60))


@pytest.fixture(scope="module")
def network() -> Network:
    return network_of(EXACT_NETWORK)


def mixture_of(
    network: Network, seed: int, base: int, size: int, shift: int, near: int | None = None
) -> Mixture:
    """The mixture of some room, with whatever stands around it."""
    random = np.random.default_rng(seed)
    mixture = new_mixture()
    mixture[CODES][:] = (random.random(len(FRESH_SIZES)) * FRESH_SIZES).astype(np.int64)
    mixture[SEEN][:] = random.integers(-(1 << 14), 1 << 14, GUESSES) if near is None else near
    prepare(
        seed % 3, seed % 6, base, size, shift, network.values.arrays(), powers_of_two(), mixture
    )
    return mixture


@settings(deadline=None, max_examples=100)
@given(rooms=st.lists(ROOMS, min_size=1, max_size=8), seed=st.integers(0, 2**20))
def test_any_new_value_comes_back(
    network: Network, rooms: list[tuple[int, int, int]], seed: int
) -> None:
    coder = new_encoder(8 * len(rooms))
    values, mixtures, shifts = [], [], []
    for k, (base, size, place) in enumerate(rooms):
        shifts.append(max(0, (base + size).bit_length() - HEAD_BITS))
        values.append(base + place % size)
        mixtures.append(mixture_of(network, seed + k, base, size, shifts[-1]))
        code_fresh(values[-1], shifts[-1], mixtures[-1], powers_of_two(), coder)
    decoder = new_decoder(finish_encoder(coder))
    found = [
        code_fresh(0, shift, mixture, powers_of_two(), decoder)
        for shift, mixture in zip(shifts, mixtures, strict=True)
    ]
    assert found == values
    finish_decoder(decoder)


@settings(deadline=None, max_examples=60)
@given(low=st.integers(0, 3000), heads=st.integers(1, 1095), seed=st.integers(0, 2**20))
def test_probabilities_of_all_values_sum_to_one(
    network: Network, low: int, heads: int, seed: int
) -> None:
    mixture = mixture_of(network, seed, low, heads, 0)
    bits = [bits_of(low + k, mixture, powers_of_two()) for k in range(heads)]
    assert sum(2.0**-b for b in bits) == pytest.approx(1.0)


def test_a_value_within_a_bound_is_drawn_to_a_guess(network: Network) -> None:
    mixture = mixture_of(network, 6, 100, 2000, 0, near=700)
    value, bits = cheapest(690, 705, 720, 0, mixture, powers_of_two())
    assert 690 <= value <= 720
    assert bits <= bits_of(705, mixture, powers_of_two())
    assert cheapest(1500, 1500, 1500, 0, mixture, powers_of_two())[0] == 1500


def test_a_value_that_neighbours_foresee_takes_few_bits(network: Network) -> None:
    # A ramp that goes down evenly from column to column: the next sample lies on a plane.
    values = np.arange(0, 2400, 40, dtype=np.int64)
    columns = np.array([[x + 2 * z for z in range(8)] for x in range(6)], dtype=np.int64)
    mixture = new_mixture()
    newest = np.array([values[columns[5, 3]], 40])
    look_around(columns, values, 5, 4, -1, 3, newest, 0, mixture[CODES], mixture[SEEN])
    base = int(values[columns[5, 3]]) + 1
    prepare(1, 1, base, 3000 - base, 0, network.values.arrays(), powers_of_two(), mixture)
    assert bits_of(int(values[columns[5, 4]]), mixture, powers_of_two()) < 0.6 * np.log2(3000)


def test_differences_are_told_apart_by_half_octaves() -> None:
    classes = [difference_class(d) for d in (0, 1, 2, 3, 4, 6, 8, 1 << 60)]
    assert classes == [WAY, WAY + 1, WAY + 2, WAY + 4, WAY + 5, WAY + 6, WAY + 7, 2 * WAY]
    assert difference_class(-(1 << 60)) == 0
    assert DIFFERENCES == 2 * WAY + 1
