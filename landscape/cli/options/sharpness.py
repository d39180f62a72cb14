"""Options that say which sharpness measures are taken, and their checks."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Literal

from tyro.conf import arg

from landscape.cli.options.analysis import Names, OptionalNumbers, default, expect, expect_number

# Each has a factory in `landscape.cli.requests.measures`, which imports torch; options do not.
MEASURES = ("keskar", "sam", "asam", "max", "average", "lambda_max")


@dataclass(frozen=True)
class SharpnessOptions:
    """Measures and their neighbourhoods. Several values of an option give a measure for each; of rho, a curve."""

    measures: Names = MEASURES
    """Any of keskar, sam, asam, max (worst case), average, lambda_max."""
    study: bool = False
    """Also correlate every measure with the generalization gap over the checkpoints (Kendall's tau)."""
    match: Literal["none", "loss"] = "none"
    """With --study: loss compares runs at equal train loss, the lowest that all reach, between their snapshots."""
    rho: Annotated[OptionalNumbers, default("each measure's")] = None
    """Radii of sam, asam, max and average, as far as they are among --measures."""
    p: Annotated[OptionalNumbers, default("2; of max inf")] = None
    """Norms of sam, asam and max: 2, inf, or any number above 1 (max: 2, inf)."""
    m: Names = ("all",)
    """Examples that sam and asam take a step for: all of them together, or random subsets of a size (m-sharpness)."""
    pairs: Annotated[int, arg(metavar="N")] = 10
    """Antithetic pairs of the random perturbations of average."""
    tolerance: Annotated[float, arg(metavar="X")] = 1e-3
    """Largest relative bound on the error of lambda_max."""


def check_sharpness(options: SharpnessOptions) -> None:
    """Check the options.

    Raises:
        LandscapeError: for one that cannot be.
    """
    expect(options.match == "none" or options.study, "--match", options.match, "it together with --study")
    for name in options.measures:
        expect(name in MEASURES, "--measures", name or "''", f"some of {', '.join(MEASURES)}")
    for option, values in (("--rho", options.rho or ()), ("--tolerance", (options.tolerance,))):
        for value in values:
            expect_number(option, value, above=True)
    for p in options.p or ():
        expect(p > 1, "--p", f"{p:g}", "numbers above 1, or inf")
        expect("max" not in options.measures or p in (2, math.inf), "--p", f"{p:g}", "2 or inf, with max of --measures")
    for size in options.m:
        expect(size == "all" or (size.isdecimal() and int(size) > 0), "--m", size or "''", "numbers above 0, or all")
    expect_number("--pairs", options.pairs, least=1)
