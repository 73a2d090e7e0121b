"""Where samples lie: cell centres, physical positions, x first in points and z first in arrays."""

from __future__ import annotations

import numpy as np
import pytest

from velcodec.formats.errors import InputShapeError, NonFiniteError, PointsOutsideError
from velcodec.geometry import Geometry, cell_centres, grid_points


def test_samples_are_cell_centres_of_the_domain() -> None:
    assert cell_centres(1).tolist() == [0.0]
    assert cell_centres(4).tolist() == [-0.75, -0.25, 0.25, 0.75]


@pytest.mark.parametrize("n", [1, 2, 7, 70])
def test_a_coarse_sample_is_the_mean_of_the_fine_ones_in_its_cell(n: int) -> None:
    fine = cell_centres(4 * n).reshape(n, 4)
    np.testing.assert_allclose(fine.mean(axis=1), cell_centres(n), atol=1e-15)


def test_points_have_x_first_and_follow_the_array_row_by_row() -> None:
    points = grid_points(2, 3)
    assert points.shape == (6, 2)
    x, z = points[:, 0].reshape(2, 3), points[:, 1].reshape(2, 3)
    np.testing.assert_allclose(x[0], cell_centres(3))
    np.testing.assert_allclose(z[:, 0], cell_centres(2))
    assert (np.diff(x, axis=1) > 0).all()
    assert (np.diff(z, axis=0) > 0).all()


@pytest.mark.parametrize("grid", [(), (3, 4), (1, 9), (20, 2)])
def test_axes_are_those_of_the_points(grid: tuple[int, ...]) -> None:
    ground = Geometry(nz=3, nx=4, dx_m=10.0, dz_m=5.0, origin_x_m=100.0, origin_z_m=-2.0)
    z, x = ground.axes(*grid)
    points = ground.sample_points(*grid)
    np.testing.assert_allclose(points[: len(x), 0], x)
    np.testing.assert_allclose(points[:: len(x), 1], z)
    assert len(z) == (grid or (3,))[0]


def test_sample_i_lies_at_origin_plus_i_spacings() -> None:
    ground = Geometry(nz=3, nx=4, dx_m=10.0, dz_m=5.0, origin_x_m=100.0, origin_z_m=-2.0)
    points = ground.sample_points().reshape(3, 4, 2)
    for row in range(3):
        for column in range(4):
            np.testing.assert_allclose(points[row, column], [100 + 10 * column, -2 + 5 * row])


def test_extent_runs_over_whole_cells() -> None:
    ground = Geometry(nz=3, nx=4, dx_m=10.0, dz_m=5.0)
    assert ground.extent == (-5.0, 35.0, -2.5, 12.5)
    corners = [(-5.0, -2.5), (35.0, 12.5)]
    np.testing.assert_allclose(ground.to_cells(corners), [[0, 0], [4, 3]])


def test_a_finer_rendering_fills_the_same_extent() -> None:
    ground = Geometry(nz=10, nx=10, dx_m=10.0, dz_m=10.0)
    fine = ground.sample_points(20, 20).reshape(20, 20, 2)
    np.testing.assert_allclose(fine[0, 0], [-2.5, -2.5])
    np.testing.assert_allclose(fine[-1, -1], [92.5, 92.5])


def test_a_point_outside_is_refused_and_named() -> None:
    ground = Geometry(nz=3, nx=4, dx_m=10.0, dz_m=10.0)
    with pytest.raises(PointsOutsideError, match=r"point 1 at \(x, z\) = \(36, 0\).*\[-5, 35\]"):
        ground.to_cells([(0.0, 0.0), (36.0, 0.0)])


def test_points_of_another_shape_are_refused() -> None:
    with pytest.raises(InputShapeError, match=r"\(P, 2\)"):
        Geometry(3, 4, 10.0, 10.0).to_cells([1.0, 2.0, 3.0])


def test_points_that_are_not_finite_are_refused() -> None:
    with pytest.raises(NonFiniteError, match="row 1"):
        Geometry(3, 4, 10.0, 10.0).to_cells([(0.0, 0.0), (np.nan, 0.0)])


def test_volumes_have_a_third_axis() -> None:
    ground = Geometry(2, 4, 10.0, 5.0, 100.0, -2.0, ny=3, dy_m=20.0, origin_y_m=50.0)
    z, y, x = ground.axes()
    np.testing.assert_allclose(z, [-2, 3])
    np.testing.assert_allclose(y, [50, 70, 90])
    np.testing.assert_allclose(x, [100, 110, 120, 130])
    points = ground.sample_points().reshape(2, 3, 4, 3)
    np.testing.assert_allclose(points[1, 2, 3], [130, 90, 3])
    np.testing.assert_allclose(ground.axes(2, 6, 4)[1], [45, 55, 65, 75, 85, 95])
    np.testing.assert_allclose(ground.first_sample(2, 6, 4), [-2, 45, 100])
    np.testing.assert_allclose(ground.to_cells([(95.0, 100.0, 3.0)]), [[0, 3, 1.5]])
    with pytest.raises(
        PointsOutsideError, match=r"\(x, y, z\) = \(100, 20, 0\) .*y in \[40, 100\]"
    ):
        ground.to_cells([(100.0, 20.0, 0.0)])
