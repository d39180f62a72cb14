"""From the options of `landscape sharpness` to measures."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import cast

from landscape.analysis.sharpness import (
    AsamSharpness,
    AverageSharpness,
    KeskarSharpness,
    LargestEigenvalue,
    SamSharpness,
    SharpnessMeasure,
    WorstCaseSharpness,
)
from landscape.analysis.sharpness.logits import Logits
from landscape.cli.options.sharpness import SharpnessOptions
from landscape.errors import LandscapeError

RADII = {  # where none are given, by norm
    "sam": {2.0: 0.05, math.inf: 0.0005},
    "asam": {2.0: 0.5, math.inf: 0.002},
    "max": {2.0: 0.5, math.inf: 0.002},
}


def chosen_measures(options: SharpnessOptions) -> tuple[SharpnessMeasure, ...]:
    """Return the measures that the options ask for, each once.

    Raises:
        LandscapeError: for a norm that has no default radius.
    """
    return tuple(dict.fromkeys(measure for name in options.measures for measure in _of_kind(name, options)))


def _of_kind(name: str, options: SharpnessOptions) -> Iterator[SharpnessMeasure]:
    if name == "keskar":
        for epsilon in options.epsilons:
            yield KeskarSharpness(epsilon, restarts=options.restarts)
    elif name in ("sam", "asam"):
        for p in options.p:
            for m in (None if size == "all" else int(size) for size in options.m):
                for rho in _radii(name, p, options.rho if name == "sam" else options.asam_rho):
                    if name == "sam":
                        yield SamSharpness(rho, p, m)
                    else:
                        yield AsamSharpness(rho, p, m)
    elif name == "lambda_max":
        yield LargestEigenvalue(options.tolerance)
    else:
        for scale in options.scales:
            for logits in cast(tuple[Logits, ...], options.logits):
                yield from _around(name, options, adaptive=scale == "adaptive", logits=logits)


def _around(name: str, options: SharpnessOptions, *, adaptive: bool, logits: Logits) -> Iterator[SharpnessMeasure]:
    """Yield the worst or the average cases of one scale and kind of logits."""
    if name == "average":
        for rho in options.average_rho:
            yield AverageSharpness(rho, adaptive, options.pairs, logits)
        return
    for p in options.max_p:
        for rho in _radii("max", p, options.max_rho):
            yield WorstCaseSharpness(rho, p, adaptive, options.max_m, options.max_examples, logits=logits)


def _radii(name: str, p: float, given: Sequence[float] | None) -> Sequence[float]:
    """Return the radii given, or the usual one for the norm."""
    if given is not None:
        return given
    if p not in RADII[name]:
        option = "--rho" if name == "sam" else f"--{name}-rho"
        raise LandscapeError(f"got --p {p:g} without {option}; expected radii for it, since there are no usual ones")
    return [RADII[name][p]]
