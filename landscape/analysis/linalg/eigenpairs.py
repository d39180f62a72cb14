"""Request for extreme eigenpairs of a symmetric operator, and the pairs."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

FLOOR = 0.1  # eigenvalues smaller than this fraction of the largest are computed to its absolute accuracy

Apply = Callable[[Tensor], Tensor]
OnProduct = Callable[[int, Tensor], None]


@dataclass(frozen=True)
class EigenRequest:
    """Extreme eigenpairs to compute, and their accuracy.

    >>> EigenRequest(top=5, bottom=1).guarded(size=100).top
    6
    """

    top: int  # number of the largest
    bottom: int = 0  # number of the smallest
    tolerance: float = (
        1e-3  # on the bound, relative to max(|λ|, floor · largest |λ|): λ near 0 has no relative accuracy
    )
    vector_tolerance: float = math.inf  # on the residual, relative to the same; eigenvalues converge before vectors
    max_products: int = 200  # pairs not converged by then are flagged; at least as many products as pairs are made
    basis: int | None = None  # most basis vectors; by default 2 · (top + bottom) + 20, and 100 more for the bottom end
    seed: int = 0  # of the random vectors
    floor: float = FLOOR

    def guarded(self, size: int) -> EigenRequest:
        """Return the request with one more pair at each end of two or more, for an operator of this size.

        The last pair computed stops within the tolerance, and its value, the centre of Lehmann's interval, is too
        extreme by a quarter of the tolerance on average; those before it are 10 to 100 times as accurate. A single pair
        is accurate already, by the check for missed ones.
        """
        top, bottom = (count + (count > 1) for count in (self.top, self.bottom))
        if top + bottom > min(size - 1, self.max_products - 1):
            return self
        return dataclasses.replace(self, top=top, bottom=bottom)


@dataclass(frozen=True)
class Eigenpairs:
    """Eigenpairs of a symmetric operator, the top ones first, descending; then the bottom ones."""

    values: Tensor  # (K,) float64
    vectors: Tensor  # (n, K) unit columns
    from_top: Tensor  # (K,) True for the largest, False for the smallest
    residuals: Tensor  # (K,) ‖A v − λ v‖
    bounds: Tensor  # (K,) an exact eigenvalue lies within it of λ
    scales: Tensor  # (K,) max(|λ|, FLOOR · largest |λ| of the operator), which the tolerance is relative to
    converged: Tensor  # (K,) bound ≤ tolerance · scale, and nothing as extreme was missed
    products: int
    check_products: int  # of these, by the search for what was missed
    outside: tuple[float, float]  # range of the operator in the complement of the space searched; see `RayleighRitz`
