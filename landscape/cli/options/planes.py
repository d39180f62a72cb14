"""Options that say which plane or line through weight space is sampled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from tyro.conf import arg

from landscape.cli.options.analysis import (
    Names,
    OptionalCounts,
    OptionalNumber,
    default,
    expect,
    expect_number,
)
from landscape.errors import LandscapeError

KNOWN = {"between": 2, "through": 3, "pca": None}  # planes of known points → checkpoints they take; None for any number
KINDS = ("line", "plane", *KNOWN)

PLANE = (
    "plane: two random directions. line: one. between: the line from the first checkpoint (at 0) to the second "
    "(at 1). through: the plane of three checkpoints, the first at the origin. pca: the two principal components "
    "of the training run, from the snapshots beside the checkpoint or pca:DIR. Or one direction for a line, two "
    "for a plane: random, gradient, sam, sam:RHO (its perturbation), top1, top2, bottom1 (Hessian eigenvectors), "
    "FILE.npz, FILE.safetensors, FILE:NAME (your own)."
)


@dataclass(frozen=True)
class PlaneOptions:
    """Directions of the plane or line."""

    plane: Annotated[Names, arg(metavar="KIND|DIRECTION[,DIRECTION]", help=PLANE)] = ("plane",)
    beyond: Annotated[OptionalNumber, default("0 for between, else 0.25")] = None
    """For between, through and pca: length of the axes past the known points, as a share of their extent."""
    normalization: Literal["filter", "layer", "weight", "none"] = "filter"
    """Scale of random directions: by filter (Li et al. 2018), layer, weight, or none."""
    seeds: Annotated[OptionalCounts, default("that of --seed")] = None
    """Seeds of the random directions, a result each: 0,1,2,3,4 with --plane line gives bands and a basin width."""


def check_planes(options: PlaneOptions, checkpoints: int) -> None:
    """Check that the options do not contradict each other, and fit the number of checkpoints.

    Raises:
        LandscapeError: if they do.
    """
    kind, known = kind_of(options), known_points(options)
    if kind is None:
        text = ",".join(options.plane)
        fits = len(options.plane) in (1, 2) and all(options.plane) and not set(options.plane) & set(KINDS)
        expect(fits, "--plane", text or "''", f"{', '.join(KINDS)}, or one direction, or two: gradient,random")
    needed = None if known is None else KNOWN[known]
    if needed is not None and checkpoints != needed:
        raise LandscapeError(f"--plane {known} takes {needed} checkpoints, got {checkpoints}")
    if known == "pca" and snapshots_named(options) and checkpoints != 1:
        raise LandscapeError(f"snapshots after pca: are of one run, got {checkpoints} checkpoints")
    if options.beyond is not None:
        if known is None:
            raise LandscapeError(
                "--beyond is for --plane between, through and pca; a random direction's length is its --span"
            )
        expect_number("--beyond", options.beyond)
        expect(options.beyond <= 100, "--beyond", options.beyond, "at most 100 times the extent")
    if options.seeds is not None:
        if known is not None or not (kind or "random" in options.plane):
            raise LandscapeError("--seeds are of random directions, and there are none here; leave them out")
        fits = len(set(options.seeds)) == len(options.seeds) and all(0 <= seed < 2**63 for seed in options.seeds)
        expect(fits, "--seeds", ",".join(map(str, options.seeds)), "whole numbers of at least 0, each once")


def kind_of(options: PlaneOptions) -> str | None:
    """Return the kind of plane by name; None for named directions."""
    if options.plane[0].startswith("pca:"):
        return "pca"
    return options.plane[0] if len(options.plane) == 1 and options.plane[0] in KINDS else None


def snapshots_named(options: PlaneOptions) -> str | None:
    """Return the folder or the files after "pca:"; None for the folder beside the checkpoint."""
    return ",".join(options.plane).partition(":")[2] or None


def is_line(options: PlaneOptions) -> bool:
    """Return True if the points have one coordinate."""
    kind = kind_of(options)
    return len(options.plane) == 1 if kind is None else kind in ("line", "between")


def known_points(options: PlaneOptions) -> str | None:
    """Return the kind of plane if its axes cover known points; None if --span states what they cover."""
    kind = kind_of(options)
    return kind if kind in KNOWN else None
