"""Axes of a grid: how many points, over which interval, and what identifies them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from landscape.analysis.planes import Extent
from landscape.analysis.planes.axes import Spacing, ascending, axis, known_axis, region_axis
from landscape.results import Floats


@dataclass(frozen=True)
class Axes:
    """Coordinates of a grid's points.

    Args:
        points: (x, y) counts, odd, so that the centre is a point.
        span: axes around one checkpoint run from −span to span.
        spacing: "linear", or "log": 0 and, on both sides, equal ratios from span/1000 to span.
        margin: length of axes beyond known points, as a share of their extent; the plane's default if None.
        alpha: coordinates along the first direction, ascending, in place of points and span.
        beta: the same along the second.
        region: (x0, x1) or (x0, x1, y0, y1); adds `points` of this region to a finished result.
    """

    points: tuple[int, int] = (51, 51)
    span: float = 1.0
    spacing: Spacing = "linear"
    margin: float | None = None
    alpha: tuple[float, ...] | None = None
    beta: tuple[float, ...] | None = None
    region: tuple[float, ...] | None = None

    def coordinates(self, *, is_line: bool, extent: Extent | None, margin: float) -> tuple[Floats, Floats | None]:
        """Return the coordinates along both directions, (X,) and (Y,); None for the second of a line.

        Args:
            is_line: points have one coordinate.
            extent: interval of known points along each direction, if axes are to cover them.
            margin: the plane's default margin.

        Raises:
            LandscapeError: for unusable axes.
        """
        margin = margin if self.margin is None else self.margin

        def default(direction: int) -> Floats:
            if extent is None:
                return axis(self.points[direction], self.span, spacing=self.spacing)
            return known_axis(self.points[direction], *extent[direction], is_line=is_line, margin=margin)

        x = default(0) if self.alpha is None else ascending(np.array(self.alpha))
        if is_line:
            return x, None
        return x, default(1) if self.beta is None else ascending(np.array(self.beta))

    def region_coordinates(self, alpha: Floats, beta: Floats | None) -> tuple[Floats, Floats | None]:
        """Return the coordinates of the region; those that the axes share are theirs to the bit."""
        assert self.region is not None
        x = region_axis(self.points[0], self.region[0], self.region[1], alpha)
        return x, None if beta is None else region_axis(self.points[1], self.region[2], self.region[3], beta)

    def identity(self, alpha: Floats, beta: Floats | None) -> dict[str, Any]:
        """Return the settings that identify the axes of a result."""
        return {
            "alpha": self._axis_identity(alpha, self.alpha),
            "beta": None if beta is None else self._axis_identity(beta, self.beta),
        }

    def _axis_identity(self, coordinates: Floats, given: tuple[float, ...] | None) -> list[Any]:
        if given is not None:
            return ["given", *coordinates.tolist()]
        ends = [len(coordinates), coordinates[0], coordinates[-1]]
        return ends if self.spacing == "linear" else [*ends, self.spacing]
