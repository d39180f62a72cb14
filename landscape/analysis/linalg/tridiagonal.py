"""Lanczos from one vector with full reorthogonalization, step by step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import scipy.linalg
import torch
from torch import Tensor

from landscape.errors import LandscapeError
from landscape.results import Floats


@dataclass(frozen=True)
class Tridiagonal:
    """The operator in the Krylov space of a vector: alphas on the diagonal, betas beside it."""

    alphas: Floats  # (j,)
    betas: Floats  # (j,) the last one is the norm of what comes next; 0 where the space is invariant
    vectors: list[Tensor]  # j of (n,), orthonormal

    def eigh(self) -> tuple[Floats, Floats]:
        """Return Ritz values, ascending, and their coefficients as columns."""
        values, s = scipy.linalg.eigh_tridiagonal(self.alphas, self.betas[:-1])
        return np.asarray(values, np.float64), np.asarray(s, np.float64)

    def ritz_vector(self, coefficients: Floats) -> Tensor:
        """Return the vector with these coefficients."""
        total = torch.zeros_like(self.vectors[0])
        for c, v in zip(coefficients.tolist(), self.vectors, strict=True):
            total += c * v
        return total


def krylov(
    product: Callable[[Tensor], Tensor], start: Tensor, project: Callable[[Tensor], Tensor] | None = None
) -> Iterator[Tridiagonal]:
    """Yield the tridiagonal matrix after each product, until the space is exhausted.

    Args:
        product: v → A v.
        start: (n,) the vector to begin with, of any length.
        project: an orthogonal projection P; the operator is then P A P, and `start` is projected too.

    Raises:
        LandscapeError: for an operator that returns NaN or inf.
    """
    vectors: list[Tensor] = []
    alphas: list[float] = []
    betas: list[float] = []
    rest = _without(start, [], project)
    while float(rest.norm()) > 0:
        v = rest / rest.norm()
        w = product(v).to(v)
        if not bool(torch.isfinite(w).all()):
            raise LandscapeError("a product with the Hessian holds NaN or inf; the loss diverges at these weights")
        vectors.append(v)
        alphas.append(float(v @ w))
        size = float(w.norm())
        rest = _without(w, vectors, project)
        if float(rest.norm()) <= 1e-10 * size:  # rounding is all that is left
            rest = torch.zeros_like(rest)
        betas.append(float(rest.norm()))
        yield Tridiagonal(np.array(alphas), np.array(betas), vectors)


def _without(vector: Tensor, known: list[Tensor], project: Callable[[Tensor], Tensor] | None) -> Tensor:
    """Return a vector's part in the projection's range that is orthogonal to orthonormal vectors."""
    for _ in range(2):  # twice is enough (Kahan, Parlett)
        if project is not None:
            vector = project(vector)
        for v in known:
            vector = vector - (v @ vector) * v
    return vector
