"""Options that say which plane, line or way through weight space is sampled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from landscape.cli.options.analysis import (
    Numbers,
    OptionalCounts,
    OptionalNames,
    OptionalNumber,
    default,
    expect,
    expect_number,
)
from landscape.errors import LandscapeError


@dataclass(frozen=True)
class PlaneOptions:
    """Directions of the plane or line."""

    line: bool = False
    """One random direction instead of two."""
    between: bool = False
    """The straight line from the first checkpoint (at 0) to the second (at 1)."""
    through: bool = False
    """The plane through three checkpoints, the first at the origin; distances on it are those in weight space."""
    pca: bool = False
    """The plane of the two principal components of the run that led to each checkpoint, with the run drawn on it."""
    snapshots: Annotated[str | None, default("<checkpoint>-snapshots beside it", "DIR|A,B,...")] = None
    """With --pca: the folder of the run's snapshots, or weight files in order."""
    along: Annotated[OptionalNames, default("random directions")] = None
    """One direction for a line, two for a plane: random, gradient, sam or sam:RHO (its perturbation), top1, top2, ...,
    bottom1 (Hessian eigenvectors), FILE.npz, FILE.safetensors or FILE:NAME (your own)."""
    beyond: Annotated[OptionalNumber, default("0 with --between, else 0.25")] = None
    """With --between, --through and --pca: how far to go past the known points, as a share of their extent."""
    normalization: Literal["filter", "layer", "weight", "none"] = "filter"
    """How random directions are scaled to the weights."""
    orthogonal: bool = False
    """Make the second direction orthogonal to the first."""
    seeds: Annotated[OptionalCounts, default("that of --seed")] = None
    """Seeds of the random directions, a result each: 0,1,2,3,4 with --line gives bands and a basin width."""
    rises: Numbers = (0.1, 1.0)
    """With --line: rises of the loss over the centre at which the basin's width is told."""


def check_planes(options: PlaneOptions, checkpoints: int) -> None:
    """Check that the options do not contradict each other, and fit the number of checkpoints.

    Raises:
        LandscapeError: where they do not.
    """
    chosen = [
        flag
        for flag, given in (
            ("--line", options.line),
            ("--between", options.between),
            ("--through", options.through),
            ("--pca", options.pca),
            ("--along", options.along is not None),
        )
        if given
    ]
    if len(chosen) > 1:
        raise LandscapeError(f"{chosen[0]} and {chosen[1]} contradict each other: each says which directions; give one")
    if options.between and checkpoints != 2:
        raise LandscapeError(f"--between takes two checkpoints, the line's two ends; got {checkpoints}")
    if options.through and checkpoints != 3:
        raise LandscapeError(f"--through takes three checkpoints, the first at the origin; got {checkpoints}")
    if options.snapshots is not None and not options.pca:
        raise LandscapeError("--snapshots is for --pca, the plane of a training run")
    if options.snapshots is not None and checkpoints != 1:
        raise LandscapeError(f"--snapshots are of one run; got {checkpoints} checkpoints")
    if options.beyond is not None:
        if not (options.between or options.through or options.pca):
            raise LandscapeError(
                "--beyond is for --between, --through and --pca; a random direction's length is its --span"
            )
        expect_number("--beyond", options.beyond)
        expect(options.beyond <= 100, "--beyond", options.beyond, "at most 100 times the extent")
    _check_along(options)
    for rise in options.rises:
        expect_number("--rises", rise, above=True)


def sampled_line(options: PlaneOptions) -> bool:
    """Return True if what is sampled has one direction, as far as the options tell."""
    return options.line or options.between or (options.along is not None and len(options.along) == 1)


def known_points(options: PlaneOptions) -> str | None:
    """Return the option that says which known points the axes cover; None where the span says what they cover."""
    flags = {"--between": options.between, "--through": options.through, "--pca": options.pca}
    return next((flag for flag, given in flags.items() if given), None)


def _check_along(options: PlaneOptions) -> None:
    words = options.along
    if words is not None:
        expect(
            len(words) in (1, 2) and all(words), "--along", ",".join(words), "one direction, or two: gradient,random"
        )
    if options.seeds is not None:
        random = words is None or "random" in words
        if options.between or options.through or options.pca or not random:
            raise LandscapeError("--seeds are of random directions, and there are none here; leave them out")
        fits = len(set(options.seeds)) == len(options.seeds) and all(0 <= seed < 2**63 for seed in options.seeds)
        expect(fits, "--seeds", ",".join(map(str, options.seeds)), "whole numbers of at least 0, each once")
