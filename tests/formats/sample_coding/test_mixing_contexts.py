"""What the mixed coder sees around a sample, and its predictions of the whole image."""

from __future__ import annotations

import numpy as np
import pytest

from velcodec.formats.sample_coding.label_map.value_features import NONE
from velcodec.formats.sample_coding.mixing.contexts import (
    ABOVE,
    BELOW,
    CORNER,
    FAR_LEFT,
    FARTHEST,
    LEFT,
    LOOKED_DOWN,
    NEAR,
    STEPS,
    fill_near,
    fill_steps,
    part_of_way,
    plain_below,
    stillness,
)
from velcodec.formats.sample_coding.mixing.image import new_known, place_of_value
from velcodec.formats.sample_coding.mixing.predictions import learn_steady, new_steady, steady_guess
from velcodec.formats.sample_coding.prediction.regression import (
    PADDING,
    close_column,
    open_column,
    padded,
)


def test_an_interface_is_followed_back_through_the_columns() -> None:
    ends = [7, 7, 7, 6, 6, 8, 8]
    columns = np.zeros((len(ends) + 1, 12), dtype=np.int64)
    for x, end in enumerate(ends):
        columns[x, end:] = 1
    steps = np.zeros(STEPS, dtype=np.int64)
    fill_steps(columns, len(ends), 6, ends[-1] - 6, 0, steps)
    assert steps.tolist() == [2, -2, 2, 1, 3]


def test_an_interface_out_of_reach_is_not_followed() -> None:
    steps = np.ones(STEPS, dtype=np.int64)
    fill_steps(np.zeros((3, 12), dtype=np.int64), 2, 1, 11, 0, steps)
    assert not steps.any()


def test_a_sample_is_quiet_only_where_all_around_are_alike() -> None:
    columns = np.zeros((3, 30), dtype=np.int64)
    assert [stillness(columns, x, 5) for x in range(3)] == [0, 0, 8]
    assert stillness(columns, 2, 29 - LOOKED_DOWN) == 9
    for x in range(2):
        for row in range(4, 5 + LOOKED_DOWN + 1):
            other = columns.copy()
            other[x, row] = 1
            assert stillness(other, 2, 5) == 0
    columns[1, 15] = 1
    assert stillness(columns, 2, 5) == 15 - (5 + LOOKED_DOWN)


def test_what_lies_around_is_the_nearest_where_there_is_none() -> None:
    image = np.arange(20).reshape(4, 5)
    near = np.zeros(NEAR, dtype=np.int64)
    fill_near(image, 3, 2, 99, near)
    assert near[[ABOVE, LEFT, CORNER, BELOW, FAR_LEFT, FARTHEST]].tolist() == [16, 12, 11, 13, 7, 2]
    fill_near(image, 1, 0, 99, near)
    assert near[[ABOVE, LEFT, CORNER, BELOW, FAR_LEFT, FARTHEST]].tolist() == [0, 0, 0, 1, 0, 0]
    fill_near(image, 0, 0, 99, near)
    assert (near == 99).all()


def test_the_next_plain_layer_is_found_below_a_blurred_interface() -> None:
    column = np.array([0, 0, 0, 4, 5, 6, 1, 1, 1, 1])
    columns = np.stack([column, column])
    assert [plain_below(columns, 1, z) for z in (0, 2, 5)] == [0, 1, 1]
    assert plain_below(columns, 0, 0) == NONE


@pytest.mark.parametrize(("start", "end"), [(10, 110), (110, 10)])
def test_the_way_between_two_values_is_the_same_from_either_side(start: int, end: int) -> None:
    way = [part_of_way(start + (end - start) * k // 20, start, end) for k in range(21)]
    assert (way[0], way[-1]) == (0, 2)
    assert way[1:-1] == sorted(way[1:-1])
    assert part_of_way(start - (end - start), start, end) == 1
    assert part_of_way(end + (end - start), start, end) == 3


def test_values_that_collide_keep_places_of_their_own() -> None:
    known = new_known(8, 8, 1 << 20)
    values = np.random.default_rng(1).permutation(1 << 20)[:64]
    for label, value in enumerate(values):
        place = place_of_value(value, known)
        assert known.labels_of[place] == NONE
        known.labels_of[place], known.values[label] = label, value
    found = [known.labels_of[place_of_value(value, known)] for value in values]
    assert found == list(range(64))


def test_steady_guesses_learn_a_linear_rule() -> None:
    """Each sample is the one to the left and the one above less the corner."""
    rng = np.random.default_rng(2)
    columns = np.add.outer(rng.integers(0, 400, 30), rng.integers(0, 400, 40)).astype(np.int64)
    image, steady = padded(columns, 801), new_steady()
    misses = np.zeros(columns.shape)
    for x in range(30):
        open_column(image, x)
        for z in range(40):
            misses[x, z] = abs(columns[x, z] - steady_guess(image, x, z, steady))
            image[x + PADDING, z + PADDING] = columns[x, z]
            learn_steady(columns[x, z] - image[x + PADDING, z + PADDING - 1], steady)
        close_column(image, x)
    like_the_one_above = np.abs(np.diff(columns, axis=1))
    assert np.median(misses[20:]) < 0.03 * np.median(like_the_one_above)
    assert np.median(misses[0]) > 0.1 * np.median(like_the_one_above)
