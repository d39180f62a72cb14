"""Allocation of passes to the points and levels that lower the variance most for their cost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from landscape.analysis.surfaces.multilevel.field import Field
from landscape.results import Floats


class Choice(NamedTuple):
    """A point and the finest level (indices) to measure there; coarser levels are measured with it."""

    level: int
    point: int


def quantile(deviations: Floats, share: float = 0.95) -> float:
    """Return the quantile of |error| over the points, the error at each being normal with its standard deviation.

    >>> round(quantile(np.ones(3)), 3)
    1.96
    """
    if len(deviations) == 0 or not deviations.any():
        return 0.0
    low, high = 0.0, 8.0 * float(deviations.max())
    with np.errstate(all="ignore"):
        inverse = np.where(deviations > 0, 1 / deviations, np.inf)
        for _ in range(40):
            middle = 0.5 * (low + high)
            within = float((2 * ndtr(middle * inverse) - 1).mean())
            low, high = (middle, high) if within < share else (low, middle)
    return high


class PassAllocator:
    """Greedy choice of the passes that lower the variance of the estimates most for their cost.

    Multilevel Monte Carlo spends the budget where the variance falls fastest per cost (Giles 2008, section 3); here the
    variance is that of interpolation.

    Args:
        estimators: fields by level (copies, which are changed) and factors on their variances, of each estimator.
        costs: (K,) cost of a pass at each level.
        known: (K, P) True where measured.
        barred: (P,) True for held-out points, which are not measured on all the examples.
    """

    def __init__(
        self,
        estimators: Sequence[tuple[Sequence[Field], Floats]],
        costs: Sequence[float],
        known: NDArray[np.bool_],
        barred: NDArray[np.bool_],
    ) -> None:
        self._estimators = estimators
        self._costs = costs
        self._known = known.copy()
        self._barred = barred

    def deviations(self) -> Floats:
        """Return the (Q, P) standard deviation of each estimate at each point."""
        variances = np.stack([self._variance(fields, factors) for fields, factors in self._estimators])
        return np.asarray(np.sqrt(variances), dtype=np.float64)

    def _variance(self, fields: Sequence[Field], factors: Floats, first: int = 0) -> Floats:
        """Return the (P,) variance of the unknown corrections of each point, summed from the level `first` on."""
        finest = np.argmax(self._known, axis=0)
        total = np.zeros(self._known.shape[1])
        for level, (field, factor) in enumerate(zip(fields, factors, strict=True)):
            if level >= first:
                total += np.where(finest > level, factor * field.variance, 0.0)
        return total

    def step(self) -> Choice | None:
        """Return the next choice and mark it as measured; None if nothing is left to measure."""
        best, chosen = 0.0, None
        for level in range(len(self._costs) - 1):
            closed = self._known[level] | (self._barred if level == 0 else False)
            if closed.all():
                continue
            uncertain = sum(self._variance(fields, factors, level) for fields, factors in self._estimators)
            point = int(np.argmax(np.where(closed, -1.0, uncertain)))
            gain = self._gain(level, point) / self._cost(level, point)
            if chosen is None or gain > best:
                best, chosen = gain, Choice(level, point)
        if chosen is None:
            return None
        for level in range(chosen.level, len(self._costs) - 1):
            for fields, _ in self._estimators:
                if chosen.point not in fields[level]:
                    fields[level].add(chosen.point)
            self._known[level, chosen.point] = True
        return chosen

    def _cost(self, level: int, point: int) -> float:
        return sum(self._costs[k] for k in range(level, len(self._costs) - 1) if not self._known[k, point])

    def _gain(self, level: int, point: int) -> float:
        """Return the reduction of the summed variance of all points by measuring a point."""
        finest = np.argmax(self._known, axis=0)
        gain = 0.0
        for fields, factors in self._estimators:
            for k in range(level, len(fields)):
                if point not in fields[k]:
                    gain += float((factors[k] * fields[k].column(point) ** 2)[finest > k].sum())
        return gain
