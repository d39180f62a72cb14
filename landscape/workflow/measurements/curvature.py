"""Options and costs that all measurements of curvature share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from landscape.analysis.objective.model.batchnorm import BatchNormMode
from landscape.analysis.objective.objective import Objective
from landscape.analysis.operators.operator import CurvatureOperator
from landscape.stats.number_format import duration
from landscape.workflow.measurement import Measurement, R, Source

OperatorName: TypeAlias = Literal["hessian", "ggn", "fisher"]


@dataclass(frozen=True)
class CurvatureMeasurement(Measurement[R]):
    """A measurement of the curvature of the first split's mean loss.

    Args:
        operator: "hessian"; "ggn", the generalized Gauss-Newton matrix; or "fisher", the empirical Fisher matrix.
        batchnorm: mode of the BatchNorm statistics, "fixed" or "recalibrated".
        seed: of the random vectors.
    """

    operator: OperatorName = "hessian"
    batchnorm: BatchNormMode = "fixed"
    seed: int = 0

    def settings(self) -> dict[str, Any]:
        """Return operator, BatchNorm mode and seed."""
        return {"batchnorm": self.batchnorm, "operator": self.operator, "seed": self.seed}

    def objective(self, source: Source) -> Objective:
        """Return the loss on the first split."""
        return source.objective(first_split=True, batchnorm=self.batchnorm)


def product_cost(objective: Objective, operator: str, products: int, *, at_most: bool = False) -> str:
    """Return the estimated work of some matrix-vector products, as measured on one batch."""
    product = CurvatureOperator(objective, operator)
    each = product.seconds()
    limit = "at most " if at_most else ""
    return (
        f"{limit}{products} products on {product.examples} examples, {each:.2g} s each: "
        f"{limit}about {duration(products * each)}"
    )
