"""From the options of `landscape sharpness` to measures."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

from landscape.analysis.sharpness import (
    AsamSharpness,
    AverageSharpness,
    KeskarSharpness,
    LargestEigenvalue,
    SamSharpness,
    SharpnessMeasure,
    WorstCaseSharpness,
)
from landscape.cli.options.sharpness import SharpnessOptions
from landscape.errors import LandscapeError

EPSILONS = (1e-3, 5e-4)  # Keskar et al. 2017
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
    return tuple(dict.fromkeys(measure for name in options.measures for measure in FACTORIES[name](options)))


def _keskar(options: SharpnessOptions) -> Iterator[SharpnessMeasure]:
    for epsilon in EPSILONS:
        yield KeskarSharpness(epsilon)


def _sam(options: SharpnessOptions) -> Iterator[SharpnessMeasure]:
    for rho, p, m in _ascents("sam", options):
        yield SamSharpness(rho, p, m)


def _asam(options: SharpnessOptions) -> Iterator[SharpnessMeasure]:
    for rho, p, m in _ascents("asam", options):
        yield AsamSharpness(rho, p, m)


def _worst_case(options: SharpnessOptions) -> Iterator[SharpnessMeasure]:
    for p in options.p or (math.inf,):
        for rho in _radii("max", p, options):
            yield WorstCaseSharpness(rho, p)


def _average(options: SharpnessOptions) -> Iterator[SharpnessMeasure]:
    for rho in options.rho or (0.1,):
        yield AverageSharpness(rho, pairs=options.pairs)


def _lambda_max(options: SharpnessOptions) -> Iterator[SharpnessMeasure]:
    yield LargestEigenvalue(options.tolerance)


FACTORIES: dict[str, Callable[[SharpnessOptions], Iterator[SharpnessMeasure]]] = {  # by the names in `MEASURES`
    "keskar": _keskar,
    "sam": _sam,
    "asam": _asam,
    "max": _worst_case,
    "average": _average,
    "lambda_max": _lambda_max,
}


def _ascents(name: str, options: SharpnessOptions) -> Iterator[tuple[float, float, int | None]]:
    """Yield radius, norm and number of examples of each step of ascent."""
    for p in options.p or (2.0,):
        for m in (None if size == "all" else int(size) for size in options.m):
            for rho in _radii(name, p, options):
                yield rho, p, m


def _radii(name: str, p: float, options: SharpnessOptions) -> Sequence[float]:
    """Return the radii given, or the usual one for the norm."""
    if options.rho is not None:
        return options.rho
    if p not in RADII[name]:
        raise LandscapeError(f"got --p {p:g} without --rho; expected radii for it, since there are no usual ones")
    return [RADII[name][p]]
