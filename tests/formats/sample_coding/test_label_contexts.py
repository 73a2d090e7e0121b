"""Where layers begin and end in earlier columns: found by runs as they are found row by row."""

from __future__ import annotations

import time

import numpy as np
import pytest

from velcodec.formats.errors import CorruptError
from velcodec.formats.sample_coding.label_map.coder import decode_label_map, encode_label_map
from velcodec.formats.sample_coding.label_map.context import (
    REACH,
    close_spans,
    layer_end,
    layer_top,
    new_spans,
)
from velcodec.formats.sample_coding.label_map.network import (
    CLASSES,
    Maps,
    network_from,
    network_of,
)
from velcodec.formats.sample_coding.label_map.value_features import NONE
from velcodec.formats.sample_coding.mixing.coder import decode_mixed, encode_mixed


def end_by_rows(column: np.ndarray, z: int, label: int) -> tuple[int, int]:
    """`layer_end`, row by row."""
    samples, row = len(column), z
    if column[z] == label:
        while row < min(samples, z + REACH) and column[row] == label:
            row += 1
        if row == samples:
            return row - z, NONE
        return (REACH, NONE) if column[row] == label else (row - z, int(column[row]))
    while row > max(0, z - REACH) and column[row - 1] != label:
        row -= 1
    if row == 0 or column[row - 1] != label:
        return REACH + 1, NONE
    return row - z, int(column[row])


def top_by_rows(column: np.ndarray, near: int, label: int) -> int:
    """`layer_top`, row by row."""
    for distance in range(REACH):
        for row in (near + distance, near - distance):
            inside = 0 <= row < len(column) and column[row] == label
            if inside and (row == 0 or column[row - 1] != label):
                return row
    return NONE


@pytest.mark.parametrize("thick", [1, 3, 30, 90])
def test_ends_and_tops_by_runs_are_those_row_by_row(thick: int) -> None:
    random = np.random.default_rng(thick)
    column = np.repeat(random.integers(0, 4, 130), random.integers(1, thick + 1, 130))[:130]
    spans = new_spans(len(column))
    close_spans(column[None], 0, spans)
    for z in range(len(column)):
        for label in range(5):
            assert layer_end(column, spans[0], z, label) == end_by_rows(column, z, label)
            assert layer_top(column, spans[0], z, label) == top_by_rows(column, z, label)


def flipping(height: int) -> np.ndarray:
    """Columns of one value, the last of which differs in every second sample."""
    image = np.zeros((height, 9), dtype=np.int64)
    image[::2, -1] = 1
    return image


@pytest.mark.parametrize("coder", ["label map", "mixed"])
def test_a_tall_image_takes_no_more_time_per_sample_than_a_short_one(coder: str) -> None:
    def per_sample(height: int) -> float:
        image = flipping(height)
        if coder == "mixed":
            stream = encode_mixed(image, 2, 0, smooth=False)
        else:
            found = encode_label_map(np.stack([image] * 3, -1), 2, 0, network_of(3))
            assert found is not None
            stream = found[0]
        best = 1e9
        for _ in range(3):
            begun = time.process_time()
            if coder == "mixed":
                back = decode_mixed(stream, image.shape, 2, 0)
            else:
                back = decode_label_map(stream, image.shape, 2, 0, network_of(3))
            best = min(best, time.process_time() - begun)
        np.testing.assert_array_equal(back, image)
        return best / image.size

    assert per_sample(40_000) < 4 * per_sample(4_000)


@pytest.mark.parametrize("number", [3, 5])
def test_sums_of_released_networks_fit_32_bits(number: int) -> None:
    network = network_of(number)
    assert network.classes.greatest(26) < 1 << 31
    assert network.values.greatest(20) < 1 << 31


def test_a_network_whose_sums_may_exceed_32_bits_is_refused() -> None:
    network = network_of(3)
    tensors = {
        f"{part}.{name}": value
        for part in ("classes", "values")
        for name, value in vars(getattr(network, part)).items()
    }
    assert isinstance(network_from(tensors).classes, Maps)
    assert tensors["classes.third"].shape[1] == CLASSES
    with pytest.raises(CorruptError, match="sums exceed 32 bits"):
        network_from(tensors | {"classes.second": tensors["classes.second"] * 1000})
