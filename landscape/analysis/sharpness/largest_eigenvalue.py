"""The largest eigenvalue of the Hessian as a measure of sharpness."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

from landscape.analysis.curvature.eigenvalues import eigenpairs
from landscape.analysis.linalg.eigenpairs import EigenRequest
from landscape.analysis.objective.objective import Objective
from landscape.analysis.sharpness.protocol import Cost, OnStep
from landscape.results import MeasureResult, Result, SpectrumResult

_USUAL_PRODUCTS = 20.0  # for an estimate of the time


@dataclass(frozen=True)
class LargestEigenvalue:
    """λ_max of the Hessian of the mean loss, with a bound on its distance from an exact eigenvalue.

    >>> import torch, landscape
    >>> objective = landscape.Objective(torch.nn.Linear(2, 1), "mse", torch.eye(2), torch.ones(2, 1), device="cpu")
    >>> landscape.sharpness(objective, [landscape.LargestEigenvalue()]).measures[0].label
    'λ_max of the Hessian'

    Args:
        tolerance: of the bound, relative.
    """

    name: ClassVar[str] = "lambda_max"
    tolerance: float = 1e-3

    @property
    def label(self) -> str:
        """For people."""
        return "λ_max of the Hessian"

    def parameters(self, seed: int) -> dict[str, Any]:
        """Return the parameters that repeat it, JSON-able."""
        return {"operator": "hessian", "tolerance": self.tolerance, "seed": seed}

    def cost(self, examples: int, radii: int = 1) -> Cost:
        """Return the estimated number of passes and products."""
        return Cost(products=_USUAL_PRODUCTS * examples)

    def measure(self, objective: Objective, *, seed: int = 0, on_step: OnStep | None = None) -> MeasureResult:
        """Return λ_max with its bound."""

        def on_product(*_: object) -> None:
            if on_step is not None:
                on_step(self.name)

        request = EigenRequest(1, tolerance=self.tolerance, seed=seed)
        spectrum, _ = eigenpairs(objective, request, on_product=on_product)
        return self.of_spectrum(spectrum, seed)

    def from_stored(self, result: Result, seed: int) -> MeasureResult | None:
        """Return λ_max of a converged Hessian spectrum of one sample, within the tolerance; None for other results."""
        if not isinstance(result, SpectrumResult):
            return None
        settings = result.attributes.get("settings", {})
        fits = (
            settings.get("operator") == "hessian"
            and settings.get("top", 0) > 0
            and "subsets" not in settings  # else it is a mean over several samples
            and settings.get("tolerance", math.inf) <= self.tolerance
        )
        return self.of_spectrum(result, seed) if fits and result.converged[0] else None

    def of_spectrum(self, spectrum: SpectrumResult, seed: int) -> MeasureResult:
        """Return the measure that a spectrum with the Hessian's top end holds."""
        bound, converged = float(spectrum.bounds[0]), bool(spectrum.converged[0])
        return MeasureResult(
            name=self.name,
            label=self.label,
            value=float(spectrum.eigenvalues[0]),
            stderr=math.nan,
            meaning=f"an eigenvalue lies within ± {bound:.2g} of it{'' if converged else '; NOT CONVERGED'}",
            evaluations=spectrum.products,
            parameters=self.parameters(seed),
            diagnostics={"bound": bound, "residual": float(spectrum.residuals[0]), "converged": converged},
        )
