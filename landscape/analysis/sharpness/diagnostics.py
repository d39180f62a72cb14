"""Diagnostics of a measure: rounding of loss differences, and the samples that two checkpoints are paired by."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from landscape.analysis.objective.objective import Objective, Precision
from landscape.analysis.objective.weights import Weights, displaced
from landscape.errors import LandscapeError
from landscape.results import Floats
from landscape.stats.comparison.grouped_mean import group_means


def samples_of(values: Floats, unit: str) -> dict[str, Any]:
    """Return the diagnostics of a mean over values, (N,): their number and the `group_means` that pairing needs.

    >>> import numpy as np
    >>> samples_of(np.array([0.1, 0.3]), "subsets")
    {'unit': 'subsets', 'count': 2, 'samples': [0.1, 0.3]}
    """
    return {"unit": unit, "count": len(values), "samples": [float(f"{value:.9g}") for value in group_means(values)]}


class Rounding:
    """The rounding error of L(w + δ) − L(w), measured on a batch of examples drawn at random.

    The weights are added in the precision of the pass. The error is 0 for an objective in float64, and NaN on devices
    without float64 (MPS). Models and losses that hold float32 constants do not run in float64: for them it is the
    difference between two batch sizes.
    """

    def __init__(self, objective: Objective) -> None:
        split = objective.splits[0]
        self._objective = objective.variant(data={split: objective.data[split].sample(objective.batch_size)})
        self._base: dict[Precision, float] = {}

    def error(self, step: Mapping[str, Tensor]) -> float:
        """Return |difference in float32 − difference in float64| for a step δ."""
        objective = self._objective
        if objective.precision == "float64":
            return 0.0
        if objective.device.type == "mps":
            return math.nan
        single = self._difference(step, "float32")
        try:
            return abs(single - self._difference(step, "float64"))
        except (LandscapeError, RuntimeError, NotImplementedError):
            return abs(single - self._smaller_batches(step))

    def _smaller_batches(self, step: Mapping[str, Tensor]) -> float:
        """Return the difference in float32 with the batch's examples cut into smaller batches."""
        objective = self._objective
        count, smaller = next(objective.batches())[2], max(1, objective.batch_size // 3)
        losses = []
        for weights in (displaced(objective.origin, [(1.0, step)]), None):
            sums = objective.sums(weights, splits=objective.splits[:1], batch_size=smaller, limit=count)[0, 0]
            losses.append(float(sums[0] / sums[2]))
        return losses[0] - losses[1]

    def _difference(self, step: Mapping[str, Tensor], precision: Precision) -> float:
        objective = self._objective
        origin: Weights = objective.origin
        if precision == "float64" and objective.batchnorm == "fixed":  # else float32 weights recalibrate the statistics
            origin = {name: w.double() for name, w in origin.items()}
            step = {name: d.double() for name, d in step.items()}
        if precision not in self._base:
            self._base[precision] = self._loss(None, precision)
        return self._loss(displaced(origin, [(1.0, step)]), precision) - self._base[precision]

    def _loss(self, weights: Weights | None, precision: Precision) -> float:
        objective = self._objective
        sums = objective.sums(weights, splits=objective.splits[:1], precision=precision, limit=1)[0, 0]
        return float(sums[0] / sums[2])
