"""The largest eigenvalue of Adam's preconditioned Hessian, from the last probe's eigenvector on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from landscape.analysis.curvature.preconditioned import adam_state, preconditioned_eigenpair
from landscape.monitoring.measures.protocol import Probe, Reading


@dataclass(frozen=True)
class PreconditionedLambdaMax:
    """λ_max of P⁻¹H, P of an optimizer of Adam's family, which its edge of stability is one of (arXiv:2207.14484).

    Nothing for other optimizers. See `landscape.analysis.curvature.preconditioned.AdamState`.

    Args:
        tolerance: of the bound, relative.
        max_products: Hessian-vector products of a probe at most.
    """

    tolerance: float = 0.02
    max_products: int = 60

    name: ClassVar[str] = "preconditioned_lambda_max"
    needs_previous: ClassVar[bool] = False

    def parameters(self) -> Mapping[str, Any]:
        """Return tolerance and number of products."""
        return {"tolerance": self.tolerance, "max_products": self.max_products}

    def read(self, probe: Probe, memory: dict[str, Any]) -> Sequence[Reading]:
        """Return the eigenvalue with its bound; nothing if the optimizer has no second moments."""
        state = adam_state(probe.optimizer, dict(probe.model.named_parameters()))
        if state is None:
            return []
        pairs = preconditioned_eigenpair(
            probe.objective,
            state,
            tolerance=self.tolerance,
            max_products=self.max_products,
            seed=probe.seed,
            start=memory.get("vectors"),
        )
        memory["vectors"] = pairs.vectors
        return [Reading(self.name, float(pairs.values[0]), float(pairs.bounds[0]), "bound")]
