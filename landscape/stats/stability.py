"""Stability thresholds: the curvature above which an optimizer of a given step size diverges on a quadratic."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from landscape.results import Floats

Method: TypeAlias = Literal["gradient descent", "nesterov", "adam"]


@dataclass(frozen=True)
class StepRule:
    """The step of an optimizer, as far as its stability threshold depends on it.

    With step size η and momentum β the threshold of the largest Hessian eigenvalue is (2 + 2β)/η for gradient descent
    with heavy-ball momentum, and (2 + 2β)/((1 + 2β) η) with Nesterov's (Cohen et al. 2021, arXiv:2103.00065, eq. 1 and
    appendix B); of the largest eigenvalue of Adam's preconditioned Hessian it is (2 + 2β₁)/((1 − β₁) η), which is 38/η
    at β₁ = 0.9 (Cohen et al. 2022, arXiv:2207.14484, eq. 2). Weight decay is left out.

    >>> StepRule().edge(0.02), StepRule("nesterov", 0.9).edge(0.1), round(StepRule("adam", 0.9).edge(0.001))
    (100.0, 13.571428571428571, 38000)

    Attributes:
        method: "gradient descent", "nesterov" or "adam".
        momentum: β of gradient descent, β₁ of Adam.
    """

    method: Method = "gradient descent"
    momentum: float = 0.0

    @property
    def is_preconditioned(self) -> bool:
        """True if the threshold is one of the preconditioned Hessian's largest eigenvalue."""
        return self.method == "adam"

    @property
    def formula(self) -> str:
        """The threshold as a formula, such as 2/η."""
        return f"{self._factor():.4g}/η"

    def attributes(self) -> dict[str, Any]:
        """Return method, momentum and the threshold's formula, JSON-able."""
        return {"method": self.method, "momentum": self.momentum, "formula": self.formula}

    def edge(self, step_size: Any) -> Any:
        """Return the stability threshold at a step size, a number or an array; inf for a step size of 0."""
        if isinstance(step_size, int | float):
            return self._factor() / step_size if step_size else float("inf")
        edges: Floats = self._factor() / step_size
        return edges

    def _factor(self) -> float:
        beta = self.momentum
        divisor = {"gradient descent": 1.0, "nesterov": 1 + 2 * beta, "adam": 1 - beta}[self.method]
        return (2 + 2 * beta) / divisor
