"""Convexity maps: |λ_min / λ_max| of the Hessian over a plane (Li et al. 2018, arXiv:1712.09913, section 6)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
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
from landscape.analysis.surfaces.grids.axes import Axes
from landscape.analysis.surfaces.grids.grid import Points
from landscape.errors import LandscapeError
from landscape.results import BOUNDED_POINT, ConvexityResult, Floats, points_table
from landscape.seeding import derived_seed

METRICS = ("convexity", "lambda_min", "lambda_max", "products")
BOUND = (
    "distance to the extreme eigenvalue, wherever it is (probabilistic Lanczos bound, exceeded with probability 2e-3)"
)
QUICK_PRODUCTS = 8
TOP_REUSED, BOTTOM_REUSED = 2, 4  # Ritz vectors that warm-start the next point; bottom eigenvalues are closer together


def convexity(
    objective: Objective,
    plane: Plane | None = None,
    *,
    points: int | tuple[int, int] = 21,
    axes: Axes | None = None,
    tolerance: float = 0.05,
    quick: bool = False,
    max_products: int = 100,
    seed: int = 0,
) -> ConvexityResult:
    """Return |λ_min / λ_max|, both eigenvalues of the Hessian and their bounds on a grid of a plane.

    At each point Lanczos starts from a random vector and stops once both eigenvalues are within the tolerance, up to a
    small probability; on a ResNet-20 after 12 to 16 products, with errors about a tenth of the bounds. The bounds of
    both eigenvalues are one-sided (see `ConvexityResult`); that of the ratio follows from them. They do not include the
    rounding of float32 products, about 1e-6 of λ_max. The metric `products` is the number of products at a point. If
    the loss diverges, all values are NaN. BatchNorm's statistics are fixed at each point.

    With `quick`, rows are traversed from their middle outwards, and the eigenvectors of the previous point are added to
    the random vector, so that half the products suffice: the errors were up to 1 % of λ_max in experiments. The bounds,
    which do not use the previous point, were 0.4 to 0.8 of λ_max. (Stopping as soon as the Ritz pairs seem converged is
    not reliable: after five products λ_min was off by 6 % of λ_max, and seemed converged.)

    >>> import torch, landscape
    >>> inputs, targets = torch.eye(3), torch.ones(3, 1)
    >>> objective = landscape.Objective(torch.nn.Linear(3, 1, bias=False), "mse", inputs, targets, device="cpu")
    >>> landscape.convexity(objective, points=3).grid("convexity").round(4).tolist()  # the Hessian is (2/3) I
    [[[1.0, 1.0, 1.0], [1.0, 1.0, 1.0], [1.0, 1.0, 1.0]]]

    Args:
        objective: loss of the first split, and weights.
        plane: by default that along two filter-normalized random directions of `seed`.
        points: (x, y) counts, odd; one number for both. Ignored if `axes` is given.
        axes: coordinates in full detail; from −1 to 1 by default.
        tolerance: of the bounds of both eigenvalues, relative to the one of larger magnitude.
        quick: stop after `QUICK_PRODUCTS` at all points but the middle of each row. An interrupted row is traversed
            again from its middle, so that values are the same to the bit.
        max_products: at each point; if they do not suffice, the bounds are larger.
        seed: of the random directions and vectors.

    Raises:
        LandscapeError: for unusable axes or tolerance, a line instead of a plane, fewer than two parameters, or a loss
            without second derivatives.
    """
    plane = plane or random_plane(objective, seed=seed)
    if plane.is_line:
        raise LandscapeError("a convexity map is of a plane, and this is a line; give two directions")
    alpha, beta = (axes or Axes(points)).coordinates(is_line=False, extent=None, margin=0.0)
    assert beta is not None
    begun = empty_convexity(objective, alpha, beta)
    return measure_convexity(
        objective, plane, begun, tolerance=tolerance, quick=quick, max_products=max_products, seed=seed
    )


def empty_convexity(objective: Objective, alpha: Floats, beta: Floats) -> ConvexityResult:
    """Return a map of the first split without points."""
    table = points_table([], ConvexityResult.point)
    return ConvexityResult(alpha, objective.splits[:1], METRICS, table, {}, beta)


def measure_convexity(
    objective: Objective,
    plane: Plane,
    begun: ConvexityResult,
    *,
    tolerance: float,
    quick: bool,
    max_products: int,
    seed: int,
    on_point: Callable[[Points], None] | None = None,
) -> ConvexityResult:
    """Measure the points that a map lacks; the options are those of `convexity`.

    Args:
        objective: loss and weights.
        plane: through the objective's weights.
        begun: result of `empty_convexity`, perhaps with points of an earlier run with the same options.
        tolerance: of the bounds.
        quick: warm-start from the previous point.
        max_products: at each point.
        seed: of the starting vectors.
        on_point: called with the rows of each point as it is finished.

    Raises:
        LandscapeError: for an unusable tolerance, fewer than two parameters, or a loss without second derivatives.
    """
    if not 0 < tolerance < 1:
        raise LandscapeError(f"got a tolerance of {tolerance}; expected a relative error such as 0.05")
    metadata = MeasurementMetadata(objective, "hessian", begun.splits[0], seed)
    walker = _Walker(objective, plane, tolerance, quick, max_products, seed)
    tables = [begun.points]
    for rows in walker.walk(begun.alpha, begun.beta, _coordinates(begun.points)):
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
    return replace(begun, points=_ordered(np.concatenate(tables)), attributes=attributes, finished=True)


class _Walker:
    """Traverses the grid row by row, from the middle row outwards."""

    def __init__(
        self,
        objective: Objective,
        plane: Plane,
        tolerance: float,
        quick: bool,
        max_products: int,
        seed: int,
    ) -> None:
        self._objective, self._plane, self._tolerance, self._quick = objective, plane, tolerance, quick
        self._max, self._seed = max_products, seed
        if objective.size < 2:
            raise LandscapeError("a convexity map takes two eigenvalues, and there is one parameter that moves")
        self._operator(0.0, 0.0).mode  # noqa: B018  # raises if there is none

    def walk(self, alpha: Floats, beta: Floats, finished: set[tuple[float, float]]) -> Iterator[Points]:
        """Yield the table of each point that is not finished."""
        middle = int(np.argmin(np.abs(alpha)))
        for b in sorted(beta.tolist(), key=abs):
            missing = [i for i, a in enumerate(alpha.tolist()) if (a, b) not in finished]
            if not self._quick:
                yield from (self._at(float(alpha[i]), b, None)[0] for i in missing)
            elif missing:
                yield from self._row(alpha, b, middle, missing)

    def _row(self, alpha: Floats, b: float, middle: int, missing: list[int]) -> Iterator[Points]:
        """Yield the tables of a row's missing points, each warm-started from the previous point."""
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
        operator = self._operator(a, b)
        ritz = RayleighRitz(
            operator,
            operator.size,
            EigenRequest(top=1, bottom=1, tolerance=self._tolerance, floor=1.0, seed=derived_seed(self._seed, a, b)),
            device=self._objective.device,
        )
        vector = ritz.random()
        if start is not None:
            vector = vector + math.sqrt(operator.size) * start.to(vector)
        try:
            ritz.add(vector[None])
            ritz.run(self._max if start is None else min(QUICK_PRODUCTS, self._max))
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


def _coordinates(table: Points) -> set[tuple[float, float]]:
    return set(zip(table["alpha"].tolist(), table["beta"].tolist(), strict=True))


def _ordered(table: Points) -> Points:
    """Return the rows sorted by β, α and metric."""
    ordered: Points = table[np.lexsort([table["metric"], table["alpha"], table["beta"]])]
    return ordered
