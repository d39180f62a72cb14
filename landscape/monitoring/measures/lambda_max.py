"""The largest Hessian eigenvalue, from the last probe's eigenvector on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from landscape.analysis.linalg.lanczos import EigenRequest, extreme_eigenpairs
from landscape.analysis.operators.operator import CurvatureOperator
from landscape.monitoring.measures.protocol import Probe, Reading


@dataclass(frozen=True)
class LambdaMax:
    """λ_max of the Hessian, warm-started: products grow a basis of the last eigenvector and a random vector.

    The random vector finds an eigenvalue that has overtaken the tracked one.

    >>> LambdaMax(tolerance=0.1).parameters()
    {'tolerance': 0.1, 'max_products': 30}

    Args:
        tolerance: of the bound, relative.
        max_products: Hessian-vector products of a probe at most.
    """

    tolerance: float = 0.02
    max_products: int = 30

    name: ClassVar[str] = "lambda_max"
    needs_previous: ClassVar[bool] = False

    def parameters(self) -> Mapping[str, Any]:
        """Return tolerance and number of products."""
        return {"tolerance": self.tolerance, "max_products": self.max_products}

    def read(self, probe: Probe, memory: dict[str, Any]) -> Sequence[Reading]:
        """Return λ_max with its residual, within which an exact eigenvalue lies, and the number of products."""
        operator = CurvatureOperator(probe.objective, "hessian")
        generator = torch.Generator().manual_seed(probe.seed + probe.step)
        start = torch.randn(operator.size, 1, generator=generator, dtype=torch.float64)
        if "vector" in memory:
            start = torch.cat([memory["vector"].cpu().double()[:, None], start / start.norm()], dim=1)
        request = EigenRequest(top=1, tolerance=self.tolerance, max_products=self.max_products, seed=probe.seed)
        pairs = extreme_eigenpairs(
            operator, operator.size, request, device=probe.objective.device, start=start, check=False
        )
        memory["vector"] = pairs.vectors[:, 0]
        return [
            Reading("lambda_max", float(pairs.values[0]), float(pairs.residuals[0]), "bound"),
            Reading("products", float(pairs.products)),
        ]
