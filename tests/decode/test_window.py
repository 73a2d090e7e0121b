"""A window of a model is a part of its whole rendering, at any zoom."""

from __future__ import annotations

import numpy as np
import pytest
from latent_archives import latent_archive

import velcodec
from velcodec.decode.backend import ready_tiles
from velcodec.decode.tiling import Axis, Tiling
from velcodec.decode.window import render_window
from velcodec.decoder import Decoder
from velcodec.formats.container.header import Layout

GRID = (90, 56)


def cells(samples: int, count: int) -> np.ndarray:
    return (np.arange(count) + 0.5) * (samples / count)


@pytest.mark.parametrize("tiles", [1, 2])
def test_a_window_is_a_part_of_the_whole(tiny: Decoder, tiles: int) -> None:
    archive = velcodec.open(latent_archive(tiny, Layout(30, 14), 2, tiles=tiles))
    model, decoder = archive.stored([0])[0], archive.evaluator(0)
    whole = archive.decode(0, GRID).astype(float)
    z, x = cells(30, GRID[0]), cells(14, GRID[1])
    ready = ready_tiles(decoder, model.tiles)
    for rows, columns in (
        (slice(None), slice(None)),
        (slice(31, 62), slice(5, 6)),
        (slice(80, 90), slice(50, 56)),
    ):
        part = render_window(decoder, ready, model.tiling, z[rows], x[columns])
        np.testing.assert_allclose(part, whole[rows, columns], atol=1e-3)


def test_a_window_evaluates_only_the_tiles_in_it() -> None:
    class Counted:
        def __init__(self) -> None:
            self.asked: list[int] = []

        @property
        def ends(self) -> tuple[np.ndarray, np.ndarray]:
            return np.zeros(6), np.arange(1.0, 7.0)

        def array(self, values: np.ndarray) -> np.ndarray:
            return values

        def grids(self, z: np.ndarray, x: np.ndarray) -> np.ndarray:
            return np.zeros((1, z.shape[1] * x.shape[1], 2))

        def __getitem__(self, part: slice) -> Counted:
            self.asked.append(part.start)
            return self

        def values(self, _: object, points: np.ndarray) -> np.ndarray:
            return np.full((1, len(points)), 5.0)

    tiles = Counted()
    tiling = Tiling(Axis(50, 30, 2), Axis(70, 30, 3))
    found = render_window(None, tiles, tiling, np.array([1.0, 2.0]), np.array([60.0, 61.0]))  # type: ignore[arg-type]
    assert tiles.asked == [2]
    assert (found == 5.0).all()
