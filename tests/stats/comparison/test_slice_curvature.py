"""Curvature along the axes of a plane, against quadratics and a quartic in closed form."""

import dataclasses

import numpy as np
import pytest
from cases import synthetic as make

from landscape.stats.comparison.slice_curvature import axis_curvatures

NORMS = {"directions": {"kind": "random", "norms": [2.0, 5.0]}}


def test_a_quadratic_has_its_second_derivatives_and_no_error():
    first, second = axis_curvatures(make.surface(value=lambda a, b, s: 3 * a * a + 0.5 * b * b + a + 0.2 * b, **NORMS))
    assert (first.value, second.value) == (pytest.approx(6 / 4), pytest.approx(1 / 25))
    assert max(first.stderr, second.stderr) < 1e-12


@pytest.mark.parametrize("quartic", [0.5, -0.5])
def test_the_error_covers_what_a_coarse_grid_misses(quartic):
    """(L(h) + L(−h) − 2 L(0)) / h² of 3 a² + q a⁴ is 6 + 2 q h²: the error is exactly 2 |q| h²."""
    first, _ = axis_curvatures(make.surface(nx=9, value=lambda a, b, s: 3 * a * a + quartic * a**4, **NORMS))
    assert abs(first.value - 6 / 4) == pytest.approx(first.stderr, rel=1e-9)
    assert first.stderr == pytest.approx(2 * abs(quartic) * 0.25**2 / 4)


def test_reduced_precision_and_estimates_widen_the_error():
    exact = make.surface(**NORMS)
    rounded = make.surface(precision_error=0.003, tolerance={"measured_95": 0.004}, **NORMS)
    for plain, wide in zip(axis_curvatures(exact), axis_curvatures(rounded), strict=True):
        assert wide.value == plain.value
        assert wide.stderr > plain.stderr
    h = 1 / 3  # of seven points from −1 to 1
    expected = 0.005 * make.loss(0, 0, 0) * np.sqrt(6) / (h * 2.0) ** 2
    assert np.sqrt(wide_of(rounded) ** 2 - wide_of(exact) ** 2) == pytest.approx(expected)


def wide_of(surface):
    return axis_curvatures(surface)[0].stderr


def test_without_norms_neighbours_or_measured_points_there_is_none():
    whole = make.surface(**NORMS)
    begun = dataclasses.replace(whole, points=whole.points[whole.points["beta"] < 0.2])
    uneven = dataclasses.replace(whole, alpha=np.array([-1, -0.6, -0.3, 0, 1 / 3, 2 / 3, 1.0]))
    for surface in (make.surface(), make.surface(nx=3, **NORMS), begun, uneven):
        assert axis_curvatures(surface) == []
