"""Basin widths against the closed form of a parabola, and over several directions against a sorted list."""

import math
from collections.abc import Callable

import numpy as np
import pytest

from landscape.errors import LandscapeError
from landscape.results import LineResult, points_table
from landscape.stats.basin_width import BasinWidth, basin_width, width_quartiles


def line(loss: Callable[[float], float], alpha: np.ndarray | None = None) -> LineResult:
    alpha = np.linspace(-1, 1, 51) if alpha is None else alpha
    rows = [(x, 0.0, s, 0, loss(x) + s, 0.0, 10, 0) for x in alpha for s in (0, 1)]
    return LineResult(alpha, ("test", "train"), ("loss",), points_table(rows))


def test_the_radius_of_a_parabola() -> None:
    found = basin_width(line(lambda x: 0.5 + (9 if x < 0 else 4) * x**2), rises=(0.1, 1.0, 9.5))
    assert [entry["rise"] for entry in found] == [0.1, 1.0, 9.5]
    for entry in found[:2]:
        assert entry["left"] == pytest.approx(math.sqrt(entry["rise"] / 9), rel=2e-3)
        assert entry["right"] == pytest.approx(math.sqrt(entry["rise"] / 4), rel=2e-3)
    assert math.isnan(found[2]["left"])
    assert math.isnan(found[2]["right"])


def test_a_point_at_the_height_itself_counts() -> None:
    found = basin_width(line(abs, np.array([-1.0, -0.5, 0.0, 0.5, 1.0])), rises=(0.5, 1.0))
    assert [entry["right"] for entry in found] == pytest.approx([0.5, 1.0])
    assert [entry["left"] for entry in found] == pytest.approx([0.5, 1.0])


def test_the_first_crossing_counts_and_a_dip_does_not() -> None:
    found = basin_width(line(lambda x: math.sin(8 * x) ** 2 - 0.4 * (x < -0.01)), rises=(0.5,))[0]
    assert found["right"] == pytest.approx(math.pi / 32, rel=2e-2)
    assert found["left"] == pytest.approx(math.asin(math.sqrt(0.9)) / 8, rel=2e-2)


@pytest.mark.parametrize("bad", [math.inf, math.nan])
def test_a_loss_that_is_not_finite_has_risen(bad: float) -> None:
    found = basin_width(line(lambda x: bad if x > 0.5 else x**2), rises=(0.04, 1.0))
    assert found[0]["right"] == pytest.approx(0.2)
    assert found[1]["right"] == pytest.approx(0.48)  # the last point before it
    assert found[1]["left"] == pytest.approx(1)


def test_any_split_and_no_other_lines() -> None:
    there = line(lambda x: x**2)
    for train, test in zip(basin_width(there, split="train"), basin_width(there), strict=True):
        assert train == pytest.approx(test)
    for alpha in (np.array([0.5, 1.0]), np.array([-0.5, 0.5])):
        with pytest.raises(LandscapeError, match="measured point at 0"):
            basin_width(line(lambda x: x**2, alpha))


def test_median_and_quartiles_over_directions() -> None:
    lines = [line(lambda x, c=c: c * x**2) for c in (1.0, 4.0, 16.0, 25.0)]
    found = width_quartiles(basin_width(each, rises=(0.16, 2.0)) for each in lines)
    radii = np.repeat([0.4, 0.2, 0.1, 0.08], 2)
    assert found[0].rise == 0.16
    assert found[0].median == pytest.approx(np.median(radii), rel=5e-3)
    assert (found[0].lower, found[0].upper) == pytest.approx(np.quantile(radii, [0.25, 0.75]), rel=5e-3)
    assert (found[0].radii, found[0].reached) == (8, 8)
    beyond = found[1]  # √2 for the first lies outside the line, the others within
    assert (beyond.radii, beyond.reached) == (8, 6)
    assert beyond.median == pytest.approx((math.sqrt(2 / 4) + math.sqrt(2 / 16)) / 2, rel=5e-3)
    assert beyond.upper == math.inf
    assert (found[0].left, found[0].right) == pytest.approx((0.15, 0.15), rel=5e-3)


def test_radii_beyond_the_line_are_larger_than_all_others() -> None:
    nothing = [{"rise": 1.0, "left": math.nan, "right": math.nan}]
    one = [{"rise": 1.0, "left": 0.5, "right": 0.7}]
    assert width_quartiles([nothing]) == [BasinWidth(1.0, math.inf, math.inf, math.inf, 2, 0, math.inf, math.inf)]
    found = width_quartiles([one, nothing])[0]
    assert (found.lower, found.median) == (pytest.approx(0.65), math.inf)
    assert width_quartiles([one, one, nothing])[0].median == pytest.approx(0.7)
