"""Auto-PGD: the largest value of a function in a ball, by projected gradient with steps that halve themselves.

Croce & Hein 2020 (arXiv:2003.01690, Algorithm 1), as Andriushchenko et al. 2023 use it for sharpness.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from landscape.errors import LandscapeError

STEPS = 20
INERTIA = 0.75  # α: weight of the new iterate; 1 − α is that of the last move
ENOUGH = 0.75  # share of steps since the last checkpoint that must have raised the value, else the step halves


@dataclass(frozen=True)
class BallMaximum:
    """The largest value found in a ball: a lower bound of the maximum."""

    value: float
    point: Tensor  # (n,)
    evaluations: int  # of value and gradient together


def checkpoints(steps: int) -> list[int]:
    """Return the iterations w₁ < w₂ < … at which the step size is looked at: ⌈p_j N⌉, p₀ = 0, p₁ = 0.22, and so on."""
    percent = [0, 22]
    while percent[-1] <= 100:
        percent.append(percent[-1] + max(percent[-1] - percent[-2] - 3, 6))
    return sorted({-(-share * steps // 100) for share in percent[1:] if share <= 100})


def auto_pgd(
    function: Callable[[Tensor], tuple[float, Tensor]],
    start: Tensor,
    radius: float,
    *,
    p: float = math.inf,
    steps: int = STEPS,
    on_evaluation: Callable[[], None] | None = None,
) -> BallMaximum:
    """Return the largest value of a function over ‖u‖_p ≤ radius that Auto-PGD finds from a point of the ball.

    The first step is twice the radius. A value that is not finite ends the search and is its result: a loss that
    diverges is a maximum.

    Args:
        function: u → (value, gradient), (n,).
        start: u₀, (n,).
        radius: of the ball.
        p: 2 or inf.
        steps: N.
        on_evaluation: called after each evaluation.

    Raises:
        LandscapeError: for another p.
    """
    if p not in (2, math.inf):
        raise LandscapeError(f"got p = {p:g} for a worst case; expected 2 or inf")
    looks = checkpoints(steps)
    eta = 2 * radius
    x = previous = start
    value, gradient = function(x)
    best, best_x, best_gradient = value, x, gradient
    rises, looked, looked_eta, looked_best = 0, 0, eta, value  # since the last checkpoint
    evaluations = 1
    if on_evaluation is not None:
        on_evaluation()
    for k in range(steps):
        if not math.isfinite(best) or not gradient.any():
            break
        z = _project(x + eta * _direction(gradient, p), radius, p)
        new = z if k == 0 else _project(x + INERTIA * (z - x) + (1 - INERTIA) * (x - previous), radius, p)
        new_value, new_gradient = function(new)
        evaluations += 1
        if on_evaluation is not None:
            on_evaluation()
        best_before = best
        if new_value > best or math.isnan(new_value):
            best, best_x, best_gradient = new_value, new, new_gradient
        if k in looks:
            stuck = eta == looked_eta and best_before == looked_best
            too_few = rises < ENOUGH * (k - looked)
            rises, looked, looked_eta, looked_best = 0, k, eta, best_before
            if stuck or too_few:
                eta /= 2
                new, new_value, new_gradient = best_x, best, best_gradient
        rises += new_value > value
        previous, x, value, gradient = x, new, new_value, new_gradient
    return BallMaximum(best, best_x, evaluations)


def _direction(gradient: Tensor, p: float) -> Tensor:
    """Return the direction of steepest ascent, of p-norm 1."""
    if math.isinf(p):
        return gradient.sign()
    scaled = gradient / gradient.abs().max()  # so that no square underflows
    return scaled / float(torch.linalg.vector_norm(scaled))


def _project(u: Tensor, radius: float, p: float) -> Tensor:
    """Return the nearest point of the ball."""
    if math.isinf(p):
        return u.clamp(-radius, radius)
    length = float(torch.linalg.vector_norm(u))
    return u * (radius / length) if length > radius else u
