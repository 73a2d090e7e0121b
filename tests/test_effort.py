"""Levels of effort: what is a level, and what rises with it."""

from __future__ import annotations

from dataclasses import astuple
from itertools import pairwise

import pytest

from velcodec.effort import DEFAULT_EFFORT, LEVELS, effort_of
from velcodec.formats.errors import OptionError


@pytest.mark.parametrize("level", [0, 10, True, 5.0, "5", None])
def test_what_is_no_level_is_refused(level: object) -> None:
    with pytest.raises(OptionError, match="effort: expected an integer from 1 to 9, found"):
        effort_of(level)


def test_no_level_does_less_of_anything_than_the_one_below() -> None:
    levels = [astuple(effort_of(level)) for level in sorted(LEVELS)]
    for below, above in pairwise(levels):
        assert all(more >= less for less, more in zip(below, above, strict=True))
    assert DEFAULT_EFFORT in LEVELS
