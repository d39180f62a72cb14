"""Convexity maps: |λ_min / λ_max| of the Hessian over a plane (Li et al. 2018, arXiv:1712.09913, section 6)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from landscape.analysis.objective.objective import Objective
from landscape.analysis.operators.metadata import MeasurementMetadata
from landscape.analysis.planes import Plane, random_plane
from landscape.analysis.surfaces.convexity_task import METRICS, ConvexitySettings, ConvexityTask, points_of
from landscape.analysis.surfaces.grids.axes import Axes
from landscape.analysis.surfaces.grids.grid import Points
from landscape.errors import LandscapeError
from landscape.execution import Workers, use
from landscape.results import ConvexityResult, Floats, points_table

BOUND = (
    "distance to the extreme eigenvalue, wherever it is (probabilistic Lanczos bound, exceeded with probability 2e-3)"
)


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
    settings = ConvexitySettings(tolerance, quick, max_products, seed)
    return measure_convexity(objective, plane, begun, settings)


def empty_convexity(objective: Objective, alpha: Floats, beta: Floats) -> ConvexityResult:
    """Return a map of the first split without points."""
    table = points_table([], ConvexityResult.point)
    return ConvexityResult(alpha, objective.splits[:1], METRICS, table, {}, beta)


def measure_convexity(
    objective: Objective,
    plane: Plane,
    begun: ConvexityResult,
    settings: ConvexitySettings,
    *,
    workers: int | Workers = 1,
    on_point: Callable[[Points], None] | None = None,
) -> ConvexityResult:
    """Measure the points that a map lacks.

    Args:
        objective: loss and weights.
        plane: through the objective's weights.
        begun: result of `empty_convexity`, perhaps with points of an earlier run with the same settings.
        settings: options of `convexity`.
        workers: processes that share the points, of a quick map its rows, or the result of `landscape.execution.open`.
        on_point: called with the rows of each point as it is finished.

    Raises:
        LandscapeError: for an unusable tolerance, fewer than two parameters, or a loss without second derivatives.
    """
    if not 0 < settings.tolerance < 1:
        raise LandscapeError(f"got a tolerance of {settings.tolerance}; expected a relative error such as 0.05")
    metadata = MeasurementMetadata(objective, "hessian", begun.splits[0], settings.seed)
    task = ConvexityTask(objective, plane, begun.alpha, settings, torch.get_num_threads())
    finished = set(zip(begun.points["alpha"].tolist(), begun.points["beta"].tolist(), strict=True))
    tables = [begun.points]
    with use(workers) as pool:
        requests = task.requests(begun.beta, finished)
        results = task.walker.points(requests) if pool.is_inline else points_of(pool.map(task, requests))
        for rows in results:
            tables.append(rows)
            if on_point is not None:
                on_point(rows)
    attributes: dict[str, Any] = {
        **metadata.attributes(),
        "directions": dict(plane.provenance),
        "tolerance": settings.tolerance,
        "quick": settings.quick,
        "max_products": settings.max_products,
        "bound": BOUND,
        **({"marks": list(plane.marks)} if plane.marks else {}),
    }
    return replace(begun, points=_ordered(np.concatenate(tables)), attributes=attributes, finished=True)


def _ordered(table: Points) -> Points:
    """Return the rows sorted by β, α and metric."""
    ordered: Points = table[np.lexsort([table["metric"], table["alpha"], table["beta"]])]
    return ordered
