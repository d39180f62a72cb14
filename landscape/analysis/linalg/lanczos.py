"""Extreme eigenpairs of a symmetric operator that is known only by its products.

Lanczos with full reorthogonalization and Rayleigh–Ritz on the stored products. Two things are asked of a result before
it is called converged: its bound must be within the tolerance, and a fresh random vector in the rest of the space must
show that no eigenvalue as extreme was missed. (The Krylov space of one vector holds one copy of a repeated eigenvalue,
and early on it shows a smaller eigenvalue, converged to a few percent, in the place of a larger one.)
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from landscape.analysis.linalg.rayleigh_ritz import FLOOR, Apply, Eigenpairs, OnProduct, RayleighRitz, guarded_counts

__all__ = ["FLOOR", "Eigenpairs", "OnProduct", "extreme_eigenpairs"]


def extreme_eigenpairs(
    product: Apply,
    size: int,
    *,
    top: int,
    bottom: int = 0,
    tolerance: float = 1e-3,
    vector_tolerance: float = math.inf,
    max_products: int = 200,
    basis: int | None = None,
    seed: int = 0,
    device: torch.device | str = "cpu",
    start: Tensor | None = None,
    check: bool = True,
    on_product: OnProduct | None = None,
) -> Eigenpairs:
    """Return the `top` largest and `bottom` smallest (algebraic) eigenpairs, each with its residual and bound.

    Of two or more at an end, one more is computed than asked for (see `guarded_counts`).

    Args:
        product: v → A v on (n,) vectors; on the columns of (n, k) where `start` has several.
        size: n.
        top: how many of the largest.
        bottom: how many of the smallest.
        tolerance: on the bound, relative to max(|λ|, 0.1 · largest |λ|): an eigenvalue near 0 has no relative accuracy
            to ask for.
        vector_tolerance: on the residuals, relative to the same; none by default, for eigenvalues are accurate long
            before their vectors are.
        max_products: stop here at the latest (but not before there are as many pairs as asked for); what has not
            converged by then is flagged.
        basis: largest number of basis vectors held; 2 · (top + bottom) + 20 by default, 100 more for the bottom end,
            whose eigenvalues lie close together, and fewer where memory is short.
        seed: of the random vectors.
        device: where the basis is held.
        start: (n, p) vectors to begin with (warm start), instead of a random one.
        check: whether to search the rest of the space for what was missed; without, the bounds assume that nothing was.
        on_product: called after each product with their number and the current bounds relative to the tolerance.

    Raises:
        LandscapeError: for counts that do not fit the size, or an operator that returns NaN or inf.
    """
    guarded = guarded_counts(top, bottom, size, max_products) if start is None else (top, bottom)
    search = RayleighRitz(
        product,
        size,
        top=guarded[0],
        bottom=guarded[1],
        tolerance=tolerance,
        vector_tolerance=vector_tolerance,
        basis=basis,
        seed=seed,
        device=device,
        on_product=on_product,
    )
    search.begin(None if start is None else start.T)
    search.run(max_products, check=check)
    search.restrict(top, bottom)
    return search.result(checked=check)
