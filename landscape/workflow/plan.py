"""The work of a command without doing it: tasks, estimated time, and bytes that travel."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from typing import Any

from landscape.analysis.objective.objective import Objective
from landscape.analysis.objective.packing import pack_objective
from landscape.execution import Workers
from landscape.workflow.measurement import Run
from landscape.workflow.reporter import Reporter


class PlannedOnly(BaseException):  # no error: ends a command that was asked for its plan
    """A plan was reported instead of measuring."""


def report_plan(runs: Sequence[Run[Any]], workers: Workers, reporter: Reporter) -> None:
    """Report for each unfinished run the number of tasks, the estimated time, and the bytes sent to the workers.

    Raises:
        PlannedOnly: always.
    """
    for run in runs:
        if run.finished:
            continue
        steps = run.measurement.total_steps(run.objective, run.stored)
        parts = [run.measurement.cost(run.objective, run.stored)]
        if steps is not None:
            parts.append(f"{steps:,} tasks")
        if not workers.is_inline:
            size = travelling_bytes(run.objective)
            parts.append(f"{workers.count} workers, {size / 1e6:,.1f} MB to each {workers.destination}")
        reporter.say(f"{run.key}: {'; '.join(filter(None, parts))}")
    raise PlannedOnly


def travelling_bytes(objective: Objective) -> int:
    """Return the size of a pickled objective: model and data.

    Raises:
        LandscapeError: if it holds objects that cannot be pickled.
    """
    counter = _Counter()
    pickle.Pickler(counter).dump(pack_objective(objective))
    return counter.bytes


class _Counter:
    """A file that only counts what is written."""

    def __init__(self) -> None:
        self.bytes = 0

    def write(self, data: Any) -> int:
        size = memoryview(data).nbytes
        self.bytes += size
        return size
