"""Attributes of files: units and axis names are understood in their usual spellings."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from velcodec.formats.errors import InputFileError
from velcodec.formats.files.attributes import (
    attributes_of,
    ground_of,
    steps_of,
    velocity_units,
)
from velcodec.formats.files.form import Form, Ground, Hints


@pytest.mark.parametrize(
    ("text", "units"),
    [
        ("m/s", "m/s"), ("M/S", "m/s"), ("m s-1", "m/s"), ("m  s**-1", "m/s"), (b"m/s", "m/s"),
        ("meters/second", "m/s"), ("km/s", "km/s"), ("km s-1", "km/s"), (np.str_("km/s"), "km/s"),
        ("kilometres per second", "km/s"), ("", None), (None, None),
    ],
)  # fmt: skip
def test_units_of_velocity(text: object, units: str | None) -> None:
    assert velocity_units(text, "in.h5", Hints()) == units


@pytest.mark.parametrize("text", ["ft/s", "m", "slowness", "s/km"])
def test_other_units_are_refused(text: str) -> None:
    with pytest.raises(InputFileError, match=r"in\.h5: units: found"):
        velocity_units(text, "in.h5", Hints())


NUMBERS = st.none() | st.floats(-1e6, 1e6)


@given(st.builds(Ground, NUMBERS, NUMBERS, NUMBERS, NUMBERS))
def test_attributes_round_trip(ground: Ground) -> None:
    assert ground_of(attributes_of(Form(1, 5, 7, ground=ground, units="m/s")), "in.h5") == ground


@given(
    step=st.floats(1e-3, 1e5),
    origin=st.floats(-1e5, 1e5),
    size=st.integers(2, 300),
)
def test_coordinates_give_back_their_step_and_origin(step: float, origin: float, size: int) -> None:
    found, first = steps_of(origin + step * np.arange(size), "m", "x")
    assert found == pytest.approx(step, rel=1e-5)
    assert first == origin


def test_one_sample_has_an_origin_and_no_spacing() -> None:
    assert steps_of(np.array([3.0]), "km", "x") == (None, 3000.0)
