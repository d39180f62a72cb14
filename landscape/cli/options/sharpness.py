"""Options that say which sharpness measures are taken, and their checks."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Literal

from tyro.conf import arg

from landscape.cli.options.analysis import Names, Numbers, OptionalNumbers, default, expect, expect_number

MEASURES = ("keskar", "sam", "asam", "max", "average", "lambda_max")


@dataclass(frozen=True)
class SharpnessOptions:
    """Measures and their neighbourhoods. Several values of an option give a measure for each; of rho, a curve."""

    measures: Names = MEASURES
    """Any of keskar, sam, asam, max (worst case), average, lambda_max."""
    study: bool = False
    """Also correlate every measure with the generalization gap over the checkpoints (Kendall's tau)."""
    match: Literal["none", "loss"] = "none"
    """With --study: loss compares training runs where they pass the lowest train loss that all reach, between the
    snapshots in <checkpoint>-snapshots around it."""
    epsilons: Numbers = (1e-3, 5e-4)
    """Box sizes of Keskar's ε-sharpness."""
    restarts: Annotated[int, arg(metavar="N")] = 1
    """Random starts of Keskar's maximization, besides the vertex in the gradient's direction."""
    rho: Annotated[OptionalNumbers, default("0.05 for p = 2, 0.0005 for inf")] = None
    """Radii of SAM's ascent step."""
    asam_rho: Annotated[OptionalNumbers, default("0.5 for p = 2, 0.002 for inf")] = None
    """Radii of ASAM's ascent step, relative to the weights."""
    p: Numbers = (2.0,)
    """Norms of SAM's and ASAM's step: 2, inf, or any number above 1."""
    m: Names = ("all",)
    """Examples that SAM and ASAM take a step for: all of them together, or random subsets of a size (m-sharpness)."""
    max_rho: Annotated[OptionalNumbers, default("0.5 for p = 2, 0.002 for inf")] = None
    """Radii of the worst case."""
    max_p: Numbers = (math.inf,)
    """Norms of the worst case: 2, inf."""
    max_m: Annotated[int, arg(metavar="N")] = 128
    """Size of the random subsets whose worst case is sought."""
    max_examples: Annotated[int, arg(metavar="N")] = 1024
    """How many examples these subsets have together."""
    average_rho: Numbers = (0.1,)
    """Sizes of the average case's random perturbations."""
    pairs: Annotated[int, arg(metavar="N")] = 10
    """Antithetic pairs of such perturbations."""
    scales: Names = ("adaptive",)
    """Worst and average case: adaptive (relative to each weight), plain."""
    logits: Names = ("raw",)
    """Worst and average case: raw, normalized."""
    tolerance: Annotated[float, arg(metavar="X")] = 1e-3
    """Largest relative bound on the error of lambda_max."""


def check_sharpness(options: SharpnessOptions) -> None:
    """Check the options.

    Raises:
        LandscapeError: for one that cannot be.
    """
    expect(options.match == "none" or options.study, "--match", options.match, "it together with --study")
    for option, words, known in (
        ("--measures", options.measures, MEASURES),
        ("--scales", options.scales, ("adaptive", "plain")),
        ("--logits", options.logits, ("raw", "normalized")),
    ):
        for word in words:
            expect(word in known, option, word or "''", f"some of {', '.join(known)}")
    for option, values in (
        ("--epsilons", options.epsilons),
        ("--rho", options.rho or ()),
        ("--asam-rho", options.asam_rho or ()),
        ("--max-rho", options.max_rho or ()),
        ("--average-rho", options.average_rho),
        ("--tolerance", (options.tolerance,)),
    ):
        for value in values:
            expect_number(option, value, above=True)
    for p in options.p:
        expect(p > 1, "--p", f"{p:g}", "numbers above 1, or inf")
    for p in options.max_p:
        expect(p in (2, math.inf), "--max-p", f"{p:g}", "2 or inf")
    for size in options.m:
        expect(size == "all" or (size.isdecimal() and int(size) > 0), "--m", size or "''", "numbers above 0, or all")
    for option, number, least in (
        ("--restarts", options.restarts, 0),
        ("--pairs", options.pairs, 1),
        ("--max-m", options.max_m, 1),
        ("--max-examples", options.max_examples, options.max_m),
    ):
        expect_number(option, number, least=least)
