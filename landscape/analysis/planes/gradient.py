"""The gradient's direction, and the perturbation that SAM takes."""

from __future__ import annotations

import math

from landscape.analysis.objective.objective import Objective
from landscape.analysis.objective.weights import Weights, norm
from landscape.analysis.operators.reliability import warn_of_unreliable_derivatives
from landscape.analysis.planes.along import EUCLIDEAN_UNIT, Direction
from landscape.errors import LandscapeError


def gradient_direction(objective: Objective, *, split: str | None = None) -> Direction:
    """Return the direction g/‖g‖ of steepest ascent of the mean loss on a split, the first by default.

    >>> import torch, landscape
    >>> objective = landscape.Objective(torch.nn.Linear(2, 1), "mse", torch.eye(2), torch.ones(2, 1), device="cpu")
    >>> direction = landscape.gradient_direction(objective)
    >>> round(sum(float(g.square().sum()) for g in direction.vector.values()), 5)
    1.0

    Raises:
        LandscapeError: if the gradient is zero or not finite.
    """
    gradient, length = _gradient(objective, split)
    provenance = {
        "kind": "gradient",
        "split": split or objective.splits[0],
        "gradient_norm": length,
        "unit": EUCLIDEAN_UNIT,
    }
    return Direction("gradient", {name: g / length for name, g in gradient.items()}, provenance)


def sam_direction(objective: Objective, *, rho: float = 0.05, p: float = 2, split: str | None = None) -> Direction:
    """Return SAM's perturbation ε̂ as a direction: at α = 1 is w + ε̂ (Foret et al. 2021, arXiv:2010.01412, eq. 2).

    ε̂ is ρ g/‖g‖ for p = 2 and ρ sign(g) for p = ∞; g is the gradient of the mean loss on a split, the first by default.

    >>> import math, torch, landscape
    >>> objective = landscape.Objective(torch.nn.Linear(2, 1), "mse", torch.eye(2), torch.ones(2, 1), device="cpu")
    >>> direction = landscape.sam_direction(objective, rho=0.5, p=math.inf)
    >>> direction.vector["weight"].abs().tolist()
    [[0.5, 0.5]]

    Raises:
        LandscapeError: for another p, a ρ that is not positive, or a gradient that is zero or not finite.
    """
    if p not in (2, math.inf):
        raise LandscapeError(f"got p = {p} for SAM's perturbation; expected 2 or inf")
    if not 0 < rho < math.inf:
        raise LandscapeError(f"got rho = {rho} for SAM's perturbation; expected a positive number")
    gradient, length = _gradient(objective, split)
    step = {name: rho * g / length if p == 2 else rho * g.sign() for name, g in gradient.items()}
    provenance = {
        "kind": "gradient",
        "split": split or objective.splits[0],
        "gradient_norm": length,
        "rho": rho,
        "p": "inf" if p == math.inf else 2,
        "unit": "SAM's perturbation",
    }
    return Direction("sam", step, provenance)


def _gradient(objective: Objective, split: str | None) -> tuple[Weights, float]:
    warn_of_unreliable_derivatives(objective, split, second=False)
    gradient = objective.gradient(split=split)[1]
    length = norm(gradient)
    if not 0 < length < math.inf:
        raise LandscapeError(f"the gradient's norm is {length} at these weights: it has no direction; choose another")
    return gradient, length
