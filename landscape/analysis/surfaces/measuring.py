"""Evaluation of all metrics at points of a plane, one pass over the examples each, into rows of a table."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from landscape.analysis.objective.objective import Objective
from landscape.analysis.operators.gradient_norm import gradient_norm
from landscape.analysis.planes import Plane
from landscape.analysis.surfaces.evaluation import EvaluationSettings
from landscape.analysis.surfaces.grids.grid import Points, Request
from landscape.analysis.surfaces.levels import Levels
from landscape.execution.transfer import start_transfer
from landscape.results import points_table
from landscape.stats.mean import Mean, mean_of_sums

GRADIENT_NORM = "gradient_norm"
IN_FLIGHT = 4  # points queued on a GPU before the first result is read


class Pending(NamedTuple):
    """A launched pass, perhaps still running on a GPU."""

    request: Request
    sums: Callable[[], Mapping[str, Tensor]]  # waits for them: by split, on the CPU
    norms: Mapping[str, Mean]  # gradient norms, by split; empty if not requested


@dataclass(frozen=True)
class Measurer:
    """Evaluates every metric on every split at points of a plane.

    Attributes:
        objective: loss, metrics and data.
        plane: line, plane or curve of the points.
        splits: splits to evaluate.
        settings: precision and batch size.
        gradient_norm: evaluate the norm of the loss's gradient, too.
        levels: subsets of the examples, for levels above 1.
    """

    objective: Objective
    plane: Plane
    splits: tuple[str, ...]
    settings: EvaluationSettings
    gradient_norm: bool = False
    levels: Levels | None = None

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of the metrics, in the order of the table."""
        metrics = self.objective.metrics
        return (*metrics, GRADIENT_NORM) if self.gradient_norm else metrics

    @property
    def in_flight(self) -> int:
        """Number of passes to launch before the first result is read."""
        return IN_FLIGHT if self.objective.device.type == "cuda" else 0

    def __call__(self, requests: Iterable[Request]) -> Iterator[Points]:
        """Yield each request's rows in order."""
        pending: deque[Pending] = deque()
        for request in requests:
            pending.append(self.launch(request))
            if len(pending) > self.in_flight:
                yield self.rows(pending.popleft())
        while pending:
            yield self.rows(pending.popleft())

    def launch(self, request: Request) -> Pending:
        """Launch the pass of a point; on a GPU without synchronizing."""
        level, alpha, beta = request
        objective, settings = self.objective, self.settings
        with torch.no_grad():
            weights, buffers = self.plane.at(alpha, beta), self.plane.buffers_at(alpha, beta)
            if level > 1:
                assert self.levels is not None
                objective = self.levels.objective(level - 1)
                sums = self.levels.sums(level - 1, weights, buffers, settings.precision, settings.batch_size)
            else:
                table = objective.sums(
                    weights,
                    buffers=buffers,
                    splits=self.splits,
                    precision=settings.precision,
                    batch_size=settings.batch_size,
                )
                sums = dict(zip(self.splits, table, strict=True))
            transfer = start_transfer(sums, objective.device)
        norms = {}
        if self.gradient_norm:
            norms = {split: gradient_norm(objective, weights, buffers=buffers, split=split) for split in self.splits}
        return Pending(request, transfer, norms)

    def rows(self, done: Pending) -> Points:
        """Return the rows of a pass once it is finished."""
        level, alpha, beta = done.request
        rows = []
        sums_by_split = done.sums()
        for number, split in enumerate(self.splits):
            sums = sums_by_split[split].double()
            if level > 1:
                assert self.levels is not None
                tables = self.levels.estimates(level - 1, split, sums)
            else:
                tables = [[mean_of_sums(*row) for row in sums.tolist()]]
            for below, means in enumerate(tables):
                for metric, mean in enumerate([*means, *_norm(done, split, below, means[0].n)]):
                    rows.append((alpha, beta, number, metric, mean.value, mean.stderr, mean.n, level + below))
        return points_table(rows)


def _norm(done: Pending, split: str, below: int, n: int) -> list[Mean]:
    """Return the gradient norm, if requested; NaN for the half subset, on which it is not computed."""
    if split not in done.norms:
        return []
    return [Mean(float("nan"), float("nan"), n) if below else done.norms[split]]
