"""Frequency tables: only ones that every reader can decode with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from builders import tables
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from velcodec.formats.errors import DecoderFileError
from velcodec.formats.latent_coding.tables import (
    TOTAL,
    LatentTables,
    integer_frequencies,
    starts_of,
)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(0, 10**12), min_size=1, max_size=300))
def test_frequencies_are_positive_and_sum_to_the_total(counts: list[int]) -> None:
    frequencies = integer_frequencies(np.array(counts))
    assert frequencies.min() >= 1
    assert frequencies.sum() == TOTAL


def test_frequencies_follow_the_counts() -> None:
    assert integer_frequencies(np.array([1, 3])).tolist() == [4096, 12288]
    assert integer_frequencies(np.array([5])).tolist() == [TOTAL]


def test_starts_are_the_sums_before() -> None:
    assert starts_of(np.array([[3, 4, 9]])).tolist() == [[0, 3, 7]]


def test_every_slot_belongs_to_its_symbol() -> None:
    own = tables()
    for row, frequency in enumerate(own.frequencies):
        assert (np.bincount(own.symbol_of_slot[row]) == frequency).all()


def test_tables_come_back_from_tensors() -> None:
    own = tables()
    again = LatentTables.from_tensors(own.to_tensors())
    for name, array in own.to_tensors().items():
        assert np.array_equal(getattr(again, name), array)
    assert (again.latent_size, again.step_count, again.limit) == (4, 3, 3)


@pytest.mark.parametrize("name", ["frequencies", "classes", "class_frequencies"])
def test_a_missing_tensor_is_refused_by_name(name: str) -> None:
    tensors = tables().to_tensors()
    del tensors[name]
    with pytest.raises(DecoderFileError, match=f"tables: {name}: not found"):
        LatentTables.from_tensors(tensors)


def _with(array: NDArray[Any], place: tuple[int, ...], value: int) -> NDArray[Any]:
    changed = array.copy()
    changed[place] = value
    return changed


WRONG: dict[str, tuple[str, Callable[[NDArray[Any]], NDArray[Any]]]] = {
    "sum": ("frequencies", lambda a: _with(a, (0, 0), 9999)),
    "zero frequency": ("frequencies", lambda a: _with(a, (0, 0), 0)),
    "odd symbols": ("frequencies", lambda a: a[:, 1:]),
    "too few symbols": ("frequencies", lambda a: np.full((6, 2), TOTAL // 2, np.uint16)),
    "too many rows": ("frequencies", lambda a: np.full((257, 4), TOTAL // 4, np.uint16)),
    "rows of the wrong dtype": ("frequencies", lambda a: a.astype(np.int32)),
    "big-endian rows": ("frequencies", lambda a: a.astype(">u2")),
    "no rows": ("frequencies", lambda a: a[:0]),
    "flat rows": ("frequencies", lambda a: a[0]),
    "row that is not there": ("classes", lambda a: _with(a, (0, 0, 0), 6)),
    "flat classes": ("classes", lambda a: a[0]),
    "no coefficients": ("classes", lambda a: a[..., :0]),
    "class sum": ("class_frequencies", lambda a: _with(a, (0,), 1)),
    "classes missing": ("class_frequencies", lambda a: np.array([TOTAL], np.uint16)),
}


@pytest.mark.parametrize("case", WRONG)
def test_tables_that_no_reader_could_use_are_refused(case: str) -> None:
    name, change = WRONG[case]
    tensors = tables().to_tensors()
    tensors[name] = change(tensors[name])
    with pytest.raises(DecoderFileError, match=f"tables: {name}: found"):
        LatentTables.from_tensors(tensors)
