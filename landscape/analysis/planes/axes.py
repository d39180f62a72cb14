"""Coordinates of nested grids: those of a coarser grid are among those of a finer one, to the bit."""

from __future__ import annotations

import math
from typing import Literal, TypeAlias

import numpy as np

from landscape.errors import LandscapeError
from landscape.results import Floats

Spacing: TypeAlias = Literal["linear", "log"]

DECADES = 3  # of a logarithmic axis on each side of its centre
MARGIN = 0.25  # length of an axis beyond known points on each side, as a share of their extent


def axis(points: int, span: float, *, spacing: Spacing = "linear") -> Floats:
    """Return `points` coordinates from −span to span with an exact 0 in the middle.

    A logarithmic axis is 0 and, on both sides of it, equal ratios from span/1000 to span. Each coordinate is a function
    of its fraction of the span, which is rounded once: 3/5 and 15/25 are the same number, so that nested axes coincide.

    >>> axis(5, 2.0).tolist()
    [-2.0, -1.0, 0.0, 1.0, 2.0]

    Raises:
        LandscapeError: for a number of points that is not odd and at least 3, or a span that is not positive.
    """
    if points < 3 or points % 2 == 0:
        raise LandscapeError(
            f"got {points} points; expected an odd number of at least 3, so that the centre is a point"
        )
    if not (np.isfinite(span) and span > 0):
        raise LandscapeError(f"got a span of {span}; expected a positive number")
    half = points // 2
    if spacing == "log":
        side = [span * 10.0 ** (DECADES * (i / (half - 1) - 1)) for i in range(half)] if half > 1 else [span]
    else:
        side = [span * (i / half) for i in range(1, half + 1)]
    return np.array([*(-x for x in reversed(side)), 0.0, *side])


def between_axis(points: int, beyond: float = 0.0) -> Floats:
    """Return evenly spaced coordinates from −beyond to 1 + beyond, with `points` in [0, 1], exact 0 and 1 among them.

    >>> between_axis(3, beyond=0.5).tolist()
    [-0.5, 0.0, 0.5, 1.0, 1.5]

    Raises:
        LandscapeError: for fewer than 3 points.
    """
    if points < 3:
        raise LandscapeError(f"got {points} points between two checkpoints; expected at least 3")
    inner = np.arange(points) / (points - 1)
    steps = int(np.floor(beyond * (points - 1) + 1e-9))
    outer = np.arange(1, steps + 1) / (points - 1)
    return np.concatenate([-outer[::-1], inner, 1 + outer])


def known_axis(points: int, low: float, high: float, *, is_line: bool, margin: float) -> Floats:
    """Return coordinates of an axis through known points.

    On a line from one model (0) to another (1) both are points of the axis, with even steps between them; other axes
    cover the interval by round steps.

    >>> known_axis(3, 0.0, 1.0, is_line=True, margin=0.0).tolist()
    [0.0, 0.5, 1.0]

    Args:
        points: count, at least 3; on a line between two models, of those from 0 to 1.
        low: the lowest known coordinate, at most 0.
        high: the highest, at least 0.
        is_line: points have one coordinate.
        margin: length of the axis beyond the interval on each side, as a share of high − low.
    """
    if is_line and (low, high) == (0.0, 1.0):
        return between_axis(points, margin)
    return covering_axis(points, low, high, margin=margin)


def covering_axis(points: int, low: float, high: float, *, margin: float = 0.0) -> Floats:
    """Return `points` evenly spaced coordinates, exact 0 among them, that cover [low, high] and a margin on both sides.

    >>> covering_axis(5, 0.0, 1.0, margin=0.25).tolist()
    [-0.5, 0.0, 0.5, 1.0, 1.5]

    Args:
        points: count, at least 3.
        low: the lowest known coordinate, at most 0.
        high: the highest, at least 0.
        margin: length beyond the interval on each side, as a share of high − low.

    Raises:
        LandscapeError: for fewer points, or an interval that is empty or does not contain 0.
    """
    if points < 3:
        raise LandscapeError(f"got {points} points; expected at least 3")
    size = high - low
    if not (low <= 0 <= high and 0 < size < math.inf):
        raise LandscapeError(f"got an axis from {low} to {high}; expected one around 0")
    below, above = margin * size - low, margin * size + high
    least = (below + above) / (points - 2)  # leaves room to round the ends up to whole steps
    digits = 2 - math.floor(math.log10(least))
    step = math.ceil(least * 10**digits * (1 - 1e-9)) / 10**digits  # to three digits, which hides rounding errors
    first = -math.ceil(below / step * (1 - 1e-9))
    return np.array([(first + i) * step for i in range(points)])


def region_axis(points: int, low: float, high: float, known: Floats) -> Floats:
    """Return `points` evenly spaced coordinates from `low` to `high`, equal to those in `known` if close to them.

    Others are rounded to 15 digits (0.1, not 0.10000000000000003), so that those of a finer region are equal to them.

    >>> region_axis(3, 0.1, 0.3, np.array([0.0, 0.2])).tolist()
    [0.1, 0.2, 0.3]

    Raises:
        LandscapeError: for fewer than 2 points, or ends that are not finite and ascending.
    """
    if points < 2:
        raise LandscapeError(f"got {points} points for a region; expected at least 2")
    if not (np.isfinite([low, high]).all() and low < high):
        raise LandscapeError(f"got a region from {low} to {high}; expected finite ends, the smaller one first")
    inner = [float(f"{low + (high - low) * (i / (points - 1)):.15g}") for i in range(1, points - 1)]
    even = np.array([low, *inner, high])
    nearest = known[np.abs(known[None, :] - even[:, None]).argmin(axis=1)]
    return np.where(np.abs(nearest - even) < 1e-9 * (high - low), nearest, even)


def ascending(coordinates: Floats) -> Floats:
    """Return coordinates as a float64 array.

    Raises:
        LandscapeError: if they are empty, not finite, or not strictly ascending.
    """
    values = np.asarray(coordinates, dtype=np.float64)
    if values.ndim != 1 or len(values) == 0 or not np.isfinite(values).all() or (np.diff(values) <= 0).any():
        raise LandscapeError("the coordinates of an axis are not an ascending list of finite numbers; sort them first")
    return values + 0.0  # no −0
