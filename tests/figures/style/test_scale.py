"""Scales: the basin stays visible, levels, limits and degenerate values."""

import numpy as np
import pytest

from landscape.figures.plots.surfaces.grids import scale_of
from landscape.figures.style.scale import choose_scale, clips


def bowl(n=51, sharp=1.0):
    axis = np.linspace(-1, 1, n)
    return sharp * (axis[None, :] ** 2 + axis[:, None] ** 2) + 0.01


def test_a_quadratic_bowl_is_shown_whole_and_its_scale_is_linear():
    scale = choose_scale([bowl()], log=False)
    assert scale.top == bowl().max()
    assert not scale.cut
    assert scale.note([bowl()]) == ""
    assert not choose_scale([bowl() + 1]).log


@pytest.mark.parametrize("log", [True, False])
@pytest.mark.parametrize("wild", [np.inf, 1e6, 1e300])
def test_divergent_corners_leave_the_basin_most_of_the_height(log, wild):
    array = bowl(sharp=10)
    array[40:, 40:] = wild
    scale = choose_scale([array], log=log)
    share = (scale.heights(bowl(sharp=10)).max() - scale.bottom) / (scale.top - scale.bottom)
    assert share > 0.5
    assert "121 of 2,601 points lie above" in scale.note([array])


def test_a_plane_that_diverges_almost_everywhere_still_shows_its_basin():
    array = bowl(sharp=3)
    array[array > 0.3] = np.inf
    assert choose_scale([array], log=False).top <= 0.31


def test_log_is_chosen_where_the_range_is_wide_and_possible():
    assert choose_scale([np.geomspace(0.01, 10, 50)]).log
    assert not choose_scale([np.linspace(1, 10, 50)]).log
    assert not choose_scale([np.linspace(-1, 100, 50)], log=True).log
    zeros = choose_scale([np.array([0.0, 1e-4, 1.0, 10.0])], log=True)
    assert zeros.heights(np.zeros(1))[0] == zeros.bottom


@pytest.mark.parametrize("values", [np.full(9, 2.0), np.zeros(9), np.full(9, np.nan), np.full(9, np.inf)])
def test_degenerate_values_still_have_a_scale(values):
    scale = choose_scale([values])
    assert scale.top > scale.bottom
    assert scale.step > 0
    assert clips([values]) == [] or max(clips([values])) == 2


def test_levels_are_even_in_log_and_contain_decades():
    scale = choose_scale([np.geomspace(0.003, 400, 100)], log=True)
    levels = np.arange(scale.start, scale.top, scale.step)
    assert 5 <= len(levels) <= 17
    assert any(abs(level) < 1e-9 for level in levels)


def test_height_limits_on_offer_rise_to_the_largest_value():
    offered = clips([np.array([0.01, 3.0, 700.0, np.inf])])
    assert offered == sorted(offered)
    assert offered[-1] == 700
    assert {1, 10, 100} <= set(offered)


def test_accuracy_is_never_clipped_nor_logarithmic():
    array = np.full((20, 20), 0.1)
    array[9:11, 9:11] = 1.0
    scale = scale_of([array], "accuracy", "train", log=True)
    assert (scale.log, scale.bottom, scale.top) == (False, 0.1, 1.0)
    assert all(label.endswith("%") for label in scale.labels)
