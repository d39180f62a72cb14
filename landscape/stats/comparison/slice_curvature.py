"""Curvature that a plane sees at its origin, from second differences of the loss on its grid."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from landscape.results import Floats, SurfaceResult
from landscape.stats.comparison.difference import Estimate


def axis_curvatures(surface: SurfaceResult) -> list[Estimate]:
    """Return dᵀHd / ‖d‖² of both axes d at the origin, of the first split, with an error.

    The value is (L(h) + L(−h) − 2 L(0)) / (h ‖d‖)² of the nearest grid points ±h. Its error has two parts, added in
    quadrature: the h² term, from the same quotient at the next points, and the recorded relative error of the values
    (reduced precision, an estimate within a tolerance), as if it were independent at the three points.

    Args:
        surface: with fixed BatchNorm statistics, else its curvature is not the Hessian's.

    Returns:
        One estimate for α and one for β; empty without the norms of the directions, or if an axis lacks two measured
        points on each side of the origin at equal distances.

    >>> from landscape.results import points_table
    >>> axis = np.linspace(-0.2, 0.2, 5)
    >>> rows = [(a, b, 0, 0, 3 * a**2 + b**2, 0.0, 10, 0) for b in axis for a in axis]
    >>> attributes = {"directions": {"norms": [2.0, 1.0]}}
    >>> surface = SurfaceResult(axis, ("train",), ("loss",), points_table(rows), attributes, axis)
    >>> [round(curvature.value, 6) for curvature in axis_curvatures(surface)]
    [1.5, 2.0]
    """
    norms: Sequence[float] = (surface.attributes.get("directions") or {}).get("norms") or ()
    if len(norms) < 2 or "loss" not in surface.metrics:
        return []
    x, y = np.flatnonzero(surface.alpha == 0), np.flatnonzero(surface.beta == 0)
    if not (len(x) and len(y)):
        return []
    loss, noise = surface.grid("loss")[0], _relative_error(surface)
    curvatures = [
        _curvature(surface.alpha, loss[y[0]], float(norms[0]), noise),
        _curvature(surface.beta, loss[:, x[0]], float(norms[1]), noise),
    ]
    return curvatures if all(math.isfinite(one.value) for one in curvatures) else []


def _curvature(axis: Floats, values: Floats, norm: float, noise: float) -> Estimate:
    centre = int(np.flatnonzero(axis == 0)[0])
    if not 2 <= centre < len(axis) - 2 or norm <= 0:
        return Estimate(math.nan)
    steps, quotients = [], []
    for offset in (1, 2):
        left, right = -axis[centre - offset], axis[centre + offset]
        if not math.isclose(left, right, rel_tol=1e-6):
            return Estimate(math.nan)
        steps.append(float(right))
        rise = values[centre - offset] + values[centre + offset] - 2 * values[centre]
        quotients.append(float(rise / (right * norm) ** 2))
    near, far = steps
    truncation = (quotients[1] - quotients[0]) * near**2 / (far**2 - near**2)
    rounding = noise * float(values[centre]) * math.sqrt(6) / (near * norm) ** 2
    return Estimate(quotients[0], float(math.hypot(truncation, rounding)))


def _relative_error(surface: SurfaceResult) -> float:
    """Return the recorded relative error of a surface's values: of their precision and of a tolerance."""
    tolerance = surface.attributes.get("tolerance")
    estimated = tolerance.get("measured_95") if isinstance(tolerance, Mapping) else 0.0
    precision = surface.attributes.get("precision_error")
    return math.hypot(*(float(error) if isinstance(error, int | float) else 0.0 for error in (estimated, precision)))
