"""Basin width: the radius along random directions at which the loss has risen by a stated amount."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from landscape.errors import LandscapeError
from landscape.results import Floats, LineResult
from landscape.stats.quantiles import quantiles

RISES = (0.1, 1.0)


@dataclass(frozen=True)
class BasinWidth:
    """Radius of a basin at one rise of the loss: median and quartiles over both sides of several directions."""

    rise: float
    median: float  # inf if half of the radii or more lie beyond the lines
    lower: float  # quartile
    upper: float
    radii: int  # two per direction
    reached: int  # of them, within the lines
    left: float  # median of the radii on the side of negative α
    right: float


def basin_width(
    line: LineResult, *, rises: Sequence[float] = RISES, split: str | None = None
) -> list[dict[str, float]]:
    """Return the radius on both sides of a line's centre at which the loss has risen by each amount.

    The first crossing on the grid counts; between its two points the loss is interpolated by a monotone cubic (PCHIP).
    A loss that is not finite has risen: the radius is then that of the last point before it.

    >>> import numpy as np, landscape
    >>> from landscape.results import LineResult, points_table
    >>> alpha = np.linspace(-2, 2, 5)
    >>> line = LineResult(alpha, ("train",), ("loss",), points_table([(a, 0, 0, 0, a * a, 0, 1, 0) for a in alpha]))
    >>> landscape.basin_width(line, rises=[1.0])
    [{'rise': 1.0, 'left': 1.0, 'right': 1.0}]

    Args:
        line: along a random direction, with a measured point at 0.
        rises: of the loss over that at 0.
        split: the first by default.

    Returns:
        [{"rise", "left", "right"}, ...], radii in units of α; NaN if the line ends before the loss has risen.

    Raises:
        LandscapeError: for a line without a measured centre.
    """
    loss = line.grid("loss")[line.splits.index(split or line.splits[0])]
    known = line.computed()
    centre = np.flatnonzero((line.alpha == 0) & known & np.isfinite(loss))
    if len(centre) == 0:
        raise LandscapeError("a basin's width needs the loss at its centre; expected a line with a measured point at 0")
    widths = []
    for rise in rises:
        height = loss[centre[0]] + rise
        sides = {}
        for side, sign in (("left", -1.0), ("right", 1.0)):
            outwards = np.flatnonzero(known & (sign * line.alpha >= 0))
            outwards = outwards[np.argsort(sign * line.alpha[outwards])]
            sides[side] = _crossing(sign * line.alpha[outwards], loss[outwards], height)
        widths.append({"rise": float(rise), **sides})
    return widths


def width_quartiles(widths: Iterable[Sequence[Mapping[str, float]]]) -> list[BasinWidth]:
    """Return median and quartiles of the radii, both sides of every direction, at each rise in ascending order.

    A radius beyond the end of its line counts as larger than all others.

    Args:
        widths: of each direction's line, as `basin_width` returns them.
    """
    entries: dict[float, list[tuple[float, float]]] = {}
    for width in widths:
        for entry in width:
            entries.setdefault(float(entry["rise"]), []).append((float(entry["left"]), float(entry["right"])))
    summaries = []
    for rise in sorted(entries):
        sides = np.array(entries[rise])
        sides = np.where(np.isnan(sides), np.inf, sides)
        lower, median, upper = map(float, quantiles(sides.ravel(), [0.25, 0.5, 0.75]))
        left, right = map(float, quantiles(sides, [0.5])[0])
        reached = int(np.isfinite(sides).sum())
        summaries.append(BasinWidth(rise, median, lower, upper, sides.size, reached, left, right))
    return summaries


def _crossing(distance: Floats, loss: Floats, height: float) -> float:
    """Return the first distance at which a loss, below the height at distance 0, reaches it; NaN if it never does."""
    from scipy.interpolate import PchipInterpolator  # lazy: pages and tables need only `width_quartiles`

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
