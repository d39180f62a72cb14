"""Axes: exact where they must be, and nested to the bit."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from landscape.analysis.planes.axes import ascending, axis, between_axis, covering_axis, region_axis
from landscape.errors import LandscapeError

SPANS = st.floats(1e-6, 1e6)


@given(st.integers(1, 60), st.integers(1, 9), SPANS)
def test_a_coarse_axis_is_part_of_a_finer_one_to_the_bit(half: int, factor: int, span: float) -> None:
    coarse, fine = axis(2 * half + 1, span), axis(2 * half * factor + 1, span)
    np.testing.assert_array_equal(coarse, fine[::factor])
    np.testing.assert_array_equal(fine, -fine[::-1])
    np.testing.assert_allclose(fine, np.linspace(-span, span, len(fine)), rtol=1e-13, atol=1e-13 * span)


@given(st.integers(1, 40), st.integers(1, 6), st.floats(0, 2))
def test_so_are_axes_between_two_models(steps: int, factor: int, beyond: float) -> None:
    coarse, fine = between_axis(steps + 2, beyond), between_axis((steps + 1) * factor + 1, beyond)
    assert set(coarse.tolist()) <= set(fine.tolist())


@given(st.integers(2, 30), st.integers(1, 5), SPANS)
def test_a_logarithmic_axis_has_equal_ratios_over_three_decades(side: int, factor: int, span: float) -> None:
    found = axis(2 * side + 1, span, spacing="log")
    assert found[side] == 0
    assert found[-1] == span
    np.testing.assert_array_equal(found, -found[::-1])
    np.testing.assert_allclose(found[side + 1 :], np.geomspace(span / 1000, span, side), rtol=1e-12)
    finer = axis(2 * ((side - 1) * factor + 1) + 1, span, spacing="log")
    assert set(found.tolist()) <= set(finer.tolist())


def test_the_shortest_logarithmic_axis() -> None:
    assert axis(3, 2.0, spacing="log").tolist() == [-2.0, 0.0, 2.0]


@given(st.integers(1, 30), st.integers(2, 40), st.integers(0, 40), st.integers(1, 40), SPANS)
def test_a_region_takes_what_the_axis_has_from_it(half: int, points: int, low: int, length: int, span: float) -> None:
    known = axis(2 * half + 1, span)
    first, last = known[min(low, 2 * half - 1)], known[min(low + length, 2 * half)]
    if first >= last:
        return
    found = region_axis(points, first, last, known)
    np.testing.assert_allclose(found, np.linspace(first, last, points), rtol=0, atol=1e-8 * (last - first))
    distance = np.abs(found[:, None] - known[None, :])
    assert not ((distance > 0) & (distance < 1e-10 * (last - first))).any()
    assert {first, last} <= set(found.tolist())


def test_a_region_s_points_between_those_of_the_axis() -> None:
    found = region_axis(21, -0.2, 0.2, axis(51, 1.0))
    assert set(axis(51, 1.0)[20:31].tolist()) <= set(found.tolist())
    assert (np.diff(found) > 0).all()
    assert region_axis(3, 5.0, 6.0, axis(3, 1.0)).tolist() == [5.0, 5.5, 6.0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((1, 0.0, 1.0), "at least 2"),
        ((3, 1.0, 1.0), "the smaller one first"),
        ((3, 0.0, float("nan")), "finite ends"),
    ],
)
def test_regions_that_cannot_be_are_refused(arguments: Any, message: str) -> None:
    with pytest.raises(LandscapeError, match=message):
        region_axis(*arguments, axis(3, 1.0))


def test_minus_zero_is_zero() -> None:
    assert not np.signbit(ascending(np.array([-1.0, -0.0, 1.0]))).tolist()[1]


@pytest.mark.parametrize(("points", "span"), [(3, 1.0), (51, 0.1), (101, 3.7)])
def test_an_axis_is_symmetric_with_an_exact_centre(points: int, span: float) -> None:
    found = axis(points, span)
    assert len(found) == points
    assert found[points // 2] == 0.0
    assert not np.signbit(found[points // 2])
    np.testing.assert_array_equal(found, -found[::-1])
    np.testing.assert_allclose(found, np.linspace(-span, span, points), rtol=1e-13, atol=1e-15)
    assert (found[0], found[-1]) == (-span, span)


@pytest.mark.parametrize(("points", "beyond"), [(3, 0.0), (11, 0.25), (21, 0.5), (7, 1.0)])
def test_an_axis_between_two_models_contains_both(points: int, beyond: float) -> None:
    found = between_axis(points, beyond)
    assert {0.0, 1.0} <= set(found.tolist())
    assert ((found >= 0) & (found <= 1)).sum() == points
    np.testing.assert_allclose(np.diff(found), 1 / (points - 1), rtol=1e-9)
    assert found[0] >= -beyond - 1e-12
    assert found[-1] <= 1 + beyond + 1e-12
    assert len(found) == points + 2 * int(beyond * (points - 1) + 1e-9)


def test_two_points_between_models_are_too_few() -> None:
    with pytest.raises(LandscapeError, match="at least 3"):
        between_axis(2)


@given(
    points=st.integers(3, 101),
    low=st.floats(-1e3, 0),
    high=st.floats(1e-3, 1e3),
    margin=st.floats(0, 2),
)
@settings(deadline=None, max_examples=60)
def test_axes_of_known_points_cover_them_and_hold_zero(points: int, low: float, high: float, margin: float) -> None:
    axis = covering_axis(points, low, high, margin=margin)
    size, step = high - low, axis[1] - axis[0]
    assert len(axis) == points
    assert 0.0 in axis
    assert axis[0] <= low - margin * size + 1e-6 * step
    assert axis[-1] >= high + margin * size - 1e-6 * step
    np.testing.assert_allclose(np.diff(axis), step, rtol=1e-9)
    assert step <= 1.02 * (1 + 2 * margin) * size / (points - 2)
    np.testing.assert_array_equal(axis, covering_axis(points, low * (1 + 1e-15), high * (1 + 1e-15), margin=margin))


@pytest.mark.parametrize("arguments", [(2, -1, 1), (5, 0, 0), (5, 1, 2), (5, 0, math.inf)])
def test_axes_around_nothing_are_refused(arguments: Any) -> None:
    with pytest.raises(LandscapeError, match="expected"):
        covering_axis(*arguments)
