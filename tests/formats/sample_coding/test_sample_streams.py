"""Label maps and blended predictions: images round-trip, bounds hold, bad streams are refused."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from velcodec.formats.entropy.symbols import (
    code_among,
    code_bit,
    code_even,
    finish_decoder,
    finish_encoder,
    new_decoder,
    new_encoder,
)
from velcodec.formats.errors import ContextNetworkError, CorruptError
from velcodec.formats.sample_coding.label_map.coder import (
    MAX_LABELS,
    TRACED,
    decode_label_map,
    encode_label_map,
)
from velcodec.formats.sample_coding.label_map.context import FEATURES, FIRST, ROWS, SIZES
from velcodec.formats.sample_coding.label_map.network import (
    CLASSES,
    EXACT_NETWORK,
    Network,
    class_frequencies,
    network_of,
    new_class_room,
    powers_of_two,
)
from velcodec.formats.sample_coding.prediction.blended import decode_blended, encode_blended

SPAN = 3001
SHAPES = npst.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=12)
FEW = npst.arrays(np.int64, SHAPES, elements=st.sampled_from([0, 1, 7, 1500, 3000]))
MANY = npst.arrays(np.int64, SHAPES, elements=st.integers(0, SPAN - 1))


@pytest.fixture(scope="module")
def network() -> Network:
    return network_of(EXACT_NETWORK)


def layers(seed: int = 4, shape: tuple[int, int] = (40, 36)) -> np.ndarray:
    """Integers (nz, nx) of a few folded layers."""
    z, x = np.mgrid[: shape[0], : shape[1]]
    depth = z + 4 * np.sin(x / 7 + seed)
    return np.array([100, 900, 1300, 2800])[np.digitize(depth, [9.0, 20.0, 33.0])]


def only(codes: np.ndarray) -> np.ndarray:
    """`allowed` with no other value."""
    return np.repeat(codes[..., None], 3, axis=2)


@settings(deadline=None, max_examples=60)
@given(codes=FEW | MANY)
def test_any_label_map_round_trips(network: Network, codes: np.ndarray) -> None:
    coded = encode_label_map(only(codes), SPAN, 0, network)
    assert coded is not None
    assert np.array_equal(coded[1], codes)
    assert np.array_equal(decode_label_map(coded[0], codes.shape, SPAN, 0, network), codes)


@settings(deadline=None, max_examples=60)
@given(codes=MANY, reach=st.integers(0, 400), bound=st.integers(0, 5))
def test_label_maps_stay_within_what_is_allowed(
    network: Network, codes: np.ndarray, reach: int, bound: int
) -> None:
    least, greatest = np.maximum(codes - reach, 0), np.minimum(codes + reach, SPAN - 1)
    coded = encode_label_map(np.stack([least, codes, greatest], -1), SPAN, bound, network)
    assert coded is not None
    found = decode_label_map(coded[0], codes.shape, SPAN, bound, network)
    assert np.array_equal(found, coded[1])
    assert (found >= least).all()
    assert (found <= greatest).all()


@settings(deadline=None, max_examples=60)
@given(codes=MANY)
def test_any_image_round_trips_by_blended_prediction(codes: np.ndarray) -> None:
    stream = encode_blended(codes, SPAN)
    assert np.array_equal(decode_blended(stream, codes.shape, SPAN), codes)


@settings(deadline=None, max_examples=30)
@given(npst.arrays(np.int64, SHAPES, elements=st.integers(0, 2**60 - 1)))
def test_integers_of_the_widest_span_round_trip_by_blended_prediction(codes: np.ndarray) -> None:
    stream = encode_blended(codes, 2**60)
    assert np.array_equal(decode_blended(stream, codes.shape, 2**60), codes)


@pytest.mark.parametrize("top", [150, 209, 210, 1500])
def test_a_tall_model_reads_no_row_outside_the_network(network: Network, top: int) -> None:
    codes = np.full((top + 30, 5), 900)
    codes[top:] = 1300
    seen = np.zeros((codes.size, TRACED), dtype=np.int64)
    coded = encode_label_map(only(codes), SPAN, 0, network, trace=seen)
    assert coded is not None
    rows = seen[:, :FEATURES] + FIRST
    assert rows.min() >= 0
    assert rows.max() < ROWS
    assert np.array_equal(decode_label_map(coded[0], codes.shape, SPAN, 0, network), codes)


def test_layers_take_a_third_of_what_blended_prediction_takes(network: Network) -> None:
    codes = layers()
    labels = encode_label_map(only(codes), SPAN, 0, network)
    assert labels is not None
    assert 3 * len(labels[0]) < len(encode_blended(codes, SPAN))


def test_a_bound_makes_layers_with_noise_cheap(network: Network) -> None:
    codes = layers() + np.random.default_rng(1).integers(-5, 6, layers().shape)
    loose = np.stack([np.maximum(codes - 10, 0), codes, codes + 10], -1)
    within = encode_label_map(loose, SPAN, 2, network)
    exact = encode_label_map(only(codes), SPAN, 0, network)
    assert within is not None
    assert exact is not None
    assert 4 * len(within[0]) < len(exact[0])


def test_new_values_are_the_preferred_ones_when_errors_count_in_the_mean(
    network: Network,
) -> None:
    codes = layers() + np.random.default_rng(1).integers(-5, 6, layers().shape)
    loose = np.stack([np.maximum(codes - 10, 0), codes, codes + 10], -1)
    coded = encode_label_map(loose, SPAN, 2, network, original=codes, price=0.01)
    assert coded is not None
    found = decode_label_map(coded[0], codes.shape, SPAN, 2, network)
    assert np.array_equal(found, coded[1])
    assert (np.abs(found - codes) <= 10).all()
    # In coding order, the first sample of each value is one that prefers it.
    _, first = np.unique(found.T, return_index=True)
    assert np.array_equal(found.T.ravel()[first], codes.T.ravel()[first])


def test_a_higher_price_of_errors_takes_more_bytes_and_leaves_smaller_errors(
    network: Network,
) -> None:
    codes = layers() + np.random.default_rng(1).integers(-9, 10, layers().shape)
    loose = np.stack([np.maximum(codes - 40, 0), codes, codes + 40], -1)
    sizes, errors = [], []
    for price in (0.001, 0.01, 0.1, 10.0):
        coded = encode_label_map(loose, SPAN, 2, network, original=codes, price=price)
        assert coded is not None
        assert np.array_equal(decode_label_map(coded[0], codes.shape, SPAN, 2, network), coded[1])
        sizes.append(len(coded[0]))
        errors.append(float(np.square(coded[1] - codes).mean()))
    assert sizes == sorted(sizes)
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 1


def test_an_image_of_too_many_values_has_no_label_map(network: Network) -> None:
    codes = np.random.default_rng(0).permutation(MAX_LABELS + 200).reshape(-1, 8)
    assert encode_label_map(only(codes), 1 << 20, 0, network) is None


@settings(deadline=None, max_examples=150)
@given(data=st.binary(max_size=60), shape=st.tuples(st.integers(1, 20), st.integers(1, 20)))
def test_arbitrary_bytes_decode_in_range_or_are_refused_by_both_coders(
    network: Network, data: bytes, shape: tuple[int, int]
) -> None:
    for decode in (
        lambda: decode_label_map(data, shape, SPAN, 3, network),
        lambda: decode_blended(data, shape, SPAN),
    ):
        try:
            found = decode()
        except CorruptError:
            continue
        assert found.shape == shape
        assert found.min() >= 0
        assert found.max() < SPAN


def test_a_truncated_or_extended_stream_is_refused(network: Network) -> None:
    codes = layers()
    coded = encode_label_map(only(codes), SPAN, 0, network)
    assert coded is not None
    stream, _ = coded
    for bad in (stream[:-2], stream + b"\0\0"):
        with pytest.raises(CorruptError, match="exact stream"):
            decode_label_map(bad, codes.shape, SPAN, 0, network)


def test_streams_of_another_machine_decode_unchanged(network: Network) -> None:
    stream = bytes.fromhex("0422867c0897a81ba69485992481")
    assert np.array_equal(decode_label_map(stream, (40, 36), SPAN, 0, network), layers())
    noise = np.random.default_rng(7).integers(0, SPAN, (9, 11))
    checksum = hashlib.sha256(encode_blended(noise, SPAN)).hexdigest()
    assert checksum.startswith("8fa8e87f5948cd1a")


@settings(deadline=None, max_examples=60)
@given(
    st.lists(
        st.integers(1, 2**62).flatmap(lambda n: st.tuples(st.integers(0, n - 1), st.just(n))),
        max_size=20,
    )
)
def test_uniform_symbols_of_any_size_round_trip(drawn: list[tuple[int, int]]) -> None:
    coder = new_encoder(6 * len(drawn))
    for value, size in drawn:
        code_even(value, size, coder)
    decoder = new_decoder(finish_encoder(coder))
    assert [code_even(0, size, decoder) for _, size in drawn] == [value for value, _ in drawn]
    finish_decoder(decoder)


def test_adaptive_bits_adapt() -> None:
    bits = (np.random.default_rng(2).random(4000) < 0.02).astype(int).tolist()
    coder = new_encoder(len(bits))
    model = np.array([1 << 15, 0])
    for bit in bits:
        code_bit(bit, model, coder)
    stream = finish_encoder(coder)
    assert 8 * len(stream) < 0.2 * len(bits)
    decoder, model = new_decoder(stream), np.array([1 << 15, 0])
    assert [code_bit(0, model, decoder) for _ in bits] == bits


def test_symbols_with_frequencies_round_trip() -> None:
    frequencies = np.array([1, 65000, 0, 535])
    coder = new_encoder(3)
    for value in (0, 3, 1):
        code_among(value, frequencies, coder)
    decoder = new_decoder(finish_encoder(coder))
    assert [code_among(0, frequencies, decoder) for _ in range(3)] == [0, 3, 1]


def test_powers_of_two_are_exact_and_rounded_down() -> None:
    for i, power in enumerate(powers_of_two().tolist()):
        assert power**256 <= 1 << (20 * 256 - i) < (power + 1) ** 256


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32), st.integers(1, 2**CLASSES - 1))
def test_frequencies_of_possible_classes_sum_to_all_slots(
    network: Network, seed: int, mask: int
) -> None:
    codes = (np.random.default_rng(seed).random(len(SIZES)) * SIZES).astype(np.int64)
    possible = (mask >> np.arange(CLASSES)) & 1
    found = np.zeros(CLASSES, dtype=np.int64)
    room = new_class_room()
    class_frequencies(codes, possible, network.classes.arrays(), powers_of_two(), room, found)
    assert found.sum() == 1 << 16
    assert ((found > 0) == (possible == 1)).all()


def test_an_unknown_network_is_refused_by_its_number() -> None:
    with pytest.raises(ContextNetworkError, match="number 9999, expected "):
        network_of(9999)
