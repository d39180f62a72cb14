import numpy as np
import pytest
from cases import synthetic as make

from landscape.figures.figure import figure
from landscape.figures.plots.surfaces.surface import surface_figure
from landscape.figures.style import theme


def test_an_overlay_shows_every_surface_in_one_scene_and_its_own_colour():
    pair = {"a": make.surface("a"), "b": make.surface("b", value=lambda a, b, s: 2 * make.loss(a, b, s))}
    drawn = surface_figure(pair, view="overlay", log=False, opacity=0.4)
    assert [trace.opacity for trace in drawn.data] == [1.0, 0.4]
    assert {trace.scene for trace in drawn.data} <= {None, "scene"}
    for trace, surface in zip(drawn.data, pair.values(), strict=True):
        np.testing.assert_array_equal(trace.z, surface.grid()[0])
    assert drawn.data[0].colorscale != drawn.data[1].colorscale
    assert (drawn.data[0].cmin, drawn.data[0].cmax) == (drawn.data[1].cmin, drawn.data[1].cmax)
    assert drawn.data[1].name == "b"


def test_a_wireframe_draws_the_lines_of_the_grid_and_no_surface():
    surface = make.surface(nx=21, ny=11)
    trace = figure(surface, wireframe=True, log=False).data[0]
    assert trace.hidesurface
    assert not trace.contours.z.show
    for lines, axis in ((trace.contours.x, surface.alpha), (trace.contours.y, surface.beta)):
        assert lines.show
        drawn = np.arange(lines.start, lines.end + 1e-9, lines.size)
        np.testing.assert_allclose(drawn, axis, atol=3e-4)
    assert not figure(surface).data[0].hidesurface


def test_many_points_make_no_more_wires_than_can_be_told_apart():
    lines = figure(make.surface(nx=101, ny=7), wireframe=True).data[0].contours.x
    assert len(np.arange(lines.start, lines.end + 1e-9, lines.size)) == 21


def test_the_error_is_one_minus_the_accuracy():
    surface = make.surface()
    drawn = figure(surface, metric="error", split="test")
    np.testing.assert_allclose(drawn.data[0].z, 1 - surface.grid("accuracy")[1])
    assert drawn.layout.scene.zaxis.ticktext[0].endswith("%")
    gap = figure(surface, metric="error", split="gap").data[0].z
    train, test = surface.grid("accuracy")
    np.testing.assert_allclose(gap, train - test)


def test_other_checkpoints_on_the_plane_are_marked_with_their_names():
    surface = make.surface(marks=[{"label": "<i>other</i>", "alpha": 0.5, "beta": 0.25}])
    for view in ("3d", "contour"):
        mark = figure(surface, view=view, log=False).data[-1]
        assert (mark.x[0], mark.y[0]) == (0.5, 0.25)
        assert mark.text[-1] == "&lt;i&gt;other&lt;/i&gt;"
    height = figure(surface, log=False).data[-1].z[0]
    assert height == pytest.approx(make.loss(0.5, 0.25, 0), abs=0.15)  # between grid points, a little above


def test_a_ramp_goes_from_dark_to_light_through_its_colour():
    shades = theme.shades("#0072b2")
    assert shades[1] == (0.5, "#0072b2")
    sums = [sum(int(colour[i : i + 2], 16) for i in (1, 3, 5)) for _, colour in shades]
    assert sums == sorted(sums)
