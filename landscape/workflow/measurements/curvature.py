"""Options and costs that all measurements of curvature share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from landscape.analysis.objective.model.batchnorm import BatchNormMode
from landscape.analysis.objective.objective import Objective
from landscape.analysis.operators.operator import CurvatureOperator
from landscape.analysis.operators.sharding import share_products
from landscape.execution import Workers, use
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
        workers: processes that share the products, each of which holds a shard of the examples, or the result of
            `landscape.execution.open`. Values differ from those of one process by the rounding of the products.
    """

    operator: OperatorName = "hessian"
    batchnorm: BatchNormMode = "fixed"
    seed: int = 0
    workers: int | Workers = field(default=1, kw_only=True)

    def settings(self) -> dict[str, Any]:
        """Return operator, BatchNorm mode and seed."""
        return {"batchnorm": self.batchnorm, "operator": self.operator, "seed": self.seed}

    def objective(self, source: Source) -> Objective:
        """Return the loss on the first split."""
        return source.objective(first_split=True, batchnorm=self.batchnorm)

    @contextmanager
    def sharing(self, objective: Objective) -> Iterator[dict[str, Any]]:
        """Share the products of an objective within this context; yield what the result records of it."""
        with use(self.workers) as workers, share_products(objective, workers) as shards:
            yield {} if shards == 1 else {"shards": shards}


def product_cost(objective: Objective, operator: str, products: int, *, at_most: bool = False, workers: int = 1) -> str:
    """Return the estimated work of some matrix-vector products, as measured on one batch."""
    product = CurvatureOperator(objective, operator)
    each = product.seconds() / workers
    limit = "at most " if at_most else ""
    return (
        f"{limit}{products} products on {product.examples} examples, {each:.2g} s each: "
        f"{limit}about {duration(products * each)}"
    )
