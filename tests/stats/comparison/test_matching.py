"""Levels that runs share, and what is interpolated there, against polygons of known values."""

import math

import numpy as np
import pytest

from landscape.errors import LandscapeError
from landscape.results import MeasureResult, SharpnessResult
from landscape.stats.comparison.matching import (
    Crossing,
    interpolate_measures,
    last_crossing,
    lowest_common_loss,
    paired_seeds,
)


def test_the_lowest_common_loss_ignores_the_initial_weights_and_losses_that_are_not_finite():
    assert lowest_common_loss({"a": [0.1, 0.9, 0.6], "b": [0.1, 0.7, math.inf, 0.4, math.nan]}) == 0.6
    with pytest.raises(LandscapeError, match="b has no snapshot with a finite loss"):
        lowest_common_loss({"a": [1.0, 0.5], "b": [1.0, math.nan]})


def test_the_last_crossing_is_the_root_of_the_polygon():
    generator = np.random.default_rng(0)
    for _ in range(50):
        losses = generator.uniform(size=8)
        level = generator.uniform(losses.min(), losses.max())
        dense = np.linspace(0, 7, 70_001)
        signs = np.sign(np.interp(dense, np.arange(8), losses) - level)
        expected = dense[np.flatnonzero(np.diff(signs))[-1]]
        crossing = last_crossing(losses, level)
        assert crossing.index + crossing.fraction == pytest.approx(expected, abs=2e-4)
        assert crossing.interpolate(losses[crossing.index], losses[crossing.index + 1]) == pytest.approx(level)


def test_a_run_is_at_its_own_lowest_snapshot_exactly():
    losses = [3.0, 1.0, 0.1, 0.7]
    for index, fraction in (([3.0, 1.0, 0.1], 1.0), (losses, 0.0)):
        crossing = last_crossing(index, 0.1)
        assert (crossing.index + (crossing.fraction == 1.0), crossing.fraction) == (2, fraction)
    assert last_crossing(losses, 5.0) is None
    assert last_crossing([2.0, math.inf, 0.5], 1.0) is None
    assert last_crossing([1.0, 1.0], 1.0) == Crossing(0, 0.0)


def test_measures_are_linear_between_the_snapshots():
    def result(value, stderr, bound):
        measure = MeasureResult("m", "m", value, stderr, "", 3, {}, {"bound": bound, "converged": value < 2})
        return SharpnessResult((measure,), {"examples": 5})

    at = interpolate_measures(result(1.0, 0.1, 0.01), result(3.0, 0.2, 0.02), Crossing(4, 0.25))
    (measure,) = at.measures
    assert measure.value == pytest.approx(1.5)
    assert measure.stderr == pytest.approx(0.125)
    assert measure.diagnostics == {"bound": pytest.approx(0.0125), "converged": False}
    assert at.attributes == {"examples": 5}
    first, second = result(1.0, 0.1, 0.0), result(math.inf, 0.2, 0.0)
    ends = [interpolate_measures(first, second, Crossing(0, fraction)).value("m") for fraction in (0, 1)]
    assert ends == [1.0, math.inf]


def test_only_seeds_that_both_have_once_are_pairs():
    groups, seeds = ["a", "b", "a", "b", "a", "a", "b"], [1, 1, 2, 3, 3, 3, None]
    assert paired_seeds(groups, seeds, "a", "b") == [(0, 1)]
