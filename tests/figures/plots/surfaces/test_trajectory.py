"""Trajectories on their plane, on contours and on reliefs."""

import dataclasses

import numpy as np
import pytest
from cases import kinds

from landscape.errors import LandscapeError
from landscape.figures.figure import figure
from landscape.figures.plots.surfaces.grids import scale_of, values
from landscape.figures.plots.surfaces.trajectory import (
    Ground,
    belongs,
    relief_traces,
    trajectory_figure,
    trajectory_note,
    trajectory_traces,
)


def title(axis):
    return axis.title.text


def test_a_trajectory_shows_its_path_and_how_far_off_the_plane_it_is():
    path = kinds.trajectory("a", n=7)
    drawn = trajectory_figure({"a": path})
    halo, line, start, end, off, far = drawn.data
    for trace in (halo, line):
        np.testing.assert_array_equal(trace.x, path.alpha)
        np.testing.assert_array_equal(trace.y, path.beta)
    assert (start.x[0], start.y[0]) == (path.alpha[0], path.beta[0])
    assert (end.x[0], end.y[0]) == (path.alpha[-1], path.beta[-1])
    assert (start.name, end.name) == ("start: epoch 0", "end: epoch 6")
    np.testing.assert_array_equal(off.y, path.residuals)
    np.testing.assert_array_equal(far.y, path.distances)
    np.testing.assert_array_equal(off.x, path.position)
    assert title(drawn.layout.xaxis) == "PC 1 (62% of the variance)"
    assert title(drawn.layout.yaxis) == "PC 2 (21% of the variance)"
    note = trajectory_note(path)
    assert "holds 83% of the trajectory's variance" in note
    assert "epoch 3" in note  # where t (1 − t) is largest


def test_a_trajectory_lies_on_the_surface_of_its_own_plane_only():
    path, surface = kinds.trajectory("a"), kinds.pca_surface("a", nx=9, ny=7)
    assert belongs(path, surface)
    assert not belongs(path, kinds.make.surface("a"))
    assert not belongs(dataclasses.replace(path, attributes={}), dataclasses.replace(surface, attributes={}))
    drawn = trajectory_figure({"a": path}, on=Ground(surface, log=False))
    contours = next(trace for trace in drawn.data if trace.type == "contour")
    np.testing.assert_array_equal(contours.z, surface.grid()[0])
    assert drawn.data[0].type == "contour"  # below the path
    for axis, places in ((drawn.layout.xaxis, path.alpha), (drawn.layout.yaxis, path.beta)):
        assert axis.range[0] < places.min()
        assert axis.range[1] > places.max()
    with pytest.raises(LandscapeError, match="not on the plane of a"):
        trajectory_figure({"a": path}, on=kinds.make.surface("a"))


def test_the_overlay_can_show_the_first_snapshots_only():
    path = kinds.trajectory("a", n=7)
    traces = trajectory_traces(path, upto=2)
    assert [len(trace.x) for trace in traces] == [3, 3, 1, 1]
    assert traces[3].x[0] == path.alpha[2]
    assert len(trajectory_traces(path, upto=0)) == 4


def test_a_path_on_a_relief_has_the_heights_between_the_grid_points():
    plane = kinds.pca_surface("a", nx=5, ny=5, value=lambda a, b, s: 2 + a - 3 * b)  # bilinear: interpolation is exact
    path = dataclasses.replace(kinds.trajectory("a"), alpha=np.array([0.1, -0.6, 2.0]), beta=np.array([0.2, -0.4, 0.0]))
    path = dataclasses.replace(path, position=np.arange(3.0), residuals=np.zeros(3), distances=np.ones(3))
    scale = scale_of([values(plane, "loss", "train")], "loss", "train", log=False)
    (trace,) = relief_traces(path, plane, "loss", "train", scale)
    lift = 0.02 * (scale.top - scale.bottom)
    np.testing.assert_allclose(trace.z[:2] - lift, [2 + 0.1 - 0.6, 2 - 0.6 + 1.2])
    assert np.isnan(trace.z[2])  # off the grid


def test_a_curve_that_lies_in_its_plane_has_no_second_panel_and_no_variance():
    drawn = figure(kinds.curve())
    assert "xaxis2" not in drawn.layout
    assert title(drawn.layout.xaxis) == "α"
    assert trajectory_note(kinds.curve()) == ""
