"""Extreme eigenpairs of a symmetric operator that is known only by its products.

Lanczos with full reorthogonalization and Rayleigh–Ritz on the stored products. Two things are asked of a result before
it is called converged: its bound must be within the tolerance, and a fresh random vector in the rest of the space must
show that no eigenvalue as extreme was missed. (The Krylov space of one vector holds one copy of a repeated eigenvalue,
and early on it shows a smaller eigenvalue, converged to a few percent, in the place of a larger one.)
"""

from __future__ import annotations

import torch
from torch import Tensor

from landscape.analysis.linalg.eigenpairs import FLOOR, Apply, Eigenpairs, EigenRequest, OnProduct
from landscape.analysis.linalg.rayleigh_ritz import RayleighRitz

__all__ = ["FLOOR", "EigenRequest", "Eigenpairs", "OnProduct", "extreme_eigenpairs"]


def extreme_eigenpairs(
    product: Apply,
    size: int,
    request: EigenRequest,
    *,
    device: torch.device | str = "cpu",
    start: Tensor | None = None,
    check: bool = True,
    on_product: OnProduct | None = None,
) -> Eigenpairs:
    """Return the largest and smallest (algebraic) eigenpairs, each with its residual and bound.

    Of two or more at an end, one more is computed than requested (see `EigenRequest.guarded`).

    >>> A = torch.diag(torch.arange(30, dtype=torch.float64))
    >>> request = EigenRequest(top=2, bottom=1, tolerance=1e-6)
    >>> extreme_eigenpairs(A.matmul, 30, request).values.round(decimals=4).abs()
    tensor([29., 28.,  0.], dtype=torch.float64)

    Args:
        product: v → A v on (n,) vectors; on the columns of (n, k) if `start` has several.
        size: n.
        request: the pairs and their accuracy.
        device: of the basis.
        start: (n, p) vectors to begin with (warm start), instead of a random one.
        check: whether to search the rest of the space for missed eigenvalues; without, the bounds assume that there
            are none.
        on_product: called after each product with their number and the current bounds relative to the tolerance.

    Raises:
        LandscapeError: for counts that do not fit the size, or an operator that returns NaN or inf.
    """
    guarded = request.guarded(size) if start is None else request
    ritz = RayleighRitz(product, size, guarded, device=device, on_product=on_product)
    ritz.begin(None if start is None else start.T)
    ritz.run(request.max_products, check=check)
    ritz.restrict(request.top, request.bottom)
    return ritz.result(checked=check)
