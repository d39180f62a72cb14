"""Surfaces of the full data to a stated relative error, for a fraction of the evaluations.

Every point is measured on a small subset, further points on larger nested subsets and on all the examples, chosen
greedily by the reduction of variance for their cost; the corrections from level to level are interpolated as random
fields. The estimate is accepted once its error on held-out points, which are measured on all the examples and never
fitted, is within the tolerance.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landscape.analysis.surfaces.grids.grid import Grid, Points, Request
from landscape.analysis.surfaces.multilevel.allocation import Choice, PassAllocator, quantile
from landscape.analysis.surfaces.multilevel.estimator import MultilevelEstimator
from landscape.analysis.surfaces.multilevel.field import Kernel
from landscape.analysis.surfaces.multilevel.observations import Observations
from landscape.analysis.surfaces.multilevel.scheme import Scheme
from landscape.results import Floats, points_table
from landscape.seeding import random_words

COVERAGE = 0.95  # share of the points that are to be within the tolerance
HELD_OUT = 39  # ⌈0.95 · 40⌉ = 38: the second largest error bounds 95 % of the points, see `conformal`
SAFETY = 0.8  # of the tolerance; the predicted error is to be within it before the held-out points are measured
MIN_INFLATION = 1.1  # of the predicted errors after held-out points exceeded the tolerance
BATCH = 16  # passes over all the examples before the fields are updated, or half of the passes so far
CHECKS_PER_BATCH = 4  # once the held-out points are measured
RATIO_METRICS = ("loss", "gradient_norm")  # levels compared by ratios if positive; others by differences
MAX_COST = 0.7  # of the cost of an exact surface; beyond it the rest is measured exactly

Measure = Callable[[Sequence[Request]], Iterable[Points]]


@dataclass(frozen=True)
class MultilevelEstimates:
    """Rows of level 0, and a report of their errors and of the cost saved."""

    rows: Points
    report: dict[str, Any]


def estimate_within(
    tolerance: float,
    grid: Grid,
    scheme: Scheme,
    metrics: Sequence[str],
    *,
    measure: Measure,
    done: Points,
    keep: Callable[[Points], None],
    seed: int = 0,
) -> MultilevelEstimates:
    """Estimate the first metric to a relative error at 95 % of the points, and the other metrics from the same passes.

    The choice of passes depends only on values measured before, so that a run resumed from `done` makes the same ones.

    Args:
        tolerance: relative error of the first metric on each split.
        grid: points to estimate.
        scheme: levels.
        metrics: names of the metrics.
        measure: yields the rows of requests, in any order.
        done: rows of an earlier run, which are not measured again.
        keep: called with rows as they are measured.
        seed: of the choice of held-out points.
    """
    return _Estimation(tolerance, grid, scheme, metrics, measure, keep, seed, _by_pass(done)).run()


@dataclass
class _Estimation:
    tolerance: float
    grid: Grid
    scheme: Scheme
    metrics: Sequence[str]
    measure: Measure
    keep: Callable[[Points], None]
    seed: int
    earlier: dict[Request, Points]
    spent: int = 0
    held: NDArray[np.intp] = field(default_factory=lambda: np.zeros(0, dtype=np.intp))

    def __post_init__(self) -> None:
        self.splits = tuple(self.scheme.sizes)
        self.count = len(self.grid.points)
        self.exact_cost = self.count * self.scheme.costs[0]
        levels = self.scheme.base + 2
        self.observations = Observations(self.grid.points, levels, len(self.splits), len(self.metrics))
        self.fit: list[list[int]] = [[] for _ in range(self.scheme.base)]

    def run(self) -> MultilevelEstimates:
        costs = self.scheme.costs
        least = self.count * costs[-1] + (HELD_OUT + BATCH) * costs[0]
        if self.scheme.base == 0 or least > MAX_COST * self.exact_cost:
            return self._exact()
        self._observe(self.scheme.base, range(self.count))
        losses = [self._estimator(split, 0) for split in range(len(self.splits))]
        self.held = held_out(self.grid.positions, HELD_OUT, self.seed)
        inflation = np.ones(len(losses))  # ratio of the errors on held-out points to the predicted ones
        while True:
            batch = self._plan(losses, inflation)
            if self.spent + self._price(batch) > MAX_COST * self.exact_cost:
                return self._exact()
            self._execute(batch, losses)
            if batch and not self.observations.known[0, self.held].all():
                continue  # the predicted error still exceeds the tolerance
            self._observe(0, self.held)
            validations = [self._validate(estimator, split) for split, estimator in enumerate(losses)]
            bounds = np.array([conformal(errors, COVERAGE) for errors, _ in validations])
            if (bounds <= self.tolerance).all():
                return self._estimated(losses, [errors for errors, _ in validations], bounds)
            if not np.isfinite(bounds).all():
                return self._exact()
            inflation = np.maximum([ratio for _, ratio in validations], MIN_INFLATION * inflation)

    def _estimator(self, split: int, metric: int, kernel: Kernel | None = None) -> MultilevelEstimator:
        """Return the estimator of a metric; `kernel` is used if its cheapest levels determine none."""
        sizes = self.scheme.sizes[self.splits[split]]
        ratios = self.metrics[metric] in RATIO_METRICS
        positions = self.grid.positions
        return MultilevelEstimator(self.observations, split, metric, sizes, positions, ratios=ratios, kernel=kernel)

    def _plan(self, losses: Sequence[MultilevelEstimator], inflation: Floats) -> list[Choice]:
        """Return the next passes; none if the predicted errors are within the tolerance."""
        known = self.observations.known[: self.scheme.base + 1].copy()
        barred = np.zeros(self.count, dtype=bool)
        barred[self.held] = True
        known[0, self.held] = False
        trial = [(loss.scratch(), loss.factors(self.held) * w**2) for loss, w in zip(losses, inflation, strict=True)]
        allocator = PassAllocator(trial, self.scheme.costs, known, barred)
        validated = bool(self.observations.known[0, self.held].all())
        limit = max(BATCH, len(self.fit[0]) // 2) // (CHECKS_PER_BATCH if validated else 1)
        batch: list[Choice] = []
        while sum(choice.level == 0 for choice in batch) < limit:
            predicted = [quantile(deviations, COVERAGE) for deviations in allocator.deviations()]
            choice = allocator.step() if max(predicted) > SAFETY * self.tolerance else None
            if choice is None:
                break
            batch.append(choice)
        return batch

    def _price(self, batch: Sequence[Choice]) -> int:
        costs = self.scheme.costs
        return sum(sum(costs[choice.level : self.scheme.base]) for choice in batch)

    def _execute(self, batch: Sequence[Choice], losses: Sequence[MultilevelEstimator]) -> None:
        """Measure the points of a batch and condition the estimators on them."""
        for level in reversed(range(self.scheme.base)):
            self._observe(level, [choice.point for choice in batch if choice.level <= level])
        for choice in batch:
            for level in range(choice.level, self.scheme.base):
                if choice.point not in self.fit[level]:
                    self.fit[level].append(choice.point)
        for loss in losses:
            loss.learn(self.fit)

    def _observe(self, level: int, points: Iterable[Any]) -> None:
        """Measure points (indices) at a level (index) unless they are known; values of an earlier run are reused."""
        requests = self.observations.requests(level + 1, points)
        self.spent += len(requests) * self.scheme.costs[level]
        missing = []
        for request in requests:
            if request in self.earlier:
                self.observations.add(self.earlier[request])
                if level == self.scheme.base:
                    self.observations.add(self.earlier[request._replace(level=request.level + 1)])
            else:
                missing.append(request)
        for rows in self.measure(missing):
            self.observations.add(rows)
            self.keep(rows)

    def _validate(self, estimator: MultilevelEstimator, split: int) -> tuple[Floats, float]:
        """Return the relative errors on the held-out points, and their root mean square relative to the predicted."""
        estimate, deviation = estimator.estimate(self.held)
        exact = self.observations.value[0, self.held, split, 0]
        errors = relative_errors(estimate[self.held], exact)
        with np.errstate(all="ignore"):
            predicted = deviation[self.held] / np.abs(estimate[self.held])
            ratios = (errors / predicted)[predicted > 0]
        return errors, float(np.sqrt(np.square(ratios).mean())) if np.isfinite(ratios).any() else 1.0

    def _exact(self) -> MultilevelEstimates:
        """Measure every point on all the examples: no error, no saving."""
        self._observe(0, range(self.count))
        zeros = np.zeros(len(self.splits))
        rows = self._rows(self.observations.value[0], self.observations.stderr[0])
        return MultilevelEstimates(rows, self._report(0, zeros, zeros))

    def _estimated(
        self, losses: Sequence[MultilevelEstimator], errors: Sequence[Floats], bounds: Floats
    ) -> MultilevelEstimates:
        """Return the estimates of all metrics, with measured values wherever they are known."""
        value, stderr = self.observations.value[0].copy(), self.observations.stderr[0].copy()
        missing = ~self.observations.known[0]
        for split, name in enumerate(self.splits):
            for metric in range(len(self.metrics)):
                estimator = losses[split] if metric == 0 else self._estimator(split, metric, losses[split].kernel)
                estimator.learn(self.fit)
                estimate, deviation = estimator.estimate(np.zeros(0, dtype=np.intp))
                sizes = self.scheme.sizes[name]
                cheap = self.observations.stderr[self.scheme.base, :, split, metric]
                sampling = cheap * np.sqrt(sizes[self.scheme.base] / sizes[0])
                value[missing, split, metric] = estimate[missing]
                stderr[missing, split, metric] = np.hypot(sampling, deviation)[missing]
        largest = np.array([e.max() for e in errors])
        return MultilevelEstimates(self._rows(value, stderr), self._report(len(self.held), bounds, largest))

    def _rows(self, value: Floats, stderr: Floats) -> Points:
        """Return (P, S, M) values and standard errors as rows of level 0."""
        rows = []
        for point, (alpha, beta) in enumerate(self.grid.points):
            for split, name in enumerate(self.splits):
                n = self.scheme.sizes[name][0]
                for metric in range(len(self.metrics)):
                    index = (point, split, metric)
                    rows.append((alpha, beta, split, metric, value[index], stderr[index], n, 0))
        return points_table(rows)

    def _report(self, held: int, bounds: Floats, largest: Floats) -> dict[str, Any]:
        examples = self.scheme.examples
        counts = self.observations.known.sum(axis=1)
        return {
            "asked": self.tolerance,
            "measured_95": float(bounds.max()),
            "measured_worst": float(largest.max()),
            "held_out": held,
            "saving": self.exact_cost / self.spent,
            "levels": [
                {"level": k + 1, "examples": examples[k], "points": int(counts[k])} for k in range(len(examples))
            ],
            "splits": {
                split: {"measured_95": float(a), "measured_worst": float(b)}
                for split, a, b in zip(self.splits, bounds, largest, strict=True)
            },
        }


def conformal(errors: Floats, share: float) -> float:
    """Return a bound that at least this share of further points is expected to be within.

    It is the ⌈share · (n + 1)⌉-th smallest of n errors (split conformal prediction: Lei et al. 2018, arXiv:1604.04173,
    section 2.2), or inf if n is too small.

    >>> conformal(np.arange(1.0, 40.0), 0.95)
    38.0
    """
    rank = math.ceil(share * (len(errors) + 1) - 1e-9)
    return float(np.sort(errors)[rank - 1]) if rank <= len(errors) else math.inf


def relative_errors(estimate: Floats, exact: Floats) -> Floats:
    """Return |estimate − exact| / |exact|; 0 if both are equal or diverge alike, inf if only one diverges."""
    same = (estimate == exact) | (np.isnan(estimate) & np.isnan(exact))
    with np.errstate(all="ignore"):
        error = np.abs(estimate - exact) / np.abs(exact)
    return np.where(same, 0.0, np.where(np.isfinite(error), error, np.inf))


def held_out(positions: Floats, count: int, seed: int) -> NDArray[np.intp]:
    """Return random points (indices) spread over the plane: one from each of `count` equal parts of a Morton curve.

    The parts of a Morton (Z-order) curve are compact; each point is equally probable, up to rounding.

    Args:
        positions: (P, d) in [0, 1].
        count: number of points.
        seed: of the draw.
    """
    cells = np.minimum((positions * 1024).astype(np.int64), 1023)
    code = np.zeros(len(positions), dtype=np.int64)
    for bit in range(10):
        for axis in range(positions.shape[1]):
            code |= ((cells[:, axis] >> bit) & 1) << (bit * positions.shape[1] + axis)
    curve = np.argsort(code, kind="stable")
    draws = random_words(count, seed, len(positions)) / 2.0**64
    chosen = ((np.arange(count) + draws) * len(positions) / count).astype(np.int64)
    return curve[np.minimum(chosen, len(positions) - 1)]


def _by_pass(rows: Points) -> dict[Request, Points]:
    """Return the measured rows by pass; the half subset's rows have a key of their own."""
    grouped: dict[Request, list[Any]] = {}
    for row in rows[rows["level"] > 0]:
        grouped.setdefault(Request(int(row["level"]), float(row["alpha"]), float(row["beta"])), []).append(row)
    return {request: np.array(group, dtype=rows.dtype) for request, group in grouped.items()}
