"""What streams of least squares begin with is learned, the same every time, and saves bytes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from velcodec.formats.sample_coding.prediction.least_squares import write
from velcodec.formats.sample_coding.prediction.start import first_models, untrained
from velcodec.train import least_squares, smooth


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smooth, "SIZES", ((24, 22),))
    monkeypatch.setattr(least_squares, "RATES", (24, 8))


def size_from(start: object) -> int:
    codes = smooth.smooth_models({"style_a": 1.0}, 1, 77)[0]
    whole = np.rint((codes - codes.min()) / 5).astype(np.int64)
    return len(write(whole, int(whole.max()) + 1, start, 4))  # type: ignore[arg-type]


def test_what_is_learned_saves_bytes_and_is_the_same_again(small: None) -> None:
    first, again = (least_squares.learn(8, 5) for _ in range(2))
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, other)
    assert size_from(first) < 0.9 * size_from(untrained())


def test_what_is_shipped_saves_more(small: None) -> None:
    assert size_from(first_models()) < size_from(least_squares.learn(8, 5))


def test_the_command_writes_tensors_as_they_are_shipped(
    small: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "made.safetensors"
    monkeypatch.setattr("sys.argv", ["least_squares", str(out), "--models", "4", "--seed", "5"])
    least_squares.main()
    made = load_file(out)
    start = first_models()
    assert {name: array.shape for name, array in made.items()} == {
        "prior": start.prior.shape,
        "weights": start.weights.shape,
        "signs": start.signs.shape,
    }
    assert made["weights"].dtype == np.int8
