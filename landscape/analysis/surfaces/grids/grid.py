"""Points of a grid in the order they are measured."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from landscape.results import Floats

Points: TypeAlias = NDArray[Any]  # table of dtype landscape.results.POINT
Coordinates: TypeAlias = tuple[Floats, Floats | None]  # (X,) and (Y,) along both directions; None on a line


class Request(NamedTuple):
    """One point to be measured at one fidelity level."""

    level: int  # 0 and 1: all the examples; higher: a subset
    alpha: float
    beta: float


@dataclass(frozen=True)
class Grid:
    """Points of a grid that are still to be reported, in the order they are measured.

    >>> Grid.of((np.array([-1.0, 0.0, 1.0]), None)).positions.tolist()
    [[0.0], [0.5], [1.0]]

    Attributes:
        points: P pairs (α, β).
        positions: (P, d) the points in units of the axes, in [0, 1].
    """

    points: list[tuple[float, float]]
    positions: Floats

    @classmethod
    def of(cls, coordinates: Coordinates, done: Points | None = None) -> Grid:
        """Return the points of a grid that are not done."""
        alpha, beta = coordinates
        points = list(grid_points(alpha, beta, done))
        x = np.searchsorted(alpha, [a for a, _ in points]) / max(len(alpha) - 1, 1)
        if beta is None:
            return cls(points, x[:, None])
        y = np.searchsorted(beta, [b for _, b in points]) / max(len(beta) - 1, 1)
        return cls(points, np.stack([x, y], axis=1))


def grid_points(alpha: Floats, beta: Floats | None, done: Points | None = None) -> Iterator[tuple[float, float]]:
    """Yield the points of a grid row by row, from the centre row outwards, without those reported in `done`.

    >>> list(grid_points(np.array([0.0, 1.0]), np.array([-1.0, 0.0])))
    [(0.0, 0.0), (1.0, 0.0), (0.0, -1.0), (1.0, -1.0)]
    """
    finished: set[tuple[float, float]] = set()
    if done is not None:
        reported = done[done["level"] == 0]
        finished = set(zip(reported["alpha"].tolist(), reported["beta"].tolist(), strict=True))
    rows = [0.0] if beta is None else sorted(beta.tolist(), key=abs)
    for b in rows:
        for a in alpha.tolist():
            if (a, b) not in finished:
                yield a, b


def in_grid_order(table: Points, alpha: Floats, beta: Floats | None) -> Points:
    """Return the rows sorted by level, then by point in the order of `grid_points`; points off the axes come last."""
    rank = {point: number for number, point in enumerate(grid_points(alpha, beta))}
    points = zip(table["alpha"].tolist(), table["beta"].tolist(), strict=True)
    ranks = np.array([rank.get(point, len(rank)) for point in points], dtype=np.int64)
    keys = [table["metric"], table["split"], table["alpha"], table["beta"], ranks, table["level"]]
    ordered: Points = table[np.lexsort(keys)]
    return ordered


def probe_points(alpha: Floats, beta: Floats | None) -> list[tuple[float, float]]:
    """Return a few points of a grid at which precisions are compared: centre, half way, and the rim."""
    x = [alpha[0], alpha[len(alpha) // 4], alpha[len(alpha) // 2], alpha[-1]]
    y = [0.0] * 4 if beta is None else [beta[0], beta[3 * len(beta) // 4], beta[len(beta) // 2], beta[len(beta) // 2]]
    return [(float(a), float(b)) for a, b in zip(x, y, strict=True)]
