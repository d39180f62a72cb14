"""Axes of a grid: number of points, interval, spacing, and the settings that identify them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from landscape.analysis.planes import Extent, Plane
from landscape.analysis.planes.axes import MARGIN, Spacing, ascending, axis, known_axis, region_axis
from landscape.results import Floats


@dataclass(frozen=True)
class Axes:
    """Coordinates of a grid's points.

    >>> x, y = Axes(3, span=2.0).coordinates(is_line=False, extent=None, margin=0.0)
    >>> x.tolist()
    [-2.0, 0.0, 2.0]

    Args:
        points: (x, y) counts, odd, so that the centre is a point; one number for both.
        span: axes around one checkpoint run from −span to span.
        spacing: "linear", or "log": 0 and, on both sides, equal ratios from span/1000 to span.
        margin: length of axes beyond known points, as a share of their extent; the plane's default if None.
        alpha: coordinates along the first direction, ascending, in place of points and span.
        beta: the same along the second.
        region: (x0, x1) or (x0, x1, y0, y1); adds `points` of this region to a finished result.
    """

    points: int | tuple[int, int] = 51
    span: float = 1.0
    spacing: Spacing = "linear"
    margin: float | None = None
    alpha: tuple[float, ...] | None = None
    beta: tuple[float, ...] | None = None
    region: tuple[float, ...] | None = None

    @property
    def counts(self) -> tuple[int, int]:
        """Number of points along each direction."""
        return (self.points, self.points) if isinstance(self.points, int) else self.points

    def on(self, plane: Plane) -> tuple[Floats, Floats | None]:
        """Return the coordinates on a plane, with its default margin: none on lines.

        Raises:
            LandscapeError: for unusable axes.
        """
        margin = 0.0 if plane.is_line else MARGIN
        return self.coordinates(is_line=plane.is_line, extent=plane.extent, margin=margin)

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
                return axis(self.counts[direction], self.span, spacing=self.spacing)
            return known_axis(self.counts[direction], *extent[direction], is_line=is_line, margin=margin)

        x = default(0) if self.alpha is None else ascending(np.array(self.alpha))
        if is_line:
            return x, None
        return x, default(1) if self.beta is None else ascending(np.array(self.beta))

    def region_coordinates(self, alpha: Floats, beta: Floats | None) -> tuple[Floats, Floats | None]:
        """Return the coordinates of the region; those close to coordinates of the axes are equal to them."""
        assert self.region is not None
        x = region_axis(self.counts[0], self.region[0], self.region[1], alpha)
        return x, None if beta is None else region_axis(self.counts[1], self.region[2], self.region[3], beta)

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
