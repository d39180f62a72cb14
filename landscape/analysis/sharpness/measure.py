"""Sharpness measures of an objective at its weights."""

from __future__ import annotations

import dataclasses
import json
import time
import warnings
from collections import Counter
from collections.abc import Callable, Collection, Container, Iterable, Iterator, Sequence

from landscape.analysis.objective.objective import Objective
from landscape.analysis.objective.provenance import describe
from landscape.analysis.operators.determinism import DeterminismWarning
from landscape.analysis.operators.reliability import warn_of_unreliable_derivatives
from landscape.analysis.sharpness.average_case import AverageSharpness
from landscape.analysis.sharpness.keskar import KeskarSharpness
from landscape.analysis.sharpness.largest_eigenvalue import LargestEigenvalue
from landscape.analysis.sharpness.one_step import AsamSharpness, SamSharpness
from landscape.analysis.sharpness.protocol import OnStep, RadiusMeasure, SharpnessMeasure, has_radius
from landscape.analysis.sharpness.worst_case import WorstCaseSharpness
from landscape.errors import LandscapeError
from landscape.results import MeasureResult, SharpnessResult

KESKAR_EPSILONS = (1e-3, 5e-4)


class NotMeasuredWarning(DeterminismWarning):
    """One of several measures could not be taken."""


def sharpness(
    objective: Objective,
    measures: Iterable[SharpnessMeasure] | None = None,
    *,
    seed: int = 0,
    on_step: OnStep | None = None,
    on_measure: Callable[[MeasureResult], None] | None = None,
) -> SharpnessResult:
    """Return sharpness measures of an objective at its weights, on its first split.

    Measures that differ only in their radius ρ make a curve and share evaluations. Each result has `diagnostics`, such
    as values per subset, rounding errors and starts.

    >>> import torch, landscape
    >>> objective = landscape.Objective(torch.nn.Linear(2, 1), "mse", torch.eye(2), torch.ones(2, 1), device="cpu")
    >>> result = landscape.sharpness(objective, [landscape.SamSharpness(0.01), landscape.SamSharpness(0.1)])
    >>> [measure.label for measure in result.measures]
    ['SAM sharpness, ρ = 0.01', 'SAM sharpness, ρ = 0.1']

    Args:
        objective: loss and weights.
        measures: such as `SamSharpness(rho=0.1, p=math.inf, m=128)` or an object of a user's own class with the methods
            of `SharpnessMeasure`; by default those of `usual_measures`.
        seed: of all random draws.
        on_step: called with the name of the measure after each evaluation, of all the examples or of a subset.
        on_measure: called with each result as soon as it is measured.

    Raises:
        LandscapeError: for two measures of one label, or if no measure can be taken. If one of several cannot, it is
            skipped with a `NotMeasuredWarning` and the reason in `attributes["warnings"]`.
    """
    started = time.perf_counter()
    chosen = usual_measures() if measures is None else distinct(measures)
    results = []
    failures: dict[str, str] = {}
    cautions = warn_of_unreliable_derivatives(objective, second=any(isinstance(m, LargestEigenvalue) for m in chosen))
    for result in iter_measures(objective, chosen, seed=seed, on_step=on_step, failures=failures):
        results.append(result)
        if on_measure is not None:
            on_measure(result)
    if failures and not results:
        raise LandscapeError(next(iter(failures.values())))
    lost = [f"{label} was not measured: {reason}" for label, reason in failures.items()]
    for message in lost:
        warnings.warn(message, NotMeasuredWarning, stacklevel=2)
    attributes = {
        **describe(objective),
        "seed": seed,
        **({"warnings": [*cautions, *lost]} if cautions or lost else {}),
        "seconds": time.perf_counter() - started,
    }
    return SharpnessResult(tuple(results), attributes)


def usual_measures(
    *,
    epsilons: Sequence[float] = KESKAR_EPSILONS,
    rho: float | Sequence[float] = 0.05,
    average_rho: float | Sequence[float] = 0.1,
    pairs: int = 10,
    lambda_max: bool = True,
    tolerance: float = 1e-3,
) -> list[SharpnessMeasure]:
    """Return the default measures: one of each kind, but Keskar's for each ε.

    Args:
        epsilons: box sizes of Keskar's ε-sharpness.
        rho: radius of SAM's ascent step, or several.
        average_rho: relative size of the average case's Gaussian perturbations, or several.
        pairs: antithetic pairs of these.
        lambda_max: include the largest Hessian eigenvalue.
        tolerance: of that eigenvalue's bound, relative.

    >>> [measure.name for measure in usual_measures(epsilons=[1e-3], lambda_max=False)]
    ['keskar', 'sam', 'asam', 'max', 'average']
    """
    return [
        *(KeskarSharpness(epsilon) for epsilon in epsilons),
        *(SamSharpness(radius) for radius in _several(rho)),
        AsamSharpness(),
        WorstCaseSharpness(),
        *(AverageSharpness(radius, pairs=pairs) for radius in _several(average_rho)),
        *([LargestEigenvalue(tolerance)] if lambda_max else []),
    ]


