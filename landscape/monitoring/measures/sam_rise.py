"""SAM's sharpness: the rise of the loss after one ascent step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from landscape.analysis.objective.weights import displaced
from landscape.analysis.sharpness.solvers.ascent_step import sam_perturbation
from landscape.monitoring.measures.protocol import Probe, Reading
from landscape.stats.mean import mean_of


@dataclass(frozen=True)
class SamRise:
    """L(w + ε̂) − L(w), ε̂ = ρ g / ‖g‖₂ (Foret et al. 2021, arXiv:2010.01412, eq. 2): one gradient and two losses.

    >>> SamRise(rho=0.1).parameters()
    {'rho': 0.1}

    Args:
        rho: radius ρ of the ascent step.
    """

    rho: float = 0.05

    name: ClassVar[str] = "sam"
    needs_previous: ClassVar[bool] = False

    def parameters(self) -> Mapping[str, Any]:
        """Return ρ."""
        return {"rho": self.rho}

    def read(self, probe: Probe, memory: dict[str, Any]) -> Sequence[Reading]:
        """Return the rise of the loss, with its standard error over the examples."""
        objective, (_, gradient) = probe.objective, probe.gradient
        ascent = sam_perturbation(gradient, self.rho)
        rises = objective.per_example(displaced(objective.origin, [(1.0, ascent)])) - objective.per_example()
        rise = mean_of(rises, per_example=objective.has_per_example_loss)
        return [Reading("sam_sharpness", rise.value, rise.stderr, "standard error")]
