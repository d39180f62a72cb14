"""Options that say which points of a plane are measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from tyro.conf import arg

from landscape.cli.options.analysis import OptionalNumber, OptionalNumbers, default, expect, grid_size
from landscape.errors import LandscapeError


@dataclass(frozen=True)
class GridOptions:
    """Points of the plane or line."""

    points: Annotated[str, arg(metavar="N|NxM")] = "51"
    """Points along each axis, odd: 51, or 51x31 (x by y). Those of a finished coarser grid are reused: 11, then 51."""
    span: Annotated[OptionalNumber, default("1")] = None
    """Axes run from -span to span; 1 moves each filter by its norm. Between known points see --beyond instead."""


@dataclass(frozen=True)
class RegionOptions(GridOptions):
    """Points of the plane or line, or of a part of it."""

    region: Annotated[OptionalNumbers, default("the whole plane")] = None
    """Add points to a finished result: X0,X1,Y0,Y1 (X0,X1 for a line), with --points in it; --region=-0.2,0.2,0,0.1."""


def check_grid(options: GridOptions, *, is_line: bool, known: str | None = None) -> None:
    """Check that the options do not contradict each other.

    Args:
        options: which points.
        is_line: points have one coordinate.
        known: the plane whose known points the axes cover, if it is of that kind.

    Raises:
        LandscapeError: if they do.
    """
    grid_size(options.points)
    if is_line and "x" in options.points.lower():
        raise LandscapeError(f"got --points {options.points} for a line; expected one number")
    if known is not None and options.span is not None:
        raise LandscapeError(
            f"--span is for axes around one checkpoint; those of --plane {known} cover the known points: "
            "expected --beyond, how far to go past them"
        )


def check_region(options: RegionOptions, *, is_line: bool) -> None:
    """Check the number of ends of a region.

    Raises:
        LandscapeError: for another one.
    """
    if options.region is not None:
        ends = "X0,X1" if is_line else "X0,X1,Y0,Y1"
        expect(len(options.region) == (2 if is_line else 4), "--region", ",".join(map(str, options.region)), ends)
