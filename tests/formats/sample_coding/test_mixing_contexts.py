"""What the mixed coder sees around a sample, and its predictions of the whole image."""

from __future__ import annotations

import numpy as np
import pytest

from velcodec.formats.sample_coding.label_map.context import close_spans, new_spans
from velcodec.formats.sample_coding.label_map.value_features import NONE
from velcodec.formats.sample_coding.mixing.around import (
    ABOVE,
    BELOW,
    CORNER,
    FAR_LEFT,
    FARTHEST,
    LEFT,
    NEAR,
    fill_near,
    part_of_way,
    plain_below,
)
from velcodec.formats.sample_coding.mixing.image import new_known, place_of_value
from velcodec.formats.sample_coding.mixing.interfaces import (
    AHEAD,
    ENDS,
    LOOKED_DOWN,
    STEPS,
    UNKNOWN,
    extrapolate_end,
    fill_ends,
    fill_steps,
    quiet_stretch,
)
from velcodec.formats.sample_coding.mixing.predictions import learn_steady, new_steady, steady_guess
from velcodec.formats.sample_coding.mixing.regression import (
    FRACTION,
    MOST_ORDER,
    NEARNESS,
    PADDING,
    close_column,
    fill_predictions,
    learn_predictions,
    new_regression,
    open_column,
    padded,
)


def spans_before(columns: np.ndarray, x: int) -> np.ndarray:
    """The runs of the columns before x."""
    spans = new_spans(columns.shape[1])
    for k in range(x):
        close_spans(columns, k, spans)
    return spans


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


def test_a_stretch_is_quiet_only_where_all_around_are_alike() -> None:
    columns = np.zeros((3, 30), dtype=np.int64)
    assert [quiet_stretch(columns, spans_before(columns, x), x, 5)[0] for x in range(3)] == [
        0,
        0,
        25,
    ]
    assert quiet_stretch(columns, spans_before(columns, 2), 2, 5)[1] == 15
    for row in (4, 5, 12):
        other = columns.copy()
        other[:2, row:] = 1
        assert quiet_stretch(other, spans_before(other, 2), 2, 5)[0] == max(
            row - LOOKED_DOWN - 5, 0
        )


def test_a_stretch_ends_where_a_rising_interface_is_expected() -> None:
    columns = np.zeros((3, 30), dtype=np.int64)
    columns[0, 24:], columns[1, 20:] = 1, 1
    assert quiet_stretch(columns, spans_before(columns, 2), 2, 5)[0] == 16 - LOOKED_DOWN - 5


def test_ends_tell_how_an_interface_and_the_one_above_it_move() -> None:
    columns = np.zeros((4, 40), dtype=np.int64)
    for x, (top, end) in enumerate(((10, 22), (10, 23), (11, 25))):
        columns[x, top:end] = 1
    columns[3, 14:16] = 1
    found = np.zeros(ENDS, dtype=np.int64)
    fill_ends(columns, spans_before(columns, 3), 3, 16, 14, found)
    assert found.tolist() == [25, 2, 1, 3]
    fill_ends(columns, spans_before(columns, 3), 3, 16, 0, found)
    assert found[3] == UNKNOWN


@pytest.mark.parametrize(("slope", "curve"), [(1, 0), (-2, 0), (0, 1)])
def test_interfaces_are_extrapolated_by_lines_and_parabolas(slope: int, curve: int) -> None:
    ends = [40 + slope * x + curve * (x * (x - 1)) // 2 for x in range(4)]
    columns = np.zeros((5, 90), dtype=np.int64)
    for x, end in enumerate(ends[:-1]):
        columns[x, end:] = 1
    found, z = np.zeros(AHEAD, dtype=np.int64), ends[2]
    extrapolate_end(columns, 3, z, 0, 0, found)
    assert found[2] == 8 * (ends[3] - z) + 32
    if curve == 0:
        assert found[0] == found[1] == found[2]
    assert found[3] == 3


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


def _rises(seed: int) -> np.ndarray:
    """Columns (30, 40) in which each sample is the one to the left and the one above less the
    corner.
    """
    rng = np.random.default_rng(seed)
    return np.add.outer(rng.integers(0, 400, 30), rng.integers(0, 400, 40)).astype(np.int64)


def test_steady_guesses_learn_a_linear_rule() -> None:
    columns = _rises(2)
    image, steady = padded(columns, 801), new_steady()
    regression = new_regression(1, np.zeros(MOST_ORDER))
    misses = np.zeros(columns.shape)
    for x in range(30):
        open_column(image, x, regression)
        for z in range(40):
            guess = steady_guess(image, x, z, 801, steady) / (1 << FRACTION)
            misses[x, z] = abs(columns[x, z] - guess)
            image[x + PADDING, z + PADDING] = columns[x, z]
            learn_steady(columns[x, z] - image[x + PADDING, z + PADDING - 1], steady)
        close_column(image, x, regression)
    like_the_one_above = np.abs(np.diff(columns, axis=1))
    assert np.median(misses[20:]) < 0.03 * np.median(like_the_one_above)
    assert np.median(misses[0]) > 0.1 * np.median(like_the_one_above)


@pytest.mark.parametrize("every", [True, False])
def test_predictions_fitted_nearby_learn_a_linear_rule(every: bool) -> None:
    columns = _rises(3)
    image = padded(columns, 801)
    regression = new_regression(40 if every else 1, np.zeros(MOST_ORDER))
    misses, found = np.zeros(columns.shape), np.zeros(4, dtype=np.int64)
    for x in range(30):
        open_column(image, x, regression)
        for z in range(40):
            fill_predictions(image, x, z, 801, every, regression, found)
            misses[x, z] = abs(columns[x, z] - found[2] / (1 << FRACTION))
            image[x + PADDING, z + PADDING] = columns[x, z]
            if every:
                wanted = columns[x, z] - image[x + PADDING, z + PADDING - 1]
                learn_predictions(wanted, x, z, regression)
        close_column(image, x, regression)
    assert np.median(misses[10:]) < 0.02 * np.median(np.abs(np.diff(columns, axis=1)))


def test_sums_kept_column_by_column_are_those_of_all_samples_before() -> None:
    """The recursive sums are the weighted sums over every sample that came before."""
    columns = np.random.default_rng(4).integers(0, 50, (6, 9))
    image, regression = padded(columns, 51), new_regression(9, np.zeros(MOST_ORDER))
    found, products = np.zeros(4, dtype=np.int64), {}
    for x in range(6):
        open_column(image, x, regression)
        for z in range(9):
            fill_predictions(image, x, z, 51, True, regression, found)
            if x > 0:
                expected = sum(
                    NEARNESS ** (x - i + abs(z - j)) * product
                    for (i, j), product in products.items()
                )
                assert regression.before[z, 0] == pytest.approx(expected, rel=1e-9)
                near = regression.column[z, 0]
                products[x, z] = near * near
            image[x + PADDING, z + PADDING] = columns[x, z]
            wanted = columns[x, z] - image[x + PADDING, z + PADDING - 1]
            learn_predictions(wanted, x, z, regression)
        close_column(image, x, regression)
