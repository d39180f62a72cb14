"""Convexity maps: |λ_min / λ_max| of the Hessian over a plane (Li et al. 2018, arXiv:1712.09913, section 6)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from torch import Tensor

from landscape.analysis.linalg.bounds import lehmann_interval
from landscape.analysis.linalg.eigenpairs import EigenRequest
from landscape.analysis.linalg.rayleigh_ritz import UNKNOWN, RayleighRitz
from landscape.analysis.objective.objective import Objective
from landscape.analysis.operators.metadata import MeasurementMetadata
from landscape.analysis.operators.operator import CurvatureOperator
from landscape.analysis.planes import Plane, random_plane
from landscape.analysis.planes.axes import ascending, axis
from landscape.analysis.surfaces.measuring import Points
from landscape.errors import LandscapeError
from landscape.results import BOUNDED_POINT, ConvexityResult, Floats, points_table
from landscape.seeding import derived_seed

METRICS = ("convexity", "lambda_min", "lambda_max", "products")
BOUND = (
    "distance to the extreme eigenvalue, wherever it is (probabilistic Lanczos bound, exceeded with probability 2e-3)"
)
QUICK_PRODUCTS = 8
TOP_KEPT, BOTTOM_KEPT = 2, 4  # Ritz vectors a point hands on to its neighbour; the bottom ones lie closer together


def convexity(
    objective: Objective,
    plane: Plane | None = None,
    *,
    points: int | tuple[int, int] = 21,
    span: float = 1.0,
    alpha: Floats | None = None,
    beta: Floats | None = None,
    tolerance: float = 0.05,
    quick: bool = False,
    max_products: int = 100,
    seed: int = 0,
    split: str | None = None,
    done: Points | None = None,
    on_point: Callable[[Points], None] | None = None,
    on_product: Callable[[int, Tensor], None] | None = None,
) -> ConvexityResult:
    """Return |λ_min / λ_max|, both eigenvalues of the Hessian and their bounds on a grid of a plane.

    At each point Lanczos begins with a random vector and goes on until it is proven, but for a small probability, that
    no eigenvalue is more extreme than the two found by more than the tolerance: on a ResNet-20 12 to 16 products, when
    the errors themselves are some ten times less. The bounds of both are one-sided (see `ConvexityResult`); those of
    the ratio follow from them. The rounding of float32
    products, about 1e-6 of λ_max, is not in them. The metric `products` counts what a point took. Where the loss
    diverges all values are NaN. BatchNorm's statistics are held fixed at each point.

    With `quick`, rows are walked from their middle outwards, and the eigenvectors of the point before are added to the
    random vector, so that half the products will do: the errors were up to 1 % of λ_max where that was measured. The
    bounds, which know nothing of the neighbour, were 0.4 to 0.8 of λ_max. (To stop as soon as the pairs seem converged
    is no way: after five products λ_min was off by 6 % of λ_max, and looked well.)

    Args:
        objective: whose loss.
        plane: where; by default the plane of two filter-normalized random directions from `seed`.
        points: (x, y) counts, odd; one number for both.
        span: the axes run from −span to span.
        alpha: coordinates along the first direction instead of `points` and `span`; (X,) ascending.
        beta: the same along the second; (Y,).
        tolerance: on the bounds of both eigenvalues, relative to the one of larger magnitude.
        quick: whether to stop after `QUICK_PRODUCTS` at all points but the middle of each row. A row that was stopped
            within is then walked again from its middle, so that its values are the same to the bit.
        max_products: at each point; where they do not suffice, the bounds are larger.
        seed: of the random directions and vectors.
        split: which split's loss; the first by default.
        done: points of an earlier run with the same settings, which are not given to `on_point` again.
        on_point: called with the rows of each point as it is finished.
        on_product: called after each product with their number at this point and the bounds relative to the tolerance.

    Raises:
        LandscapeError: for unusable axes or tolerance, a line instead of a plane, fewer than two parameters, or a loss
            that has no second derivatives.
    """
    if not 0 < tolerance < 1:
        raise LandscapeError(f"got a tolerance of {tolerance}; expected a relative error such as 0.05")
    plane = plane or random_plane(objective, seed=seed)
    if plane.is_line:
        raise LandscapeError("a convexity map is of a plane, and this is a line; give two directions")
    counts = (points, points) if isinstance(points, int) else points
    alpha = axis(counts[0], span) if alpha is None else ascending(alpha)
    beta = axis(counts[1], span) if beta is None else ascending(beta)
    metadata = MeasurementMetadata(objective, "hessian", split, seed)
    walker = _Walker(objective, plane, tolerance, quick, max_products, seed, split, on_product)
    tables = [points_table([], BOUNDED_POINT) if done is None else done]
    for rows in walker.walk(alpha, beta, _coordinates(tables[0])):
        tables.append(rows)
        if on_point is not None:
            on_point(rows)
    attributes: dict[str, Any] = {
        **metadata.attributes(),
        "directions": dict(plane.provenance),
        "tolerance": tolerance,
        "quick": quick,
        "max_products": max_products,
        "bound": BOUND,
        **({"marks": list(plane.marks)} if plane.marks else {}),
    }
    table = _ordered(np.concatenate(tables))
    return ConvexityResult(alpha, (split or objective.splits[0],), METRICS, table, attributes, beta)


class _Walker:
    """Goes over the grid, row by row from the middle one outwards."""

    def __init__(
        self,
        objective: Objective,
        plane: Plane,
        tolerance: float,
        quick: bool,
        max_products: int,
        seed: int,
        split: str | None,
        on_product: Callable[[int, Tensor], None] | None,
    ) -> None:
        self._objective, self._plane, self._tolerance, self._quick = objective, plane, tolerance, quick
        self._max, self._seed, self._split, self._on_product = max_products, seed, split, on_product
        if objective.size < 2:
            raise LandscapeError("a convexity map takes two eigenvalues, and there is one parameter that moves")
        self._product(0.0, 0.0).mode  # noqa: B018  # raises here, and not at each point, where there is none

    def walk(self, alpha: Floats, beta: Floats, finished: set[tuple[float, float]]) -> Iterator[Points]:
        """Yield the table of each point that is not finished."""
        middle = int(np.argmin(np.abs(alpha)))
        for b in sorted(beta.tolist(), key=abs):
            todo = [i for i, a in enumerate(alpha.tolist()) if (a, b) not in finished]
            if not self._quick:
                yield from (self._at(float(alpha[i]), b, None)[0] for i in todo)
            elif todo:
                yield from self._along(alpha, b, middle, todo)

    def _along(self, alpha: Floats, b: float, middle: int, todo: list[int]) -> Iterator[Points]:
        """Yield the tables of a row's points, each begun with what the one before has found."""
        rows, first = self._at(float(alpha[middle]), b, None)
        if middle in todo:
            yield rows
        for side in (range(middle + 1, max(todo) + 1), range(middle - 1, min(todo) - 1, -1)):
            start = first
            for i in side:
                rows, start = self._at(float(alpha[i]), b, start)
                if i in todo:
                    yield rows

    def _at(self, a: float, b: float, known: Tensor | None) -> tuple[Points, Tensor | None]:
        """Return a point's rows, and what its neighbour begins with, (n,); `known` is what the one before gave."""
        product = self._product(a, b)
        search = RayleighRitz(
            product,
            product.size,
            EigenRequest(top=1, bottom=1, tolerance=self._tolerance, floor=1.0, seed=derived_seed(self._seed, a, b)),
            device=self._objective.device,
            on_product=self._on_product,
        )
        start = search.random()
        if known is not None:
            start = start + math.sqrt(product.size) * known.to(start)
        try:
            search.add(start[None])
            search.run(self._max if known is None else min(QUICK_PRODUCTS, self._max))
        except LandscapeError:  # a product holds NaN or inf: the loss diverges here
            return _rows(a, b, np.full(2, np.nan), np.full(2, np.nan), product), known
        count = search.basis.count
        kept = sorted({*range(min(TOP_KEPT, count)), *range(max(count - BOTTOM_KEPT, 0), count)})
        vector = search.basis.vectors(kept).sum(dim=1)
        return _rows(a, b, search.basis.values[[0, -1]], _bounds(search), product), vector / vector.norm()

    def _product(self, a: float, b: float) -> CurvatureOperator:
        weights, buffers = self._plane.at(a, b), self._plane.buffers_at(a, b)
        return CurvatureOperator(self._objective, split=self._split, weights=weights, buffers=buffers)


