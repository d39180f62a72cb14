"""Surfaces: the drawn grid, its scale, holes, marks and gaps."""

import numpy as np
import pytest
from cases import synthetic as make

from landscape.errors import LandscapeError
from landscape.figures.figure import figure
from landscape.figures.plots.surfaces.grids import values
from landscape.figures.plots.surfaces.surface import surface_figure


@pytest.mark.parametrize("view", ["3d", "contour"])
@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("metric", ["loss", "accuracy"])
def test_surface_shows_the_grid_as_measured(view, split, metric):
    surface = make.surface(nx=7, ny=5)
    main = figure(surface, view=view, metric=metric, split=split, log=False).data[0]
    expected = surface.grid(metric)[surface.splits.index(split)]
    assert expected.shape == (5, 7)
    np.testing.assert_array_equal(main.z, expected)
    np.testing.assert_array_equal(main.x, surface.alpha)
    np.testing.assert_array_equal(main.y, surface.beta)


@pytest.mark.parametrize("view", ["3d", "contour"])
def test_surface_runs_along_alpha_in_x_and_beta_in_y(view):
    main = figure(make.surface(nx=7, ny=5), view=view, log=False).data[0]
    for y, x in ((0, 6), (4, 0), (1, 2)):
        assert main.z[y][x] == pytest.approx(make.loss(main.x[x], main.y[y], 0))


def test_log_heights_are_log10_and_ticks_tell_values():
    surface = make.surface()
    drawn = figure(surface, log=True)
    np.testing.assert_allclose(drawn.data[0].z, np.log10(surface.grid()[0]))
    axis = drawn.layout.scene.zaxis
    for height, label in zip(axis.tickvals, axis.ticktext, strict=True):
        assert 10**height == pytest.approx(float(label), rel=0.01)


def test_several_surfaces_share_one_scale_and_their_ranges_hold_all():
    small, large = make.surface("a"), make.surface("b", value=lambda a, b, s: 3 * make.loss(a, b, s))
    drawn = surface_figure({"a": small, "b": large}, log=False)
    reliefs = [trace for trace in drawn.data if trace.type == "surface"]
    assert len({(relief.cmin, relief.cmax) for relief in reliefs}) == 1
    assert drawn.layout.scene.zaxis.range == drawn.layout.scene2.zaxis.range
    assert reliefs[0].cmin == pytest.approx(small.grid()[0].min())
    assert reliefs[0].cmax == pytest.approx(large.grid()[0].max())


def test_divergence_is_drawn_beyond_the_scale_and_does_not_set_it():
    def diverge(points):
        corner = (points["alpha"] == 1) & (points["beta"] == 0.5) & (points["metric"] == 0)
        points["value"][corner] = [np.inf, 1e6]  # train, test
        points["value"][(points["alpha"] == -1) & (points["beta"] == 0.5) & (points["metric"] == 0)] = np.nan
        return points

    surface = make.surface(nx=21, ny=15, change=diverge)
    for split in ("train", "test"):
        drawn = figure(surface, split=split, log=False)
        relief = drawn.data[0]
        ordinary = values(make.surface(nx=21, ny=15), "loss", split)
        assert relief.cmax < 2 * ordinary.max()
        assert np.isfinite(relief.z[-1][-1])  # a wall, no hole
        assert relief.z[-1][-1] > drawn.layout.scene.zaxis.range[1]
        assert np.isnan(relief.z[-1][0])
        measured = relief.customdata[-1][-1][surface.splits.index(split)]
        assert measured == (np.inf if split == "train" else 1e6)  # hovering tells what was measured


def test_points_not_computed_are_holes():
    surface = make.surface(change=lambda points: points[points["beta"] < 0.3])
    assert not surface.complete
    z = np.array(figure(surface, log=False).data[0].z)
    np.testing.assert_array_equal(np.isnan(z), ~surface.computed())


def test_the_checkpoint_and_the_lowest_point_are_marked():
    surface = make.surface(nx=21, ny=15)
    relief, checkpoint, lowest = figure(surface, log=False).data
    assert (checkpoint.x[0], checkpoint.y[0]) == (0, 0)
    y, x = np.unravel_index(np.argmin(relief.z), relief.z.shape)
    assert (lowest.x[0], lowest.y[0]) == (surface.alpha[x], surface.beta[y]) != (0, 0)
    assert lowest.z[0] == pytest.approx(relief.z[y][x], abs=0.05 * (relief.cmax - relief.cmin))


def test_gap_is_test_minus_train_around_zero():
    surface = make.surface()
    main = figure(surface, split="gap").data[0]
    np.testing.assert_allclose(main.z, surface.grid()[1] - surface.grid()[0])
    assert main.cmin == -main.cmax
    accuracy = surface.grid("accuracy")
    np.testing.assert_allclose(values(surface, "accuracy", "gap"), accuracy[0] - accuracy[1])


def test_a_metric_or_split_that_was_not_measured_is_named():
    with pytest.raises(LandscapeError, match=r"among loss, accuracy.*, got 'top5'"):
        figure(make.surface(), metric="top5")
    with pytest.raises(LandscapeError, match="among train, got 'gap'"):
        figure(make.surface(splits=("train",)), split="gap")
