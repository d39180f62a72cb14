"""Reliefs: overlays, wireframes."""

import numpy as np
from cases import synthetic as make

from landscape.figures.figure import figure
from landscape.figures.plots.surfaces.surface import surface_figure


def test_an_overlay_shows_every_surface_in_one_scene_and_its_own_colour():
    pair = {"a": make.surface("a"), "b": make.surface("b", value=lambda a, b, s: 2 * make.loss(a, b, s))}
    drawn = surface_figure(pair, view="overlay", log=False)
    assert [trace.opacity for trace in drawn.data] == [1.0, 0.6]
    assert {trace.scene for trace in drawn.data} <= {None, "scene"}
    for trace, surface in zip(drawn.data, pair.values(), strict=True):
        np.testing.assert_array_equal(trace.z, surface.grid()[0])
    assert drawn.data[0].colorscale != drawn.data[1].colorscale
    assert (drawn.data[0].cmin, drawn.data[0].cmax) == (drawn.data[1].cmin, drawn.data[1].cmax)
    assert drawn.data[1].name == "b"


def test_a_wireframe_draws_the_lines_of_the_grid_and_no_surface():
    surface = make.surface(nx=21, ny=11)
    trace = figure(surface, view="wireframe", log=False).data[0]
    assert trace.hidesurface
    assert not trace.contours.z.show
    for lines, axis in ((trace.contours.x, surface.alpha), (trace.contours.y, surface.beta)):
        assert lines.show
        drawn = np.arange(lines.start, lines.end + 1e-9, lines.size)
        np.testing.assert_allclose(drawn, axis, atol=3e-4)
    assert not figure(surface).data[0].hidesurface


def test_many_points_make_no_more_wires_than_can_be_told_apart():
    lines = figure(make.surface(nx=101, ny=7), view="wireframe").data[0].contours.x
    assert len(np.arange(lines.start, lines.end + 1e-9, lines.size)) == 21
