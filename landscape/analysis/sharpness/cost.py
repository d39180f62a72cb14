"""Estimated time of measures, from one timed batch."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from landscape.analysis.objective.objective import Objective
from landscape.analysis.sharpness.measure import curves
from landscape.analysis.sharpness.protocol import Cost, SharpnessMeasure

_PRODUCT = 2.5  # gradients that a product with the Hessian takes, about


@dataclass(frozen=True)
class Rates:
    """Examples per second."""

    forwards: float
    gradients: float

    def seconds(self, cost: Cost) -> float:
        """Return about how long something takes."""
        return cost.forwards / self.forwards + (cost.gradients + _PRODUCT * cost.products) / self.gradients


def measured_rates(objective: Objective) -> Rates:
    """Return the rates on one batch, each timed once after a warm-up."""
    split = objective.splits[0]
    data = objective.data[split]
    count = min(objective.batch_size, data.examples)
    batch = objective.variant(data={split: data.take(np.arange(count))})
    return Rates(count / _timed(batch.per_example), count / _timed(batch.gradient))


def cost_of(measures: Iterable[SharpnessMeasure], examples: int) -> Cost:
    """Return the passes and products of measures on so many examples."""
    total = Cost()
    for curve in curves(measures):
        total = Cost(*(a + b for a, b in zip(total, curve[0].cost(examples, len(curve)), strict=True)))
    return total


def _timed(run: Callable[[], object]) -> float:
    run()
    started = time.perf_counter()
    run()
    return time.perf_counter() - started