def iter_measures(
    objective: Objective,
    measures: Iterable[SharpnessMeasure],
    *,
    known: Container[str] = (),
    seed: int = 0,
    on_step: OnStep | None = None,
    failures: dict[str, str] | None = None,
) -> Iterator[MeasureResult]:
    """Yield each measure's result as soon as it is measured, curve by curve.

    The results do not depend on interruptions: a resumed curve counts its evaluations as an uninterrupted one.

    Args:
        objective: to be measured, on its first split.
        measures: to take.
        known: labels of measures to skip.
        seed: of all random draws.
        on_step: called with the name of the measure after each evaluation.
        failures: receives the reason by label of each measure that cannot be taken, which else ends the iteration.

    Raises:
        LandscapeError: if a measure cannot be taken and `failures` is None, or if it does not return its result.
    """
    for whole in curves(measures):
        curve = [measure for measure in whole if measure.label not in known]
        pending = {measure.label for measure in curve}
        started = time.perf_counter()
        try:
            for result in _results(curve, objective, seed, on_step, resumed=whole[0].label in known):
                _check_result(result, pending)
                pending.remove(result.label)
                seconds = time.perf_counter() - started
                yield dataclasses.replace(result, diagnostics={**result.diagnostics, "seconds": seconds})
                started = time.perf_counter()
        except LandscapeError as error:
            if failures is None:
                raise
            failures.update((measure.label, str(error)) for measure in curve if measure.label in pending)


def _results(
    curve: Sequence[SharpnessMeasure], objective: Objective, seed: int, on_step: OnStep | None, *, resumed: bool
) -> Iterator[MeasureResult]:
    """Yield the results of the measures of one curve."""
    with_radius = [measure for measure in curve if has_radius(measure)]
    if with_radius:
        radii = [measure.rho for measure in with_radius]
        yield from with_radius[0].curve(objective, radii, seed=seed, on_step=on_step, resumed=resumed)
        return
    for measure in curve:
        yield measure.measure(objective, seed=seed, on_step=on_step)


def _check_result(result: object, labels: Collection[str]) -> None:
    """Check what a measure, perhaps a user's own, returned.

    Raises:
        LandscapeError: if it is no result, or not that of a measure asked for.
    """
    expected = " or ".join(map(repr, sorted(labels)))
    if not isinstance(result, MeasureResult):
        raise LandscapeError(f"expected a MeasureResult from the measure {expected}, got {type(result).__name__}")
    if result.label not in labels:
        raise LandscapeError(f"expected a result with the label {expected}, got {result.label!r}")


def curves(measures: Iterable[SharpnessMeasure]) -> list[list[SharpnessMeasure]]:
    """Return the measures in groups that differ in ρ only, in order of appearance.

    >>> [len(curve) for curve in curves([SamSharpness(0.1), LargestEigenvalue(), SamSharpness(0.2)])]
    [2, 1]
    """
    groups: dict[object, list[SharpnessMeasure]] = {}
    for index, measure in enumerate(measures):
        key = _without_radius(measure) if has_radius(measure) else index
        groups.setdefault(key, []).append(measure)
    return list(groups.values())


def distinct(measures: Iterable[SharpnessMeasure]) -> list[SharpnessMeasure]:
    """Return the measures if their labels differ.

    Raises:
        LandscapeError: for two of one label.
    """
    chosen = list(measures)
    for label, count in Counter(measure.label for measure in chosen).items():
        if count > 1:
            raise LandscapeError(f"{count} measures are called {label!r}; measure them in separate calls")
    return chosen


def _several(value: float | Sequence[float]) -> Sequence[float]:
    return [value] if isinstance(value, int | float) else value


def _without_radius(measure: RadiusMeasure) -> tuple[type, str]:
    """Return the class and the parameters but ρ: equal for all measures of one curve."""
    parameters = {name: value for name, value in measure.parameters(0).items() if name != "rho"}
    return type(measure), json.dumps(parameters, sort_keys=True, default=str)
