"""A surface of the full data at a stated relative error, for a fraction of the evaluations.

Every point is measured on a small subset, further points on larger nested ones and on all the examples, chosen one
after the other where they lower the variance of the estimates most for their cost; the corrections from level to level
are interpolated as random fields. It ends when the error on held-out points, which are measured on all the examples and
never used in the fit, is within the tolerance.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landscape.analysis.surfaces.allocation import Choice, Search, quantile
from landscape.analysis.surfaces.field import Shape
from landscape.analysis.surfaces.measuring import Points, Request
from landscape.analysis.surfaces.observations import Evidence
from landscape.analysis.surfaces.quantity import Quantity
from landscape.analysis.surfaces.scheme import Scheme
from landscape.results import Floats, points_table
from landscape.seeding import random_words

SHARE = 0.95  # of the points that are to be within the tolerance
HELD_OUT = 39  # ⌈0.95 · 40⌉ = 38: the largest error but one bounds 95 % of the points, see `conformal`
MARGIN = 0.8  # of the tolerance, that the predicted error is to be within before the held-out points are looked at
LEAST_WIDER = 1.1  # how much more than before errors are expected to be after held-out points were off by too much
FIRST = 16  # passes over all the examples before the amplitudes are looked at again, or a half of those there are
OFTEN = 4  # so many times sooner once the held-out points are measured, and their errors are looked at each time
RATIOS = ("loss", "gradient_norm")  # whose levels are compared by their ratios where positive; others by differences
HOPELESS = 0.7  # of the cost of an exact surface: beyond it the rest is measured exactly

Measure = Callable[[Sequence[Request]], Iterable[Points]]


@dataclass(frozen=True)
class Outcome:
    """The estimates, as rows of level 0, and how good they are."""

    rows: Points
    report: dict[str, Any]


def estimate_within(
    tolerance: float,
    points: Sequence[tuple[float, float]],
    places: Floats,
    scheme: Scheme,
    metrics: Sequence[str],
    *,
    measure: Measure,
    done: Points,
    keep: Callable[[Points], None],
    seed: int = 0,
) -> Outcome:
    """Return the first metric within a relative error at 95 % of the points, and the others estimated along with it.

    Which passes are made depends on nothing but the values measured before, so that a run that goes on from `done`
    makes the same ones.

    Args:
        tolerance: of the relative error of the first metric on each split.
        points: coordinates.
        places: (P, d) the same in units of the axes, in [0, 1]: what distances are taken in.
        scheme: the levels.
        metrics: names of what is measured.
        measure: yields the rows of requests, in any order.
        done: rows of an earlier run, which are not measured again.
        keep: called with rows as they are measured.
        seed: of the choice of held-out points.
    """
    return _Run(tolerance, points, places, scheme, metrics, measure, done, keep, seed).outcome()


class _Run:
    def __init__(
        self,
        tolerance: float,
        points: Sequence[tuple[float, float]],
        places: Floats,
        scheme: Scheme,
        metrics: Sequence[str],
        measure: Measure,
        done: Points,
        keep: Callable[[Points], None],
        seed: int,
    ) -> None:
        self.tolerance, self.points, self.places, self.scheme, self.metrics = tolerance, points, places, scheme, metrics
        self.splits = tuple(scheme.sizes)
        self.evidence = Evidence(points, scheme.base + 2, len(self.splits), len(metrics))
        self.measure, self.keep, self.seed = measure, keep, seed
        self.archive = _by_pass(done)
        self.spent = 0
        self.held: NDArray[np.intp] = np.zeros(0, dtype=np.intp)
        self.fit: list[list[int]] = [[] for _ in range(scheme.base)]

    @property
    def exact_cost(self) -> int:
        return len(self.points) * self.scheme.costs[0]

    def outcome(self) -> Outcome:
        costs, count = self.scheme.costs, len(self.points)
        least = count * costs[-1] + (HELD_OUT + FIRST) * costs[0]
        if self.scheme.base == 0 or least > HOPELESS * self.exact_cost:
            return self._exact()
        self._ask(self.scheme.base, range(count))
        losses = [self._quantity(split, 0) for split in range(len(self.splits))]
        self.held = held_out(self.places, HELD_OUT, self.seed)
        wider = np.ones(len(losses))  # how much larger errors were found to be than expected
        while True:
            batch = self._plan(losses, wider)
            if self.spent + self._price(batch) > HOPELESS * self.exact_cost:
                return self._exact()
            self._carry_out(batch, losses)
            if batch and not self.evidence.known[0, self.held].all():
                continue  # not precise enough by its own account for the held-out points to be looked at
            self._ask(0, self.held)
            looks = [self._look(quantity, split) for split, quantity in enumerate(losses)]
            found = np.array([conformal(errors, SHARE) for errors, _ in looks])
            if (found <= self.tolerance).all():
                return self._estimated(losses, [errors for errors, _ in looks], found)
            if not np.isfinite(found).all():
                return self._exact()
            wider = np.maximum([size for _, size in looks], LEAST_WIDER * wider)

    def _quantity(self, split: int, metric: int, shape: Shape | None = None) -> Quantity:
        """Return the estimator of a metric; `shape` is used if its cheapest levels determine none."""
        sizes = self.scheme.sizes[self.splits[split]]
        ratios = self.metrics[metric] in RATIOS
        return Quantity(self.evidence, split, metric, sizes, self.places, ratios=ratios, shape=shape)

    def _plan(self, losses: Sequence[Quantity], wider: Floats) -> list[Choice]:
        """Return the next passes; none where the errors are expected to be within the tolerance."""
        known = self.evidence.known[: self.scheme.base + 1].copy()
        barred = np.zeros(len(self.points), dtype=bool)
        barred[self.held] = True
        known[0, self.held] = False
        quantities = [(q.scratch(), q.factors(self.held) * w**2) for q, w in zip(losses, wider, strict=True)]
        search = Search(quantities, self.scheme.costs, known, barred)
        looked = bool(self.evidence.known[0, self.held].all())
        limit = max(FIRST, len(self.fit[0]) // 2) // (OFTEN if looked else 1)
        batch: list[Choice] = []
        while sum(choice.level == 0 for choice in batch) < limit:
            expected = [quantile(deviations, SHARE) for deviations in search.deviations()]
            choice = search.step() if max(expected) > MARGIN * self.tolerance else None
            if choice is None:
                break
            batch.append(choice)
        return batch

    def _price(self, batch: Sequence[Choice]) -> int:
        costs = self.scheme.costs
        return sum(sum(costs[choice.level : self.scheme.base]) for choice in batch)

    def _carry_out(self, batch: Sequence[Choice], losses: Sequence[Quantity]) -> None:
        for level in reversed(range(self.scheme.base)):
            self._ask(level, [choice.place for choice in batch if choice.level <= level])
        for choice in batch:
            for level in range(choice.level, self.scheme.base):
                if choice.place not in self.fit[level]:
                    self.fit[level].append(choice.place)
        for quantity in losses:
            quantity.learn(self.fit)

    def _ask(self, level: int, places: Iterable[Any]) -> None:
        """Measure these points at a level (an index) where they are not; what an earlier run left is taken from it."""
        requests = self.evidence.requests(level + 1, places)
        self.spent += len(requests) * self.scheme.costs[level]
        todo = []
        for request in requests:
            if request in self.archive:
                self.evidence.add(self.archive[request])
                if level == self.scheme.base:
                    self.evidence.add(self.archive[request._replace(level=request.level + 1)])
            else:
                todo.append(request)
        for rows in self.measure(todo):
            self.evidence.add(rows)
            self.keep(rows)

    def _look(self, quantity: Quantity, split: int) -> tuple[Floats, float]:
        """Return the relative errors on the held-out points, and their size (root mean square) in units of expected."""
        estimate, deviation = quantity.estimate(self.held)
        exact = self.evidence.value[0, self.held, split, 0]
        errors = relative_errors(estimate[self.held], exact)
        with np.errstate(all="ignore"):
            expected = deviation[self.held] / np.abs(estimate[self.held])
            sizes = (errors / expected)[expected > 0]
        return errors, float(np.sqrt(np.square(sizes).mean())) if np.isfinite(sizes).any() else 1.0

    def _exact(self) -> Outcome:
        """Measure every point on all the examples: no saving, no error."""
        self._ask(0, range(len(self.points)))
        nothing = np.zeros(len(self.splits))
        return Outcome(self._rows(self.evidence.value[0], self.evidence.stderr[0]), self._report(0, nothing, nothing))

    def _estimated(self, losses: Sequence[Quantity], errors: Sequence[Floats], found: Floats) -> Outcome:
        value, stderr = self.evidence.value[0].copy(), self.evidence.stderr[0].copy()
        missing = ~self.evidence.known[0]
        for split, name in enumerate(self.splits):
            for metric in range(len(self.metrics)):
                quantity = losses[split] if metric == 0 else self._quantity(split, metric, losses[split].shape)
                quantity.learn(self.fit)
                estimate, deviation = quantity.estimate(np.zeros(0, dtype=np.intp))
                sizes = self.scheme.sizes[name]
                cheap = self.evidence.stderr[self.scheme.base, :, split, metric]
                sampling = cheap * np.sqrt(sizes[self.scheme.base] / sizes[0])
                value[missing, split, metric] = estimate[missing]
                stderr[missing, split, metric] = np.hypot(sampling, deviation)[missing]
        worst = np.array([e.max() for e in errors])
        return Outcome(self._rows(value, stderr), self._report(len(self.held), found, worst))

    def _rows(self, value: Floats, stderr: Floats) -> Points:
        rows = []
        for place, (alpha, beta) in enumerate(self.points):
            for split, name in enumerate(self.splits):
                n = self.scheme.sizes[name][0]
                for metric in range(len(self.metrics)):
                    index = (place, split, metric)
                    rows.append((alpha, beta, split, metric, value[index], stderr[index], n, 0))
        return points_table(rows)

    def _report(self, held: int, found: Floats, worst: Floats) -> dict[str, Any]:
        examples = self.scheme.examples
        counts = self.evidence.known.sum(axis=1)
        return {
            "asked": self.tolerance,
            "measured_95": float(found.max()),
            "measured_worst": float(worst.max()),
            "held_out": held,
            "saving": self.exact_cost / self.spent,
            "levels": [
                {"level": k + 1, "examples": examples[k], "points": int(counts[k])} for k in range(len(examples))
            ],
            "splits": {
                split: {"measured_95": float(a), "measured_worst": float(b)}
                for split, a, b in zip(self.splits, found, worst, strict=True)
            },
        }


def conformal(errors: Floats, share: float) -> float:
    """Return the error that at least this share of further points is expected to be within.

    The ⌈share · (n + 1)⌉-th smallest of n errors (split conformal prediction: Lei et al. 2018, arXiv:1604.04173,
    section 2.2), inf where n is too small for that.
    """
    rank = math.ceil(share * (len(errors) + 1) - 1e-9)
    return float(np.sort(errors)[rank - 1]) if rank <= len(errors) else math.inf


def relative_errors(estimate: Floats, exact: Floats) -> Floats:
    """Return |estimate − exact| / |exact|; 0 where both are the same, divergence included; inf where only one is."""
    same = (estimate == exact) | (np.isnan(estimate) & np.isnan(exact))
    with np.errstate(all="ignore"):
        error = np.abs(estimate - exact) / np.abs(exact)
    return np.where(same, 0.0, np.where(np.isfinite(error), error, np.inf))


def held_out(places: Floats, count: int, seed: int) -> NDArray[np.intp]:
    """Return points spread over the plane at random: one from each of `count` equal parts of a walk through it.

    The walk is Morton's, so that its parts are compact; each point is as likely as any other, up to rounding.
    """
    grid = np.minimum((places * 1024).astype(np.int64), 1023)
    code = np.zeros(len(places), dtype=np.int64)
    for bit in range(10):
        for axis in range(places.shape[1]):
            code |= ((grid[:, axis] >> bit) & 1) << (bit * places.shape[1] + axis)
    walk = np.argsort(code, kind="stable")
    draws = random_words(count, seed, len(places)) / 2.0**64
    at = ((np.arange(count) + draws) * len(places) / count).astype(np.int64)
    return walk[np.minimum(at, len(places) - 1)]


def _by_pass(rows: Points) -> dict[Request, Points]:
    """Return the rows of each pass; those of the half go with the cheapest level's."""
    grouped: dict[Request, list[Any]] = {}
    for row in rows[rows["level"] > 0]:
        grouped.setdefault(Request(int(row["level"]), float(row["alpha"]), float(row["beta"])), []).append(row)
    return {request: np.array(found, dtype=rows.dtype) for request, found in grouped.items()}
