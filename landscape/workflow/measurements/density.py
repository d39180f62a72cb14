"""The spectral density as a measurement."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from landscape.analysis.curvature.density import density
from landscape.analysis.objective.objective import Objective
from landscape.execution import count_workers
from landscape.results import DensityResult, with_attributes
from landscape.workflow.measurement import Keep
from landscape.workflow.measurements.curvature import CurvatureMeasurement, product_cost


@dataclass(frozen=True)
class Density(CurvatureMeasurement[DensityResult]):
    """The spectral density of a curvature operator, by stochastic Lanczos quadrature.

    >>> import landscape
    >>> landscape.Density(operator="ggn", vectors=8).name
    'density-ggn'

    Args:
        vectors: number of random starting vectors; the standard error is over them.
        steps: Lanczos steps from each, one product each.
        sigma: width of the Gaussians that Ritz values are drawn with; a hundredth of the largest eigenvalue if None.
    """

    kind = DensityResult

    vectors: int = 4
    steps: int = 60
    sigma: float | None = None

    @property
    def name(self) -> str:
        """`density`, with the operator's name unless that is the Hessian."""
        return "density" if self.operator == "hessian" else f"density-{self.operator}"

    def settings(self) -> dict[str, Any]:
        """Return operator, BatchNorm mode, vectors, steps and width."""
        return {**super().settings(), "vectors": self.vectors, "steps": self.steps, "sigma": self.sigma}

    def total_steps(self, objective: Objective, stored: DensityResult | None) -> int:
        """Return the number of products."""
        return self.vectors * min(self.steps, objective.size)

    def cost(self, objective: Objective, stored: DensityResult | None) -> str:
        """Return the number of products and their time."""
        return product_cost(
            objective, self.operator, self.total_steps(objective, stored), workers=count_workers(self.workers)
        )

    def run(self, objective: Objective, stored: DensityResult | None, keep: Keep) -> DensityResult:
        """Return the density."""
        with self.sharing(objective) as shared:
            result = density(
                objective,
                operator=self.operator,
                vectors=self.vectors,
                steps=self.steps,
                sigma=self.sigma,
                seed=self.seed,
                on_product=keep.advance,
            )
        return with_attributes(result, **shared)
