"""Points of a grid and their order."""

import numpy as np

from landscape.analysis.planes.axes import axis
from landscape.analysis.surfaces.grids.grid import Grid, grid_points, probe_points


def test_positions_are_in_units_of_both_axes() -> None:
    positions = Grid.of((axis(5, 1.0), axis(9, 3.0))).positions
    np.testing.assert_array_equal(positions.min(0), [0, 0])
    np.testing.assert_array_equal(positions.max(0), [1, 1])


def test_the_centre_row_comes_first_and_each_point_once() -> None:
    points = list(grid_points(axis(3, 1.0), axis(5, 1.0)))
    assert points[:3] == [(-1.0, 0.0), (0.0, 0.0), (1.0, 0.0)]
    assert [abs(b) for _, b in points[::3]] == [0, 0.5, 0.5, 1, 1]
    assert len(set(points)) == 15


def test_probe_points_are_points_of_the_grid() -> None:
    alpha, beta = axis(7, 1.0), axis(5, 2.0)
    for a, b in probe_points(alpha, beta):
        assert a in alpha
        assert b in beta
    assert (0.0, 0.0) in probe_points(alpha, beta)
    assert {b for _, b in probe_points(alpha, None)} == {0.0}
