"""Sharpness measures of several objectives as a task that workers share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from landscape.analysis.objective.objective import Objective
from landscape.analysis.objective.packing import PackedObjective, pack_objective
from landscape.analysis.sharpness.measure import iter_measures
from landscape.analysis.sharpness.protocol import SharpnessMeasure
from landscape.results import MeasureResult


class MeasureCurve(NamedTuple):
    """A request: measures of one objective that share evaluations, and the labels of those that are known."""

    objective: int
    measures: tuple[SharpnessMeasure, ...]
    known: frozenset[str]


class MeasuredCurve(NamedTuple):
    """Results of a curve, and the reasons by label of those that cannot be measured."""

    objective: int
    results: tuple[MeasureResult, ...]
    failures: dict[str, str]


@dataclass(frozen=True, eq=False)
class SharpnessTask:
    """Curves of several objectives as requests, and their results."""

    objectives: Sequence[Objective]
    seed: int
    threads: int

    @property
    def device(self) -> str:
        """Device of the objectives."""
        return str(self.objectives[0].device)

    def __call__(self, requests: Iterable[MeasureCurve]) -> Iterator[MeasuredCurve]:
        """Yield the results of each request."""
        return (measure_curve(self.objectives[request.objective], request, self.seed) for request in requests)

    def portable(self) -> PortableMeasures:
        """Return the objectives' parts."""
        return PortableMeasures([pack_objective(objective) for objective in self.objectives], self.seed)


@dataclass
class PortableMeasures:
    """Parts of the objectives, on the CPU; a worker holds one objective at a time."""

    objectives: list[PackedObjective]
    seed: int
    _held: dict[int, Objective] = field(default_factory=dict)

    def assemble(self, device: str) -> Callable[[Iterable[MeasureCurve]], Iterator[MeasuredCurve]]:
        """Return the task's function on a device."""

        def objective(number: int) -> Objective:
            if number not in self._held:
                self._held = {number: self.objectives[number].unpack(device)}
            return self._held[number]

        return lambda requests: (measure_curve(objective(each.objective), each, self.seed) for each in requests)


def measure_curve(objective: Objective, request: MeasureCurve, seed: int) -> MeasuredCurve:
    """Return the results of one request."""
    failures: dict[str, str] = {}
    results = iter_measures(objective, request.measures, known=request.known, seed=seed, failures=failures)
    return MeasuredCurve(request.objective, tuple(results), failures)
