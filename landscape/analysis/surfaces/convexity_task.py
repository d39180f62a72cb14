"""Extreme eigenvalues at the points of a plane, as a task that workers share."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from landscape.analysis.linalg.bounds import lehmann_interval
from landscape.analysis.linalg.eigenpairs import EigenRequest
from landscape.analysis.linalg.rayleigh_ritz import UNKNOWN, RayleighRitz
from landscape.analysis.objective.objective import Objective
from landscape.analysis.objective.packing import PackedObjective, pack_objective
from landscape.analysis.operators.operator import CurvatureOperator
from landscape.analysis.planes import Plane
from landscape.analysis.surfaces.grids.grid import Points
from landscape.analysis.surfaces.task import move_plane
from landscape.errors import LandscapeError
from landscape.results import BOUNDED_POINT, Floats, points_table
from landscape.seeding import derived_seed

METRICS = ("convexity", "lambda_min", "lambda_max", "products")
QUICK_PRODUCTS = 8
TOP_REUSED, BOTTOM_REUSED = 2, 4  # Ritz vectors that warm-start the next point; bottom eigenvalues are closer together


@dataclass(frozen=True)
class ConvexitySettings:
    """Options of a convexity map; see `convexity`."""

    tolerance: float = 0.05
    quick: bool = False
    max_products: int = 100
    seed: int = 0


class MapRow(NamedTuple):
    """Points of one row: those of these indices of the α axis."""

    beta: float
    missing: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class ConvexityTask:
    """Points, or whole rows of a quick map, as requests, and their tables as results."""

    objective: Objective
    plane: Plane
    alpha: Floats
    options: ConvexitySettings
    threads: int

    @property
    def device(self) -> str:
        """Device of the objective."""
        return str(self.objective.device)

    @cached_property
    def walker(self) -> Walker:
        """The traversal in this process."""
        return Walker(self.objective, self.plane, self.alpha, self.options)

    def requests(self, beta: Floats, finished: set[tuple[float, float]]) -> Iterator[MapRow]:
        """Yield the points that are not finished, from the middle row outwards."""
        for b in sorted(beta.tolist(), key=abs):
            missing = tuple(i for i, a in enumerate(self.alpha.tolist()) if (a, b) not in finished)
            if not self.options.quick:
                yield from (MapRow(b, (i,)) for i in missing)
            elif missing:
                yield MapRow(b, missing)

    def __call__(self, requests: Iterable[MapRow]) -> Iterator[Points]:
        """Yield each request's table."""
        return (np.concatenate(list(self.walker.points([row]))) for row in requests)

    def portable(self) -> PortableConvexity:
        """Return the parts."""
        plane = move_plane(self.plane, torch.device("cpu"))
        return PortableConvexity(pack_objective(self.objective), plane, self.alpha, self.options)


@dataclass(frozen=True)
class PortableConvexity:
    """Parts of a convexity map, on the CPU."""

    objective: PackedObjective
    plane: Plane
    alpha: Floats
    options: ConvexitySettings

    def assemble(self, device: str) -> Callable[[Iterable[MapRow]], Iterator[Points]]:
        """Return the task's function on a device."""
        objective = self.objective.unpack(device)
        plane = move_plane(self.plane, objective.device)
        return ConvexityTask(objective, plane, self.alpha, self.options, torch.get_num_threads())


def points_of(tables: Iterable[Points]) -> Iterator[Points]:
    """Yield the table of each point in tables of several."""
    for table in tables:
        starts = range(0, len(table), len(METRICS))
        yield from (table[start : start + len(METRICS)] for start in starts)


