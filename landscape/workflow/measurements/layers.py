"""The curvature of each layer as a measurement."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from landscape.analysis.curvature.layers import layer_parameters, layers
from landscape.analysis.objective.objective import Objective
from landscape.execution import count_workers
from landscape.results import LayersResult, with_attributes
from landscape.workflow.measurement import Keep
from landscape.workflow.measurements.curvature import CurvatureMeasurement, product_cost


@dataclass(frozen=True)
class Layers(CurvatureMeasurement[LayersResult]):
    """The largest eigenvalue and the trace of each layer's own diagonal block.

    >>> import landscape
    >>> landscape.Layers(operator="ggn").name
    'layers-ggn'

    Args:
        tolerance: bound on the error of each eigenvalue, relative.
        max_products: matrix-vector products per layer after which an eigenvalue is flagged as not converged.
        trace_products: products for each layer's trace; of smaller layers it is exact.
    """

    kind = LayersResult

    tolerance: float = 1e-3
    max_products: int = 100
    trace_products: int = 18

    @property
    def name(self) -> str:
        """`layers`, with the operator's name unless that is the Hessian."""
        return "layers" if self.operator == "hessian" else f"layers-{self.operator}"

    def settings(self) -> dict[str, Any]:
        """Return operator, BatchNorm mode, tolerance and numbers of products."""
        return {
            **super().settings(),
            "tolerance": self.tolerance,
            "max_products": self.max_products,
            "trace_products": self.trace_products,
        }

    def cost(self, objective: Objective, stored: LayersResult | None) -> str:
        """Return the number of layers, and of products and their time."""
        count = len(layer_parameters(objective.origin))
        products = count * (self.max_products + self.trace_products)
        workers = count_workers(self.workers)
        return f"{count} layers, {product_cost(objective, self.operator, products, at_most=True, workers=workers)}"

    def run(self, objective: Objective, stored: LayersResult | None, keep: Keep) -> LayersResult:
        """Return the curvature of the layers."""
        count = len(layer_parameters(objective.origin))
        with self.sharing(objective) as shared:
            result = layers(
                objective,
                operator=self.operator,
                tolerance=self.tolerance,
                max_products=self.max_products,
                trace_products=self.trace_products,
                seed=self.seed,
                on_product=lambda name, done: keep.advance(1, f"{name}, {done} of {count} layers done"),
            )
        return with_attributes(result, **shared)
