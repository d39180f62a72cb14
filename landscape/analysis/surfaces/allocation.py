"""Allocation of the next passes to the points and levels that tell most for their cost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from landscape.analysis.surfaces.field import Field
from landscape.results import Floats


class Choice(NamedTuple):
    """A point, and the finest level (as an index) to measure there; coarser ones are measured along with it."""

    level: int
    place: int


def quantile(deviations: Floats, share: float = 0.95) -> float:
    """Return the quantile of |error| over the points, the error at each being normal with its deviation."""
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


class Search:
    """A search for the passes that lower the variance of the estimates most at each step, for their cost.

    Multilevel Monte Carlo puts the budget where variance per cost falls fastest (Giles 2008, section 3); so does this,
    one pass after the other, the variance being that of interpolation.

    Args:
        quantities: per quantity its fields (copies, to be changed), by level, and the factors on their variances.
        costs: of a pass at each level, (K,).
        known: (K, P) what has been measured.
        barred: (P,) points not to be measured on all the examples: they are held out.
    """

    def __init__(
        self,
        quantities: Sequence[tuple[Sequence[Field], Floats]],
        costs: Sequence[float],
        known: NDArray[np.bool_],
        barred: NDArray[np.bool_],
    ) -> None:
        self._quantities = quantities
        self._costs = costs
        self._known = known.copy()
        self._barred = barred

    def deviations(self) -> Floats:
        """Return (Q, P) the standard deviation of each quantity's estimate at each point."""
        variances = np.stack([self._variance(fields, factors) for fields, factors in self._quantities])
        return np.asarray(np.sqrt(variances), dtype=np.float64)

    def _variance(self, fields: Sequence[Field], factors: Floats, first: int = 0) -> Floats:
        """Return (P,) the summed variance of the corrections from the level `first` on that a point still needs."""
        finest = np.argmax(self._known, axis=0)
        total = np.zeros(self._known.shape[1])
        for level, (field, factor) in enumerate(zip(fields, factors, strict=True)):
            if level >= first:
                total += np.where(finest > level, factor * field.variance, 0.0)
        return total

    def step(self) -> Choice | None:
        """Return the next choice, taken as made; None where nothing is left to measure."""
        best, chosen = 0.0, None
        for level in range(len(self._costs) - 1):
            closed = self._known[level] | (self._barred if level == 0 else False)
            if closed.all():
                continue
            uncertain = sum(self._variance(fields, factors, level) for fields, factors in self._quantities)
            place = int(np.argmax(np.where(closed, -1.0, uncertain)))
            gain = self._gain(level, place) / self._cost(level, place)
            if chosen is None or gain > best:
                best, chosen = gain, Choice(level, place)
        if chosen is None:
            return None
        for level in range(chosen.level, len(self._costs) - 1):
            for fields, _ in self._quantities:
                if chosen.place not in fields[level]:
                    fields[level].add(chosen.place)
            self._known[level, chosen.place] = True
        return chosen

    def _cost(self, level: int, place: int) -> float:
        return sum(self._costs[k] for k in range(level, len(self._costs) - 1) if not self._known[k, place])

    def _gain(self, level: int, place: int) -> float:
        """Return by how much measuring a point would lower the summed variance of all points."""
        finest = np.argmax(self._known, axis=0)
        gain = 0.0
        for fields, factors in self._quantities:
            for k in range(level, len(fields)):
                if place not in fields[k]:
                    gain += float((factors[k] * fields[k].column(place) ** 2)[finest > k].sum())
        return gain