def _bounds(search: RayleighRitz) -> Floats:
    """Return (2,) how far beyond their Ritz values the largest and the smallest eigenvalue can be.

    The probabilistic bound of the Krylov space (`RayleighRitz.whole`) asks for a component of the starting vector z
    along the extreme eigenvector. To add a fixed vector of z's expected length does not make a small one more probable
    (Anderson 1955), but z is then a part of 1/√2 of the whole: an exception is √2 times as probable.
    """
    basis = search.basis
    if basis.full:
        return np.zeros(2)
    low, high = search.outside
    lowest, highest = search.whole
    if search.outside != UNKNOWN:
        highest = min(highest, lehmann_interval(basis.values, basis.G, 0, low, high)[1])
        lowest = max(lowest, -lehmann_interval(-basis.values[::-1], basis.G[::-1, ::-1], 0, -high, -low)[1])
    beyond: Floats = np.maximum([highest - basis.values[0], basis.values[-1] - lowest], 0.0)
    return beyond


def _rows(a: float, b: float, values: Floats, bounds: Floats, product: CurvatureOperator) -> Points:
    """Return the table's rows of a point; the ratio's bound follows from those of its parts."""
    (largest, smallest), (above, below) = np.abs(values).tolist(), bounds.tolist()
    ratio = smallest / largest if largest > 0 else math.nan
    error = (below + ratio * above) / (largest - above) if largest > above else math.nan if largest == 0 else math.inf
    columns = [
        (ratio, error),
        (float(values[1]), below),
        (float(values[0]), above),
        (float(product.num_matvecs), math.nan),
    ]
    rows = [(a, b, 0, m, value, bound, product.examples, 0) for m, (value, bound) in enumerate(columns)]
    return points_table(rows, BOUNDED_POINT)


def _coordinates(table: Points) -> set[tuple[float, float]]:
    return set(zip(table["alpha"].tolist(), table["beta"].tolist(), strict=True))


def _ordered(table: Points) -> Points:
    """Return the rows in one order, in whatever order they came: row by row, from below."""
    ordered: Points = table[np.lexsort([table["metric"], table["alpha"], table["beta"]])]
    return ordered