class Walker:
    """Traverses the grid row by row."""

    def __init__(self, objective: Objective, plane: Plane, alpha: Floats, options: ConvexitySettings) -> None:
        self._objective, self._plane, self._alpha, self._options = objective, plane, alpha, options
        if objective.size < 2:
            raise LandscapeError("a convexity map takes two eigenvalues, and there is one parameter that moves")
        self._operator(0.0, 0.0).mode  # noqa: B018  # raises if there is none

    def points(self, requests: Iterable[MapRow]) -> Iterator[Points]:
        """Yield the table of each requested point."""
        for row in requests:
            if self._options.quick:
                yield from self._warm_started(row)
            else:
                yield from (self._at(float(self._alpha[i]), row.beta, None)[0] for i in row.missing)

    def _warm_started(self, row: MapRow) -> Iterator[Points]:
        """Yield the tables of a row's missing points, each warm-started from the previous point."""
        alpha, b, missing = self._alpha, row.beta, row.missing
        middle = int(np.argmin(np.abs(alpha)))
        rows, first = self._at(float(alpha[middle]), b, None)
        if middle in missing:
            yield rows
        for side in (range(middle + 1, max(missing) + 1), range(middle - 1, min(missing) - 1, -1)):
            start = first
            for i in side:
                rows, start = self._at(float(alpha[i]), b, start)
                if i in missing:
                    yield rows

    def _at(self, a: float, b: float, start: Tensor | None) -> tuple[Points, Tensor | None]:
        """Return a point's rows and the (n,) starting vector of the next point; `start` is from the previous one."""
        options, operator = self._options, self._operator(a, b)
        seed = derived_seed(options.seed, a, b)
        ritz = RayleighRitz(
            operator,
            operator.size,
            EigenRequest(top=1, bottom=1, tolerance=options.tolerance, floor=1.0, seed=seed),
            device=self._objective.device,
        )
        vector = ritz.random()
        if start is not None:
            vector = vector + math.sqrt(operator.size) * start.to(vector)
        try:
            ritz.add(vector[None])
            ritz.run(options.max_products if start is None else min(QUICK_PRODUCTS, options.max_products))
        except LandscapeError:  # a product with NaN or inf: the loss diverges
            return _rows(a, b, np.full(2, np.nan), np.full(2, np.nan), operator), start
        count = ritz.basis.count
        reused = sorted({*range(min(TOP_REUSED, count)), *range(max(count - BOTTOM_REUSED, 0), count)})
        total = ritz.basis.vectors(reused).sum(dim=1)
        return _rows(a, b, ritz.basis.values[[0, -1]], _bounds(ritz), operator), total / total.norm()

    def _operator(self, a: float, b: float) -> CurvatureOperator:
        weights, buffers = self._plane.at(a, b), self._plane.buffers_at(a, b)
        return CurvatureOperator(self._objective, weights=weights, buffers=buffers)


def _bounds(ritz: RayleighRitz) -> Floats:
    """Return the (2,) distances by which the largest and the smallest eigenvalue may lie beyond their Ritz values.

    The probabilistic bound of the Krylov space (`RayleighRitz.whole`) assumes that the starting vector z has a
    component along the extreme eigenvector. Adding a fixed vector of z's expected length does not make a small
    component more probable (Anderson 1955), but z is then only 1/√2 of the starting vector: the bound fails √2 times as
    often.
    """
    basis = ritz.basis
    if basis.full:
        return np.zeros(2)
    low, high = ritz.outside
    lowest, highest = ritz.whole
    if ritz.outside != UNKNOWN:
        highest = min(highest, lehmann_interval(basis.values, basis.G, 0, low, high)[1])
        lowest = max(lowest, -lehmann_interval(-basis.values[::-1], basis.G[::-1, ::-1], 0, -high, -low)[1])
    beyond: Floats = np.maximum([highest - basis.values[0], basis.values[-1] - lowest], 0.0)
    return beyond


def _rows(a: float, b: float, values: Floats, bounds: Floats, operator: CurvatureOperator) -> Points:
    """Return the rows of a point; the bound of the ratio follows from those of the eigenvalues."""
    (largest, smallest), (above, below) = np.abs(values).tolist(), bounds.tolist()
    ratio = smallest / largest if largest > 0 else math.nan
    error = (below + ratio * above) / (largest - above) if largest > above else math.nan if largest == 0 else math.inf
    columns = [
        (ratio, error),
        (float(values[1]), below),
        (float(values[0]), above),
        (float(operator.num_matvecs), math.nan),
    ]
    rows = [(a, b, 0, m, value, bound, operator.examples, 0) for m, (value, bound) in enumerate(columns)]
    return points_table(rows, BOUNDED_POINT)
