"""Work shared out among threads: all of it, once, and no error is lost."""

from __future__ import annotations

from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from velcodec.parallel import in_parallel, share_out

few = st.integers(1, 9)


@given(st.integers(0, 40), st.integers(0, 400), few, st.integers(1, 200), few)
def test_every_cell_is_in_one_job(
    rows: int, columns: int, most_rows: int, least: int, threads: int
) -> None:
    with mock.patch("velcodec.parallel._asked_for", threads):
        jobs = share_out(rows, columns, most_rows, least)
    times = np.zeros((rows, columns), int)
    for job in jobs:
        times[job] += 1
    assert (times == 1).all()
    assert all(down.stop - down.start <= most_rows for down, _ in jobs)


def test_points_of_one_model_are_shared_out_too() -> None:
    with mock.patch("velcodec.parallel._asked_for", 3):
        assert len(share_out(1, 6000, 32, 2000)) == 3
        assert len(share_out(1, 5000, 32, 2000)) == 2


@pytest.mark.parametrize("threads", [1, 2])
def test_an_error_of_a_thread_is_raised(threads: int) -> None:
    def fail(rows: slice, columns: slice) -> None:
        if columns.start:
            raise ArithmeticError

    jobs = [(slice(1), slice(start, start + 1)) for start in range(2)]
    with (
        mock.patch("velcodec.parallel._asked_for", threads),
        pytest.raises(ArithmeticError),
    ):
        in_parallel(fail, jobs)
