"""The verb: all the sharpness measures that are asked for, at an objective's weights."""

from __future__ import annotations

import dataclasses
import time
import warnings
from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from typing import Any

from landscape.analysis.objective.objective import Objective
from landscape.analysis.objective.provenance import describe
from landscape.analysis.operators.determinism import DeterminismWarning
from landscape.analysis.operators.reliability import warn_of_unreliable_derivatives
from landscape.analysis.sharpness.average_case import AverageSharpness
from landscape.analysis.sharpness.evidence import Finding, OnStep
from landscape.analysis.sharpness.keskar import KeskarSharpness
from landscape.analysis.sharpness.largest_eigenvalue import LargestEigenvalue
from landscape.analysis.sharpness.one_step import AsamSharpness, SamSharpness
from landscape.analysis.sharpness.protocol import RadiusMeasure, SharpnessMeasure, has_radius
from landscape.analysis.sharpness.worst_case import WorstCaseSharpness
from landscape.errors import LandscapeError
from landscape.results import Measure, SharpnessResult

KESKAR_EPSILONS = (1e-3, 5e-4)


class NotMeasuredWarning(DeterminismWarning):
    """A measure could not be taken; the others were."""


def sharpness(
    objective: Objective,
    measures: Iterable[SharpnessMeasure] | None = None,
    *,
    epsilons: Sequence[float] = KESKAR_EPSILONS,
    restarts: int = 1,
    rho: float | Sequence[float] = 0.05,
    average_rho: float | Sequence[float] = 0.1,
    pairs: int = 10,
    lambda_max: bool = True,
    tolerance: float = 1e-3,
    seed: int = 0,
    on_step: OnStep | None = None,
    on_measure: Callable[[Finding], None] | None = None,
) -> SharpnessResult:
    """Return sharpness measures of an objective at its weights, on its first split.

    Measures that differ only in their radius ρ make a curve, and share what they can. What was found besides each
    number (values per subset, rounding errors, starts) is in `attributes["evidence"]`, by the measure's label.

    Args:
        objective: whose loss, at whose weights.
        measures: what to measure: `SamSharpness(rho=0.1, p=math.inf, m=128)`, `WorstCaseSharpness()`, and so on; by
            default those of `usual_measures`, which the options from `epsilons` to `tolerance` are for.
        epsilons: box sizes of Keskar's ε-sharpness.
        restarts: random starts of its maximization besides the vertex.
        rho: radius of SAM's ascent step, or several.
        average_rho: relative size of the average case's Gaussian perturbations, or several.
        pairs: antithetic pairs of these.
        lambda_max: whether to compute the largest Hessian eigenvalue.
        tolerance: of that eigenvalue's bound, relative.
        seed: of all random draws.
        on_step: called with the name of the measure after each evaluation, be it of all the examples or of a subset.
        on_measure: called with each measure and its evidence as soon as it is there.

    Raises:
        LandscapeError: for two measures of one label, or where none can be taken. One of several that cannot is warned
            of, with the reason also in `attributes["warnings"]`.
    """
    started = time.perf_counter()
    if measures is not None:
        wanted = _distinct(list(measures))
    else:
        wanted = usual_measures(
            epsilons=epsilons,
            restarts=restarts,
            rho=rho,
            average_rho=average_rho,
            pairs=pairs,
            lambda_max=lambda_max,
            tolerance=tolerance,
        )
    found = []
    failures: dict[str, str] = {}
    cautions = warn_of_unreliable_derivatives(objective, second=any(isinstance(m, LargestEigenvalue) for m in wanted))
    for finding in findings(objective, wanted, seed=seed, on_step=on_step, failures=failures):
        found.append(finding)
        if on_measure is not None:
            on_measure(finding)
    if failures and not found:
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
    return gathered(found, attributes)


