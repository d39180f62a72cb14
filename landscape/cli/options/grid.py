"""Options that say which points of a plane are measured, and the coordinates they mean."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from tyro.conf import arg

from landscape.cli.options.analysis import OptionalNumber, OptionalNumbers, default, expect, grid_size
from landscape.errors import LandscapeError


@dataclass(frozen=True)
class GridOptions:
    """Points of the plane or line."""

    points: Annotated[str, arg(metavar="N|NxM")] = "51"
    """Points along each axis, odd, so that the centre is one: 51, or 51x31 (x by y). Points that a finished result of
    the same settings has already are taken from it: 11, then 51."""
    span: Annotated[OptionalNumber, default("1")] = None
    """The axes run from -span to span; a step of 1 moves each filter by its own norm. With --between, --through and
    --pca they cover the known points instead, and --beyond says how much more."""
    axis: Literal["linear", "log"] = "linear"
    """Spacing of the points that --span says; log: 0, and equal ratios from span/1000 to span on both sides of it."""
    alpha: Annotated[OptionalNumbers, default("--points and --span")] = None
    """Coordinates along the first direction, ascending; write --alpha=-1,0,1 where the first is negative."""
    beta: Annotated[OptionalNumbers, default("--points and --span")] = None
    """The same along the second."""
    region: Annotated[OptionalNumbers, default("the whole plane")] = None
    """Add points to a finished result: X0,X1,Y0,Y1 (X0,X1 for a line), with --points in it; --region=-0.2,0.2,0,0.1."""


def check_grid(options: GridOptions, *, is_line: bool, known: str | None = None) -> None:
    """Check that the options do not contradict each other.

    Args:
        options: which points.
        is_line: whether they have one coordinate.
        known: the option that says which known points the axes cover, if one does.

    Raises:
        LandscapeError: where they do.
    """
    grid_size(options.points)
    if is_line and "x" in options.points.lower():
        raise LandscapeError(f"got --points {options.points} for a line; expected one number")
    if is_line and options.beta is not None:
        raise LandscapeError("--beta are coordinates along a second direction, and a line has one; leave it out")
    spread = "--span" if options.span is not None else "--axis log" if options.axis == "log" else None
    if known is not None and spread is not None:
        raise LandscapeError(
            f"{spread} is of axes around one checkpoint; those of {known} cover the known points: leave it out, and "
            "say with --beyond how far to go past them, or with --alpha and --beta any coordinates"
        )
    if options.region is None:
        return
    ends = "X0,X1" if is_line else "X0,X1,Y0,Y1"
    expect(len(options.region) == (2 if is_line else 4), "--region", ",".join(map(str, options.region)), ends)
    if options.alpha is not None or options.beta is not None:
        raise LandscapeError("--region has --points of its own; leave out --alpha and --beta, which say the axes")
