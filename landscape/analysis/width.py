"""Basin width: how far along random directions the loss stays within a stated rise over the centre."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.interpolate import PchipInterpolator

from landscape.errors import LandscapeError
from landscape.results import Floats, LineResult

RISES = (0.1, 1.0)


@dataclass(frozen=True)
class Width:
    """The radius of a basin at one rise of the loss, over both sides of several directions."""

    rise: float
    median: float  # inf where half of the radii or more lie beyond the lines
    lower: float  # quartile
    upper: float
    radii: int  # two per direction
    reached: int  # of them, within the lines


def basin_width(
    line: LineResult, *, rises: Sequence[float] = RISES, split: str | None = None
) -> list[dict[str, float]]:
    """Return the radius on both sides of a line's centre at which the loss has risen by each amount.

    In units of α: [{"rise", "left", "right"}, ...], NaN where the line ends before. The first crossing on the grid
    counts; between its two points the loss is interpolated by a monotone cubic (PCHIP). A loss that is not finite has
    risen: then the radius is that of the last point before it.

    Args:
        line: along a random direction, with a measured point at 0.
        rises: of the loss over that at 0.
        split: the first by default.

    Raises:
        LandscapeError: for a line without a measured centre.
    """
    loss = line.grid("loss")[line.splits.index(split or line.splits[0])]
    known = line.computed()
    centre = np.flatnonzero((line.alpha == 0) & known & np.isfinite(loss))
    if len(centre) == 0:
        raise LandscapeError("a basin's width needs the loss at its centre; expected a line with a measured point at 0")
    found = []
    for rise in rises:
        height = loss[centre[0]] + rise
        sides = {}
        for side, sign in (("left", -1.0), ("right", 1.0)):
            outwards = np.flatnonzero(known & (sign * line.alpha >= 0))
            outwards = outwards[np.argsort(sign * line.alpha[outwards])]
            sides[side] = _crossing(sign * line.alpha[outwards], loss[outwards], height)
        found.append({"rise": float(rise), **sides})
    return found


def width_over(widths: Iterable[Sequence[dict[str, float]]]) -> list[Width]:
    """Return median and quartiles of the radii, both sides of every direction, at each rise.

    A radius beyond the end of its line counts as larger than all others.

    Args:
        widths: of each direction's line, as `basin_width` returns them.
    """
    radii: dict[float, list[float]] = {}
    for width in widths:
        for entry in width:
            radii.setdefault(entry["rise"], []).extend((entry["left"], entry["right"]))
    found = []
    for rise, values in radii.items():
        beyond = np.array([math.inf if math.isnan(value) else value for value in values])
        lower, median, upper = (_quantile(beyond, q) for q in (0.25, 0.5, 0.75))
        found.append(Width(rise, median, lower, upper, len(beyond), int(np.isfinite(beyond).sum())))
    return found


def _crossing(distance: Floats, loss: Floats, height: float) -> float:
    """Return where a loss, first given at distance 0 below the height, first reaches it; NaN where it does not."""
    risen = np.flatnonzero(~(loss < height))  # NaN and inf, too
    if len(risen) == 0:
        return math.nan
    after = int(risen[0])
    if not math.isfinite(loss[after]):
        return float(distance[after - 1])
    finite = np.isfinite(loss)
    rest = PchipInterpolator(distance[finite], loss[finite]).solve(height, extrapolate=False)
    inside = rest[(rest >= distance[after - 1]) & (rest <= distance[after])]
    return float(inside[0]) if len(inside) else float(distance[after])


def _quantile(values: Floats, q: float) -> float:
    """Return a quantile, linear between the two values beside it; inf where the upper one is."""
    low, high = (float(np.quantile(values, q, method=method)) for method in ("lower", "higher"))
    return float(np.quantile(values, q)) if math.isfinite(high) else (low if low == high else math.inf)
