"""Sharpness measures of the checkpoints of one command, computed by workers in the order in which they are needed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack

from landscape.analysis.sharpness.measure import curves
from landscape.analysis.sharpness.protocol import SharpnessMeasure
from landscape.analysis.sharpness.task import MeasureCurve, MeasuredCurve, SharpnessTask
from landscape.execution import Workers, use
from landscape.results import MeasureResult


class SharedMeasures:
    """Measures of several objectives; workers are a few of them ahead of the one that is being stored.

    Args:
        task: the objectives.
        missing: measures of each objective with the labels of those that are known.
        workers: processes that share them.
    """

    def __init__(
        self,
        task: SharpnessTask,
        missing: Sequence[tuple[Sequence[SharpnessMeasure], frozenset[str]]],
        workers: int | Workers,
    ) -> None:
        self.threads = task.threads
        self._requests = [
            MeasureCurve(number, tuple(curve), known)
            for number, (measures, known) in enumerate(missing)
            for curve in curves(measures)
            if any(measure.label not in known for measure in curve)
        ]
        self._left = [sum(request.objective == number for request in self._requests) for number in range(len(missing))]
        self._early: list[list[MeasuredCurve]] = [[] for _ in missing]
        self._answers = self._map(task, workers)

    def _map(self, task: SharpnessTask, workers: int | Workers) -> Iterator[MeasuredCurve]:
        with ExitStack() as stack:
            yield from stack.enter_context(use(workers)).map(task, self._requests)

    def of(self, number: int, failures: dict[str, str]) -> Iterator[MeasureResult]:
        """Yield the results of one objective as they come; `failures` receives the reasons of missing ones."""
        early = self._early[number]
        while self._left[number]:
            answer = early.pop(0) if early else next(self._answers)
            if answer.objective != number:
                self._early[answer.objective].append(answer)
                continue
            self._left[number] -= 1
            failures.update(answer.failures)
            yield from answer.results
