"""Objectives whose products others compute; see `sharding`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from torch import Tensor

    from landscape.analysis.objective.objective import Objective
    from landscape.analysis.operators.operator import CurvatureOperator


class SharedProducts(Protocol):
    """Products with the operators of an objective at its own weights, computed by others."""

    def matvec(self, operator: CurvatureOperator, options: Mapping[str, Any], columns: Tensor) -> Tensor:
        """Return the products with the rows of (k, n) of the operator with these options."""
        ...

    def release(self, operator: CurvatureOperator) -> None:
        """Free the graphs of an operator."""
        ...


products: WeakKeyDictionary[Objective, SharedProducts] = WeakKeyDictionary()  # by objective; usually empty
