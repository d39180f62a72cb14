"""Convexity maps: |λ_min / λ_max| of the Hessian over a plane (Li et al. 2018, arXiv:1712.09913, section 6)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from torch import Tensor

from landscape.analysis.axes import ascending, axis
from landscape.analysis.measuring import Points
from landscape.analysis.objective import Objective
from landscape.analysis.planes import Plane, random_plane
from landscape.analysis.search import Search
from landscape.analysis.second_order import Account
from landscape.errors import LandscapeError
from landscape.results import Floats, Surface, points_table

METRICS = ("convexity", "lambda_min", "lambda_max")
TOP_KEPT, BOTTOM_KEPT = 2, 4  # Ritz vectors a point hands on to its neighbour; the bottom ones lie closer together


def convexity(
    objective: Objective,
    plane: Plane | None = None,
    *,
    points: int | tuple[int, int] = 21,
    span: float = 1.0,
    alpha: Floats | None = None,
    beta: Floats | None = None,
    tolerance: float = 0.01,
    max_products: int = 100,
    seed: int = 0,
    split: str | None = None,
    done: Points | None = None,
    on_point: Callable[[Points], None] | None = None,
    on_product: Callable[[int, Tensor], None] | None = None,
) -> Surface:
    """Return |λ_min / λ_max| and both eigenvalues of the Hessian on a grid of a plane.

    BatchNorm's statistics are held fixed at each point. Each row is walked from its middle outwards, and every point
    begins with the eigenvectors of the one before, so that it takes a few products; the middles begin with those of the
    plane's origin. A row that was stopped within is walked again from its middle: the values are the same to the bit.

    Args:
        objective: whose loss.
        plane: where; by default the plane of two filter-normalized random directions from `seed`.
        points: (x, y) counts, odd; one number for both.
        span: the axes run from −span to span.
        alpha: coordinates along the first direction instead of `points` and `span`; (X,) ascending.
        beta: the same along the second; (Y,).
        tolerance: on the bounds of both eigenvalues, relative to the larger of them. At the origin they are searched
            for without a start, and for what was missed; elsewhere the bound (in the column `stderr`) takes the
            neighbour's space as complete.
        max_products: at each point; what has not converged by then has a larger bound.
        seed: of the random directions and vectors.
        split: which split's loss; the first by default.
        done: points of an earlier run with the same settings, which are not given to `on_point` again.
        on_point: called with the rows of each point as it is finished.
        on_product: called after each product with their number at this point and the bounds relative to the tolerance.

    Raises:
        LandscapeError: for unusable axes, a line instead of a plane, or a loss that has no derivatives.
    """
    plane = plane or random_plane(objective, seed=seed)
    if plane.is_line:
        raise LandscapeError("a convexity map is of a plane, and this is a line; give two directions")
    counts = (points, points) if isinstance(points, int) else points
    alpha = axis(counts[0], span) if alpha is None else ascending(alpha)
    beta = axis(counts[1], span) if beta is None else ascending(beta)
    account = Account(objective, "hessian", split, seed)
    walker = _Walker(objective, plane, tolerance, max_products, seed, split, on_product)
    finished = set() if done is None else {(float(row["alpha"]), float(row["beta"])) for row in done}
    tables = [] if done is None else [done]
    for rows in walker.walk(alpha, beta, finished):
        tables.append(rows)
        if on_point is not None:
            on_point(rows)
    attributes: dict[str, Any] = {
        **account.attributes(),
        "directions": dict(plane.recipe),
        "tolerance": tolerance,
        "max_products": max_products,
        "products": walker.products,
    }
    table = np.concatenate(tables) if tables else points_table([])
    return Surface(alpha, (split or objective.splits[0],), METRICS, table, attributes, beta)


class _Walker:
    """Goes over the grid, each point's eigenvectors beginning with the one's before."""

    def __init__(
        self,
        objective: Objective,
        plane: Plane,
        tolerance: float,
        max_products: int,
        seed: int,
        split: str | None,
        on_product: Callable[[int, Tensor], None] | None,
    ) -> None:
        self._objective, self._plane, self._tolerance, self._max = objective, plane, tolerance, max_products
        self._seed, self._split, self._on_product = seed, split, on_product
        self.products = 0

    def walk(self, alpha: Floats, beta: Floats, finished: set[tuple[float, float]]) -> Iterator[Points]:
        """Yield the table of each point that is not finished."""
        middle, origin = int(np.argmin(np.abs(alpha))), None
        for b in sorted(beta.tolist(), key=abs):
            todo = [i for i, a in enumerate(alpha.tolist()) if (a, b) not in finished]
            if not todo:
                continue
            if origin is None:
                origin = self._at(0.0, 0.0, None)
            at_middle = (float(alpha[middle]), b)
            first = origin if at_middle == (0.0, 0.0) else self._at(*at_middle, origin[1])
            if middle in todo:
                yield first[0]
            for side in (range(middle + 1, max(todo) + 1), range(middle - 1, min(todo) - 1, -1)):
                start = first[1]
                for i in side:
                    rows, start = self._at(float(alpha[i]), b, start)
                    if i in todo:
                        yield rows

    def _at(self, a: float, b: float, start: Tensor | None) -> tuple[Points, Tensor | None]:
        """Return a point's rows, and the vectors to begin its neighbour with."""
        product = self._objective.product(
            split=self._split, weights=self._plane.at(a, b), buffers=self._plane.buffers_at(a, b)
        )
        search = Search(
            product,
            product.size,
            top=1,
            bottom=1,
            tolerance=self._tolerance,
            floor=1.0,
            seed=self._seed,
            device=self._objective.device,
            on_product=self._on_product,
        )
        try:
            search.begin(start)
            search.run(self._max, check=start is None)
        except LandscapeError:  # the loss diverges here
            return _rows(a, b, [math.nan] * 2, [math.nan] * 2, product.examples), start
        finally:
            self.products += product.count
        found = search.result(checked=start is None)
        count = search.basis.count
        kept = sorted({*range(min(TOP_KEPT, count)), *range(max(count - BOTTOM_KEPT, 0), count)})
        return _rows(a, b, found.values.tolist(), found.bounds.tolist(), product.examples), search.basis.vectors(kept).T


def _rows(a: float, b: float, values: list[float], bounds: list[float], examples: int) -> Points:
    (largest, smallest), (above, below) = values, bounds
    size = abs(largest)
    ratio = abs(smallest) / size if size > 0 else math.nan
    error = (below + ratio * above) / size if size > 0 else math.nan
    columns = zip(METRICS, (ratio, smallest, largest), (error, below, above), strict=True)
    return points_table([(a, b, 0, m, value, bound, examples, 0) for m, (_, value, bound) in enumerate(columns)])
