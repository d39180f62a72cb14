"""Spectral range of a symmetric operator in the complement of a basis, by Lanczos from a random vector."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from landscape.analysis.linalg.basis import Basis
from landscape.analysis.linalg.bounds import probable_range
from landscape.analysis.linalg.tridiagonal import krylov


@dataclass(frozen=True)
class ComplementRange:
    """Range of the operator in the complement, or a vector beyond the limits."""

    low: float
    high: float  # but for a probability of `bounds.FAILURE` the spectrum is within low and high
    missed: Tensor | None  # (n,) a vector whose Rayleigh quotient is beyond the limits


def probe_complement(
    product: Callable[[Tensor], Tensor],
    basis: Basis,
    start: Tensor,
    *,
    good: Callable[[float, float], bool],
    limits: tuple[float, float],
    most: int,
    on_product: Callable[[], None] | None = None,
) -> ComplementRange:
    """Return the range of A in the complement of a basis, as narrow as `good` asks for, or a vector beyond the limits.

    Args:
        product: v → A v.
        basis: of the space left out.
        start: a random vector, (n,).
        good: (low, high) → True if the range is narrow enough.
        limits: the expected range.
        most: products, at most.
        on_product: called after each.
    """
    low, high = -np.inf, np.inf
    for steps, tridiagonal in enumerate(krylov(product, basis.like(start), basis.projected_out), start=1):
        if on_product is not None:
            on_product()
        values, s = tridiagonal.eigh()
        for column, beyond in ((-1, values[-1] > limits[1]), (0, values[0] < limits[0])):
            if beyond:
                return ComplementRange(low, high, tridiagonal.ritz_vector(s[:, column]))
        low, high = probable_range(tridiagonal.alphas, tridiagonal.betas, basis.size - basis.count)
        if good(low, high) or steps == most:
            break
    return ComplementRange(low, high, None)
