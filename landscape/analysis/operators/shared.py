"""Objectives whose products workers compute; see `sharding`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol
from weakref import WeakKeyDictionary

from torch import Tensor

from landscape.analysis.objective.objective import Objective


class SharedProducts(Protocol):
    """Products with the `CurvatureOperator`s of an objective at its own weights, computed by workers."""

    def matvec(self, operator: Any, options: Mapping[str, Any], columns: Tensor) -> Tensor:
        """Return the products with the rows of (k, n) of the operator with these options."""
        ...

    def release(self, operator: Any) -> None:
        """Free the graphs of an operator."""
        ...


products: WeakKeyDictionary[Objective, SharedProducts] = WeakKeyDictionary()  # by objective; usually empty
