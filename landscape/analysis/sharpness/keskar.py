"""Keskar et al.'s ε-sharpness, in the full space and on a random manifold (arXiv:1609.04836, Metric 2.1)."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, TypeAlias

import numpy as np
import torch

from landscape.analysis.objective.objective import Objective
from landscape.analysis.objective.weights import Weights, flatten, unflatten
from landscape.analysis.sharpness.diagnostics import Rounding
from landscape.analysis.sharpness.labels import label_of
from landscape.analysis.sharpness.protocol import Cost, OnStep
from landscape.analysis.sharpness.solvers.lbfgsb import ITERATIONS, box_half_widths, maximize_in_box
from landscape.analysis.sharpness.solvers.random_subspace import COLUMNS, RandomManifold
from landscape.errors import LandscapeError
from landscape.results import Floats, MeasureResult

Space: TypeAlias = Literal["full", "manifold"]

_USUAL_EVALUATIONS = 13.0  # of one start, for an estimate of the time


@dataclass(frozen=True)
class KeskarSharpness:
    """Keskar ε-sharpness: φ(ε, A) = 100 (max_{z ∈ C_ε} f(x + A z) − f(x)) / (1 + f(x)), in percent.

    C_ε is the box |z_i| ≤ ε (|(A⁺x)_i| + 1) (Keskar et al. 2017, arXiv:1609.04836, Metric 2.1). The value is a lower
    bound: the best of 10 iterations of L-BFGS-B from several starts.

    >>> import torch, landscape
    >>> objective = landscape.Objective(torch.nn.Linear(2, 1), "mse", torch.eye(2), torch.ones(2, 1), device="cpu")
    >>> landscape.sharpness(objective, [landscape.KeskarSharpness(epsilon=5e-4)]).measures[0].label
    'Keskar ε-sharpness, ε = 0.0005'

    Args:
        epsilon: size of the box.
        space: "full", A = I, or "manifold", an n × `columns` matrix A of N(0, 1) entries.
        restarts: random starts besides the vertex sign(g).
        columns: dimensions of the random manifold.
    """

    name: ClassVar[str] = "keskar"
    epsilon: float = 1e-3
    space: Space = "full"
    restarts: int = 1
    columns: int = COLUMNS

    def __post_init__(self) -> None:
        if self.space not in ("full", "manifold"):
            raise LandscapeError(f"unknown space {self.space!r}; expected full or manifold")

    @property
    def label(self) -> str:
        """For people."""
        space = "random manifold" if self.space == "manifold" else ""
        return label_of("Keskar ε-sharpness", space, f"ε = {self.epsilon:g}")

    def parameters(self, seed: int) -> dict[str, Any]:
        """Return the parameters that repeat it, JSON-able."""
        columns = self.columns if self.space == "manifold" else None
        return {**dataclasses.asdict(self), "columns": columns, "iterations": ITERATIONS, "seed": seed}

    def cost(self, examples: int, radii: int = 1) -> Cost:
        """Return the estimated number of passes and products."""
        return Cost(gradients=radii * (1 + _USUAL_EVALUATIONS * (self.restarts + 1)) * examples)

    def measure(self, objective: Objective, *, seed: int = 0, on_step: OnStep | None = None) -> MeasureResult:
        """Return the largest φ over all starts."""
        step = on_step or (lambda _: None)
        space = _Full(objective) if self.space == "full" else _OnManifold(objective, self.columns, seed)

        def function(z: Floats) -> tuple[float, Floats]:
            value, gradient = objective.gradient(space.weights(z))
            return value, space.pull(flatten(gradient).cpu().double().numpy())

        maximum = maximize_in_box(
            function,
            box_half_widths(space.centre, self.epsilon),
            restarts=self.restarts,
            seed=seed,
            on_evaluation=lambda: step(self.name),
        )
        away = {name: w - objective.origin[name] for name, w in space.weights(maximum.point).items()}
        return MeasureResult(
            name=self.name,
            label=self.label,
            value=_percent(maximum.value, maximum.base),
            stderr=math.nan,
            meaning="percent; lower bound of the maximum over the box, best of the starts",
            evaluations=maximum.evaluations,
            parameters=self.parameters(seed),
            diagnostics={
                "loss": maximum.base,
                "starts": [_percent(value, maximum.base) for value in maximum.starts],
                "rounding": 100 * Rounding(objective).error(away) / (1 + maximum.base),
            },
        )


def _percent(value: float, base: float) -> float:
    """Return φ = 100 · (max f − f) / (1 + f)."""
    return 100 * (value - base) / (1 + base)


class _Full:
    """A = I."""

    def __init__(self, objective: Objective) -> None:
        self._x, self._origin = flatten(objective.origin), objective.origin
        self.centre: Floats = self._x.cpu().double().numpy()  # A⁺x

    def weights(self, z: Floats) -> Weights:
        """Return x + A z."""
        return unflatten(self._x + torch.from_numpy(z).to(self._x), self._origin)

    def pull(self, gradient: Floats) -> Floats:
        """Return Aᵀ g."""
        return gradient


class _OnManifold(_Full):
    """A is a random manifold's."""

    def __init__(self, objective: Objective, columns: int, seed: int) -> None:
        super().__init__(objective)
        self._manifold = RandomManifold(objective.size, columns, seed=seed)
        self.centre = self._manifold.pseudo_inverse_times(self.centre)

    def weights(self, z: Floats) -> Weights:
        return super().weights(self._manifold.times(np.asarray(z)))

    def pull(self, gradient: Floats) -> Floats:
        return self._manifold.transposed_times(gradient)
