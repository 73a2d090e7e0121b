"""Where z is time, no command tells it in metres: labels say ms, what needs metres is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from checkers import layered
from click.testing import Result

import velcodec
from velcodec.plot import velocity

Run = Callable[..., Result]


@pytest.fixture
def in_time(tmp_path: Path) -> Path:
    """A section whose z is time."""
    path = tmp_path / "time.vlat"
    facts = {"vertical": "time", "datum": "sea level"}
    path.write_bytes(velcodec.compress(layered(1, 9, 14), lossless=True, dz=4.0, facts=facts))
    return path


def test_pictures_say_time_and_milliseconds(in_time: Path) -> None:
    with velcodec.open(in_time) as archive:
        axes = velocity(archive[0], archive.geometry(0)).axes
        assert (axes.get_xlabel(), axes.get_ylabel()) == ("x, m", "time, ms")
    facts = {"vertical": "elevation", "datum": "sea level"}
    with velcodec.open(velcodec.compress(layered(1, 9, 14), lossless=True, facts=facts)) as archive:
        label = velocity(archive[0], archive.geometry(0)).axes.get_ylabel()
        assert label == "depth below sea level, m"


def test_the_page_whose_axes_are_in_metres_is_refused(in_time: Path, run: Run) -> None:
    exported = run("view", in_time, "--export", in_time.with_suffix(".html"))
    assert exported.exit_code == 2
    assert "z is time, in milliseconds, and the page has axes in metres" in exported.stderr


@pytest.mark.parametrize(
    "words", [("slice", "--z", "2m"), ("decompress", "--box", "0m:2m,:,:")], ids=["slice", "box"]
)
def test_a_place_in_metres_along_time_is_refused(
    words: tuple[str, str, str], tmp_path: Path, run: Run
) -> None:
    command, *option = words
    volume = layered(3, 4, 5).astype("f4")
    facts = {"vertical": "time"}
    data = velcodec.compress(volume, lossless=True, volume=True, dz=4.0, facts=facts)
    (tmp_path / "v.vlat").write_bytes(data)
    refused = run(command, tmp_path / "v.vlat", tmp_path / "out.npy", *option)
    assert refused.exit_code == 2
    assert "z is time, in milliseconds" in refused.stderr
    by_number = [word.replace("m", "") for word in option]
    assert run(command, tmp_path / "v.vlat", tmp_path / "out.npy", *by_number).exit_code == 0
    assert np.load(tmp_path / "out.npy").size
