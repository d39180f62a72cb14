"""Convexity maps: scale, both eigenvalues, drawn as a surface."""

import numpy as np
import pytest
from cases import kinds

from landscape.errors import LandscapeError
from landscape.figures.figure import compare, figure
from landscape.figures.plots.surfaces.convexity import convexity_figure, convexity_note
from landscape.figures.plots.surfaces.surface import surface_figure


def test_a_convexity_map_starts_at_zero_and_tells_both_eigenvalues():
    made = kinds.convexity("a", nx=11, ny=7)
    drawn = figure(made)  # a surface, but no loss
    heat = drawn.data[0]
    assert heat.type == "heatmap"
    assert heat.zmin == 0
    ratio = made.grid("convexity")[0]
    shown = ratio < heat.zmax
    np.testing.assert_array_equal(heat.z[shown], ratio[shown])
    np.testing.assert_array_equal(heat.customdata[..., 0], ratio)  # what lies off the scale is told as measured
    np.testing.assert_array_equal(heat.customdata[..., 1], made.grid("lambda_min")[0])
    np.testing.assert_array_equal(heat.customdata[..., 4], made.grid("lambda_max", column="bound")[0])
    np.testing.assert_array_equal(heat.x, made.alpha)
    np.testing.assert_array_equal(heat.y, made.beta)
    assert heat.zmax < 1  # a column of 50 does not set it
    assert "cut at" in heat.colorbar.title.text
    assert "off the scale" in convexity_note({"a": made})


def test_convexity_maps_share_one_scale_and_can_be_clipped():
    mild = kinds.convexity("a", change=lambda points: points[points["alpha"] < 0.9])
    drawn = convexity_figure({"a": mild, "b": kinds.convexity("b")}, clip=0.125)
    heats = [trace for trace in drawn.data if trace.type == "heatmap"]
    assert [heat.zmax for heat in heats] == [0.125, 0.125]
    assert np.isnan(heats[0].z[:, -1]).all()  # not computed: holes


def test_an_eigenvalue_of_a_convexity_map_can_be_drawn_as_a_surface():
    made = kinds.convexity("a")
    drawn = figure(made, metric="lambda_min", view="contour")
    np.testing.assert_array_equal(drawn.data[0].z, made.grid("lambda_min")[0])
    assert surface_figure({"a": made}, view="contour").data[0].type == "contour"  # its first metric
    with pytest.raises(LandscapeError, match="of one kind to compare, got convexity, surface"):
        compare({"a": made, "b": kinds.make.surface("b")})


def test_any_map_without_a_loss_has_a_figure():
    made = kinds.make.surface("a", metrics=("sharpness",))
    np.testing.assert_array_equal(figure(made, log=False, view="contour").data[0].z, made.grid("sharpness")[0])
