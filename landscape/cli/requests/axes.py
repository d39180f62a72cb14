"""From the options of a grid to its axes."""

from __future__ import annotations

from landscape.analysis.surfaces.grids.axes import Axes
from landscape.cli.options.analysis import grid_size
from landscape.cli.options.grid import GridOptions


def axes_of(options: GridOptions, *, beyond: float | None) -> Axes:
    """Return the coordinates that the options ask for.

    Args:
        options: which points.
        beyond: length of axes beyond known points, as a share of their extent; the plane's default if None.

    Raises:
        LandscapeError: for an impossible number of points.
    """
    return Axes(
        points=grid_size(options.points),
        span=1.0 if options.span is None else options.span,
        margin=beyond,
        region=getattr(options, "region", None),
    )
