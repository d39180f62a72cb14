"""Comparison of training runs at equal loss: the lowest loss that all reach, and where each passes it last."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from landscape.errors import LandscapeError
from landscape.results import Floats, MeasureResult, SharpnessResult
from landscape.stats import number_format


@dataclass(frozen=True)
class Crossing:
    """Position of a level on a polygon through the losses of snapshots: between `index` and `index + 1`."""

    index: int
    fraction: float  # 0 at `index`, 1 at `index + 1`

    def interpolate(self, first: float, second: float) -> float:
        """Return the value here of a quantity with these values at `index` and `index + 1`, linear in the loss.

        >>> Crossing(3, 0.25).interpolate(1.0, 2.0)
        1.25
        """
        if self.fraction in (0.0, 1.0):  # exact, and independent of the other end
            return second if self.fraction else first
        return (1 - self.fraction) * first + self.fraction * second


def lowest_common_loss(runs: Mapping[str, Sequence[float]]) -> float:
    """Return the lowest loss that every run reaches after its first snapshot.

    >>> lowest_common_loss({"a": [2.0, 1.0, 0.5], "b": [2.0, 0.8, 0.9]})
    0.8

    Args:
        runs: losses of each run's snapshots in order, at least two; the first are the initial weights.

    Raises:
        LandscapeError: for a run without a finite loss.
    """
    lowest: list[float] = []
    for label, losses in runs.items():
        finite = [loss for loss in losses[1:] if np.isfinite(loss)]
        if not finite:
            raise LandscapeError(f"{label} has no snapshot with a finite loss after the first; leave it out")
        lowest.append(min(finite))
    return max(lowest)


def last_crossing(losses: Sequence[float] | Floats, level: float) -> Crossing | None:
    """Return the last place where the losses pass a level, between two successive snapshots; None if they never do.

    >>> last_crossing([2.0, 1.0, 1.5, 0.5], 1.25)
    Crossing(index=2, fraction=0.25)
    """
    above = np.asarray(losses, dtype=np.float64) - level
    for index in reversed(range(len(above) - 1)):
        first, second = above[index], above[index + 1]
        if np.isfinite([first, second]).all() and first * second <= 0:
            return Crossing(index, float(first / (first - second)) if first != second else 0.0)
    return None


def paired_seeds(groups: Sequence[str], seeds: Sequence[int | None], first: str, second: str) -> list[tuple[int, int]]:
    """Return the indices of pairs of runs, one of each group, that share a seed; none for a seed that repeats.

    >>> paired_seeds(["sam", "adam", "sam", "adam"], [1, 1, 2, 2], "adam", "sam")
    [(1, 0), (3, 2)]
    """
    by_group: dict[str, dict[int, list[int]]] = {first: {}, second: {}}
    for index, (group, seed) in enumerate(zip(groups, seeds, strict=True)):
        if group in by_group and seed is not None:
            by_group[group].setdefault(seed, []).append(index)
    known, others = by_group[first], by_group[second]
    return [(a[0], others[seed][0]) for seed, a in known.items() if len(a) == len(others.get(seed, ())) == 1]


def interpolate_measures(first: SharpnessResult, second: SharpnessResult, crossing: Crossing) -> SharpnessResult:
    """Return the measures at a crossing, linear in the loss between those of the two snapshots around it.

    Standard errors and bounds are interpolated like the values, which is an upper bound of the error whatever their
    correlation.
    """
    others = {measure.label: measure for measure in second.measures}
    pairs = [(measure, others[measure.label]) for measure in first.measures if measure.label in others]
    attributes = {name: value for name, value in first.attributes.items() if name != "origin"}
    return SharpnessResult(tuple(_interpolated(a, b, crossing) for a, b in pairs), attributes)


def _interpolated(first: MeasureResult, second: MeasureResult, crossing: Crossing) -> MeasureResult:
    diagnostics = {
        name: crossing.interpolate(first.diagnostics[name], second.diagnostics[name])
        for name in ("bound", "rounding")
        if name in first.diagnostics and name in second.diagnostics
    }
    converged = [measure.diagnostics.get("converged") for measure in (first, second)]
    if False in converged:
        diagnostics["converged"] = False
    return replace(
        first,
        value=crossing.interpolate(first.value, second.value),
        stderr=crossing.interpolate(first.stderr, second.stderr),
        meaning=f"linear in the loss between two snapshots, {number_format.number(crossing.fraction)} of the way",
        evaluations=first.evaluations + second.evaluations,
        diagnostics=diagnostics,
    )
