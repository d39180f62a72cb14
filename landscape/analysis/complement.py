"""What a symmetric operator does in the complement of a basis: Lanczos there from a random vector."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from landscape.analysis.basis import Basis
from landscape.analysis.enclosures import probable_range


@dataclass(frozen=True)
class Probe:
    """The range of the operator in the complement, or what lies beyond the limits."""

    low: float
    high: float  # but for a probability of `enclosures.FAILURE` the spectrum is within low and high
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
) -> Probe:
    """Return the range of A in the complement of a basis, as narrow as `good` asks for, or a vector beyond the limits.

    Args:
        product: v → A v.
        basis: of the space left out.
        start: a random vector, (n,).
        good: (low, high) → whether that will do.
        limits: below and above which there should be nothing.
        most: products, at most.
        on_product: called after each.
    """
    known: list[Tensor] = []
    alphas: list[float] = []
    betas: list[float] = []
    low, high = -np.inf, np.inf
    v = basis.outside(start.to(basis.device))
    while len(alphas) < most:
        v = v / v.norm()
        known.append(v)
        w = _outside(product(v).to(v), basis, known[:-1])
        if on_product is not None:
            on_product()
        alphas.append(float(v @ w))
        rest = _outside(w, basis, known)
        length = float(rest.norm())
        betas.append(length if length > 1e-10 * float(w.norm()) else 0.0)
        values, s = np.linalg.eigh(np.diag(alphas) + np.diag(betas[:-1], 1) + np.diag(betas[:-1], -1))
        for place, beyond in ((-1, values[-1] > limits[1]), (0, values[0] < limits[0])):
            if beyond:
                return Probe(low, high, torch.stack(known, dim=1) @ torch.from_numpy(s[:, place].copy()).to(v))
        low, high = probable_range(np.array(alphas), np.array(betas), basis.size - basis.count)
        if good(low, high) or betas[-1] == 0.0:
            break
        v = rest
    return Probe(low, high, None)


def _outside(vector: Tensor, basis: Basis, known: list[Tensor]) -> Tensor:
    """Return the part of a vector that is orthogonal to the basis and to the vectors known."""
    for _ in range(2):
        vector = basis.projected_out(vector)
        for v in known:
            vector = vector - v * (v @ vector)
    return vector
