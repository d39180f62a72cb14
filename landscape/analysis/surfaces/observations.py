"""Measured values: one per point and level, as arrays."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landscape.analysis.surfaces.measuring import Points, Request
from landscape.results import Floats


class Evidence:
    """Values by level, point, split and metric, filled from the rows of a table.

    Attributes:
        value: (K, P, S, M), level 1 first; NaN where not measured.
        stderr: the same, of standard errors over the examples.
        known: (K, P) where measured.
    """

    def __init__(self, points: Sequence[tuple[float, float]], levels: int, splits: int, metrics: int) -> None:
        self._place = {point: index for index, point in enumerate(points)}
        self._points = points
        self.value: Floats = np.full((levels, len(points), splits, metrics), np.nan)
        self.stderr: Floats = self.value.copy()
        self.known: NDArray[np.bool_] = np.zeros((levels, len(points)), dtype=bool)

    def add(self, rows: Points) -> None:
        """Enter rows of levels 1, 2, ...; rows of other points are ignored."""
        for row in rows:
            place = self._place.get((float(row["alpha"]), float(row["beta"])))
            if place is None or row["level"] < 1:
                continue
            index = (row["level"] - 1, place, row["split"], row["metric"])
            self.value[index], self.stderr[index] = row["value"], row["stderr"]
            self.known[row["level"] - 1, place] = True

    def requests(self, level: int, places: Iterable[Any]) -> list[Request]:
        """Return the requests that would fill these points at a level, without those it is known at."""
        return [Request(level, *self._points[place]) for place in places if not self.known[level - 1, place]]
