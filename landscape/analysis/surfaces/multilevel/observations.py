"""Measured values at points and levels, as arrays."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landscape.analysis.surfaces.grids.grid import Points, Request
from landscape.results import Floats


class Observations:
    """Measured values by level, point, split and metric, filled from the rows of a table.

    Attributes:
        value: (K, P, S, M), level 1 first; NaN where not measured.
        stderr: (K, P, S, M) standard errors over the examples.
        known: (K, P) True where measured.
    """

    def __init__(self, points: Sequence[tuple[float, float]], levels: int, splits: int, metrics: int) -> None:
        self._index = {point: index for index, point in enumerate(points)}
        self._points = points
        self.value: Floats = np.full((levels, len(points), splits, metrics), np.nan)
        self.stderr: Floats = self.value.copy()
        self.known: NDArray[np.bool_] = np.zeros((levels, len(points)), dtype=bool)

    def add(self, rows: Points) -> None:
        """Enter rows of levels 1, 2, ...; rows of other points are ignored."""
        for row in rows:
            point = self._index.get((float(row["alpha"]), float(row["beta"])))
            if point is None or row["level"] < 1:
                continue
            index = (row["level"] - 1, point, row["split"], row["metric"])
            self.value[index], self.stderr[index] = row["value"], row["stderr"]
            self.known[row["level"] - 1, point] = True

    def requests(self, level: int, points: Iterable[Any]) -> list[Request]:
        """Return the requests for those of these points (indices) that are not measured at a level."""
        return [Request(level, *self._points[point]) for point in points if not self.known[level - 1, point]]
