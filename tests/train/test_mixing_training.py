"""What streams of mixed decisions begin with is learned from generated models."""

from __future__ import annotations

import numpy as np
import pytest

from velcodec.formats.sample_coding.mixing.coder import blank_start, write
from velcodec.train.mixing import (
    PHASES,
    Image,
    layered_images,
    learn,
    smooth_images,
    with_repeated_border,
)


def _small(seed: int) -> Image:
    """Two layers with a wavy interface."""
    rng = np.random.default_rng(seed)
    z, x = np.mgrid[:30, :30]
    codes = (z > 15 + 6 * np.sin(x / 5 + rng.uniform(0, 6))).astype(np.int64)
    return Image(codes * int(rng.integers(1, 90)), 90, 0)


def test_a_repeated_border_is_that_within() -> None:
    found = with_repeated_border(np.arange(80).reshape(8, 10))
    assert found.shape == (8, 10)
    np.testing.assert_array_equal(found[0], found[2])
    np.testing.assert_array_equal(found[:, -1], found[:, -3])
    assert found[4, 5] == 45


@pytest.mark.parametrize("draw", [layered_images, smooth_images])
def test_images_are_integers_within_their_span_and_the_same_from_a_seed(draw: object) -> None:
    images = draw(20, 7)  # type: ignore[operator]
    assert len(images) >= 20
    assert all(0 <= image.codes.min() <= image.codes.max() < image.span for image in images)
    again = draw(20, 7)  # type: ignore[operator]
    assert all((one.codes == two.codes).all() for one, two in zip(images, again, strict=True))


def test_what_was_learned_shortens_streams_of_other_models(
    capsys: pytest.CaptureFixture[str],
) -> None:
    start = learn([_small(seed) for seed in range(40)], False, blank_start().prior)
    assert capsys.readouterr().out.count("bytes an image") == len(PHASES)
    other = _small(99)
    fresh, taught = (len(write(*other, one, smooth=False)) for one in (blank_start(), start))
    assert taught < 0.6 * fresh