def usual_measures(
    *,
    epsilons: Sequence[float] = KESKAR_EPSILONS,
    restarts: int = 1,
    rho: float | Sequence[float] = 0.05,
    average_rho: float | Sequence[float] = 0.1,
    pairs: int = 10,
    lambda_max: bool = True,
    tolerance: float = 1e-3,
) -> list[SharpnessMeasure]:
    """Return the measures that are taken where none are named: one of each kind, but Keskar's for each ε."""
    return [
        *(KeskarSharpness(epsilon, restarts=restarts) for epsilon in epsilons),
        *(SamSharpness(radius) for radius in _several(rho)),
        AsamSharpness(),
        WorstCaseSharpness(),
        *(AverageSharpness(radius, pairs=pairs) for radius in _several(average_rho)),
        *([LargestEigenvalue(tolerance)] if lambda_max else []),
    ]


def findings(
    objective: Objective,
    measures: Iterable[SharpnessMeasure],
    *,
    known: Container[str] = (),
    seed: int = 0,
    on_step: OnStep | None = None,
    failures: dict[str, str] | None = None,
) -> Iterator[Finding]:
    """Yield each measure with its evidence as soon as it is there, except those whose label is `known`.

    One that cannot be taken does not lose the others: with `failures` its label and the reason are put there.

    The findings do not depend on the interruptions between them: a resumed curve counts its evaluations as a whole one.
    """
    for whole in curves(measures):
        curve = [spec for spec in whole if spec.label not in known]
        if not curve:
            continue
        first, started = curve[0], time.perf_counter()
        if has_radius(first):
            radii = [measure.rho for measure in curve if has_radius(measure)]
            resumed = whole[0].label in known
            results = first.curve(objective, radii, seed=seed, on_step=on_step, resumed=resumed)
        else:
            results = _single(first, objective, seed, on_step)
        measured = set()
        try:
            for finding in results:
                measured.add(finding.label)
                yield finding.timed(time.perf_counter() - started)
                started = time.perf_counter()
        except LandscapeError as error:
            if failures is None:
                raise
            failures.update((measure.label, str(error)) for measure in curve if measure.label not in measured)


def _single(measure: SharpnessMeasure, objective: Objective, seed: int, on_step: OnStep | None) -> Iterator[Finding]:
    yield measure.measure(objective, seed=seed, on_step=on_step)


def curves(measures: Iterable[SharpnessMeasure]) -> list[list[SharpnessMeasure]]:
    """Return the measures in groups that differ in ρ only, in order of appearance."""
    groups: dict[SharpnessMeasure, list[SharpnessMeasure]] = {}
    for spec in measures:
        if has_radius(spec):
            groups.setdefault(_without_radius(spec), []).append(spec)
        else:
            groups[spec] = [spec]
    return list(groups.values())


def gathered(found: Iterable[Finding], attributes: dict[str, Any]) -> SharpnessResult:
    """Return the measures as one result, their evidence among its attributes."""
    found = list(found)
    evidence = {finding.label: dict(finding.evidence) for finding in found}
    return SharpnessResult(tuple(finding.measure for finding in found), {**attributes, "evidence": evidence})


def with_evidence(result: SharpnessResult) -> list[Finding]:
    """Return a result's measures with their evidence, as `gathered` took them apart."""
    evidence = result.attributes.get("evidence", {})
    fields = [entry.name for entry in dataclasses.fields(Measure)]
    return [
        Finding(**{name: getattr(measure, name) for name in fields}, evidence=evidence.get(measure.label, {}))
        for measure in result.measures
    ]


def _distinct(measures: list[SharpnessMeasure]) -> list[SharpnessMeasure]:
    for label, count in Counter(spec.label for spec in measures).items():
        if count > 1:
            raise LandscapeError(f"{count} measures are called {label!r}; measure them in separate calls")
    return measures


def _several(value: float | Sequence[float]) -> Sequence[float]:
    return [value] if isinstance(value, int | float) else value


def _without_radius(measure: RadiusMeasure) -> SharpnessMeasure:
    """Return the measure at ρ = 0: equal for all measures of one curve."""
    replace: Callable[..., SharpnessMeasure] = dataclasses.replace
    return replace(measure, rho=0.0)
