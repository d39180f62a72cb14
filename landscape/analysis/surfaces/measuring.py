"""From points of a plane to rows of a table: one pass over the examples for each, and nothing else that costs."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeAlias

import torch
from numpy.typing import NDArray
from torch import Tensor

from landscape.analysis.objective.batch_size import choose_batch_size
from landscape.analysis.objective.objective import Objective, Precision
from landscape.analysis.objective.precision_policy import PrecisionChoice, choose_precision
from landscape.analysis.operators.gradient_norm import gradient_norm
from landscape.analysis.planes import Plane
from landscape.analysis.surfaces.levels import Levels
from landscape.execution.transfer import start_transfer
from landscape.results import points_table
from landscape.stats.mean import Mean, mean_of_sums

Points: TypeAlias = NDArray[Any]  # of dtype landscape.results.POINT

GRADIENT_NORM = "gradient_norm"
IN_FLIGHT = 4  # points queued on a GPU before the first result is waited for


@dataclass(frozen=True)
class EvaluationSettings:
    """Settings that must be equal for two runs to give the same bits; a resumed run takes those of the first."""

    precision: Precision
    precision_error: float | None  # largest relative error of the loss at the probe points; None if not measured
    batch_size: int
    images_per_second: float | None = None  # as measured, for an estimate
    threads: int | None = None  # of each worker, if there are several; None: this process's, divided among them


class Request(NamedTuple):
    """One point to be measured at one fidelity level."""

    level: int  # 0 and 1: on all the examples; higher: on a subset
    alpha: float
    beta: float


class Pending(NamedTuple):
    """A pass that has been launched."""

    request: Request
    sums: Callable[[], Mapping[str, Tensor]]  # waits for them: by split, on the CPU
    norms: Mapping[str, Mean]  # of the gradient, by split; empty where not asked for


@dataclass(frozen=True)
class Measurer:
    """Measures points of a plane: every metric on every split."""

    objective: Objective
    plane: Plane
    splits: tuple[str, ...]
    settings: EvaluationSettings
    gradient_norm: bool = False
    levels: Levels | None = None  # the subsets of levels above 1

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of what is measured, in the order of the table."""
        own = self.objective.metrics
        return (*own, GRADIENT_NORM) if self.gradient_norm else own

    @property
    def in_flight(self) -> int:
        """Number of passes to launch before the first is waited for."""
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
        """Start the pass of a point; on a GPU this does not wait for it."""
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
        """Return the table's rows of a pass, having waited for it."""
        level, alpha, beta = done.request
        rows = []
        found = done.sums()
        for number, split in enumerate(self.splits):
            sums = found[split].double()
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
    """Return the gradient's norm, where it is asked for; it is of the level measured, not of the by-product below."""
    if split not in done.norms:
        return []
    return [Mean(float("nan"), float("nan"), n) if below else done.norms[split]]


def choose_settings(
    objective: Objective,
    planes: Iterable[Plane],
    corners: Iterable[tuple[float, float]],
    *,
    precision: Precision | Literal["auto"] = "auto",
    precision_tolerance: float = 0.01,
    batch_size: int | None = None,
    splits: tuple[str, ...] | None = None,
    known: Precision | None = None,
) -> EvaluationSettings:
    """Choose the precision and the batch size by measurement if they are "auto" and None.

    `known` is the precision of comparable results, which "auto" adopts if it is accurate enough.
    """
    choice = PrecisionChoice(precision, None) if precision != "auto" else PrecisionChoice("float32", None)
    if precision == "auto":
        corners = list(corners)
        points = [(plane.at(a, b), plane.buffers_at(a, b)) for plane in planes for a, b in corners]
        chosen = splits or objective.splits
        choice = choose_precision(objective, points, tolerance=precision_tolerance, splits=chosen, known=known)
    size, rate = (batch_size, None) if batch_size else choose_batch_size(objective, choice.precision)
    return EvaluationSettings(choice.precision, choice.error, size, rate)
