"""Maximization of a function in a box by L-BFGS-B from several starts, as in Keskar's ε-sharpness."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy.optimize
from numpy.typing import NDArray

from landscape.results import Floats
from landscape.seeding import numbered_generator

ITERATIONS = 10  # of L-BFGS-B, as in the paper


@dataclass(frozen=True)
class BoxMaximum:
    """The largest value found in a box: a lower bound of the maximum."""

    value: float
    base: float  # the value at the centre
    evaluations: int  # of value and gradient together
    starts: tuple[float, ...]  # the best value from each starting point
    point: Floats  # (p,) where the largest value was found


def box_half_widths(x: NDArray[np.floating], epsilon: float) -> Floats:
    """Return the half-widths of C_ε, ε (|x_i| + 1); x are the weights, or A⁺ times them on a manifold."""
    widths: Floats = epsilon * (np.abs(x).astype(np.float64) + 1)
    return widths


def maximize_in_box(
    function: Callable[[Floats], tuple[float, Floats]],
    half_widths: Floats,
    *,
    restarts: int = 1,
    iterations: int = ITERATIONS,
    seed: int = 0,
    on_evaluation: Callable[[], None] | None = None,
) -> BoxMaximum:
    """Return the largest value of a function of z over |z_i| ≤ r_i that L-BFGS-B finds from several starts.

    The first start is the vertex sign(gradient), the next `restarts` are random interior points, each from its own
    seed. Maximizing a locally convex function, L-BFGS-B finds no positive curvature to learn from and behaves as
    projected gradient ascent, so the scale decides: it works in u = z / r ∈ [−1, 1]^p on the function scaled so that
    a unit step crosses the box, with ftol and gtol off (their defaults stop at once at a good minimum).

    Args:
        function: z → (value, gradient), (p,).
        half_widths: r, (p,).
        restarts: random interior starts besides the vertex.
        iterations: of L-BFGS-B for each start.
        seed: restart i draws from (seed, i), whatever the number of restarts.
        on_evaluation: called after each evaluation.
    """
    best, evaluations, scale = -np.inf, 0, 0.0
    highest, point = -np.inf, np.zeros_like(half_widths)

    def evaluate(u: Floats) -> tuple[float, Floats]:
        nonlocal best, evaluations, highest, point
        value, gradient = function(u * half_widths)
        evaluations += 1
        if on_evaluation is not None:
            on_evaluation()
        if value > best or np.isnan(value):  # a diverging loss is a maximum, and is reported as it is
            best = value
        if value > highest or (np.isnan(value) and not np.isnan(highest)):
            highest, point = value, u * half_widths
        return value, gradient * half_widths

    base, gradient = evaluate(np.zeros_like(half_widths))
    centre = float(np.abs(gradient).mean())

    def scaled(u: Floats) -> tuple[float, Floats]:
        nonlocal scale
        value, slope = evaluate(u)
        if scale == 0.0:  # by the slope at the centre; where that all but vanishes, by the one this start begins with
            size = max(centre, 1e-6 * float(np.abs(slope).mean()))
            scale = 2.0 / size if np.isfinite(size) and size > 0 else 1.0
        return -scale * (value - base), -scale * slope

    starts = []
    for start in range(restarts + 1):
        best, scale = -np.inf, 0.0
        u = np.sign(gradient) if start == 0 else _interior(seed, start, len(half_widths))
        scipy.optimize.minimize(
            scaled,
            u,
            jac=True,
            method="L-BFGS-B",
            bounds=scipy.optimize.Bounds(-1.0, 1.0),
            options={"maxiter": iterations, "ftol": 0.0, "gtol": 0.0},
        )
        starts.append(float(best))
    return BoxMaximum(float(highest), float(base), evaluations, tuple(starts), point)


def _interior(seed: int, start: int, size: int) -> Floats:
    return numbered_generator((seed << 32) + start).uniform(-1.0, 1.0, size)
