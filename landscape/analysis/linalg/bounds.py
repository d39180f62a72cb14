"""Bounds of eigenvalues from Rayleigh–Ritz in a basis and the range of the operator in its complement.

Write A = [[T, Rᵀ], [R, C]] in a basis and its complement. For λ above C's spectrum A has as many eigenvalues above λ as
the Schur complement T − λ + Rᵀ(λ − C)⁻¹R has positive ones. With low ≤ C ≤ high that lies between T − λ + RᵀR/(λ − low)
and T − λ + RᵀR/(λ − high), so that the i-th eigenvalue is enclosed by the roots of λ_i(T + RᵀR/(λ − c)) = λ at c = low
and c = high: Lehmann's bounds, which narrow with the square of the residual.
"""

from __future__ import annotations

import numpy as np
import scipy.linalg
import scipy.optimize

from landscape.results import Floats

FAILURE = 1e-3  # probability that the complement's spectrum reaches beyond `probable_range`
_ROUNDS = 60


def lehmann_interval(ritz: Floats, G: Floats, index: int, low: float, high: float) -> tuple[float, float]:
    """Return Lehmann's interval for the eigenvalue of this index (0: the largest), given low ≤ C ≤ high.

    Args:
        ritz: (m,) Ritz values, descending.
        G: (m, m) RᵀR, inner products of the Ritz vectors' residuals.
        index: counted from the largest eigenvalue.
        low: a lower bound of the spectrum outside the basis.
        high: an upper bound of it.
    """
    theta = float(ritz[index])
    if not high < np.inf:
        return theta, np.inf
    upper = _root(ritz, G, index, high)
    lower = _root(ritz, G, index, low) if low > -np.inf else theta
    return (lower if lower > high else theta), max(upper, high)


def estimated_bounds(values: Floats, residuals: Floats, top: int, wanted: int) -> Floats:
    """Return estimates of bounds for the wanted Ritz values of both ends: the lesser of ‖R‖²/gap and the residual.

    The gap is to the next Ritz value plus its residual, after joining the number of further pairs to R that makes the
    estimate smallest. No rigorous bound: an eigenvalue outside the basis may be nearer.

    Args:
        values: (m,) Ritz values, descending.
        residuals: (m,) their residuals.
        top: number wanted at the top, if there are as many.
        wanted: number wanted in all.
    """
    top = min(top, len(values))
    upper = _one_end(values, residuals, top)
    lower = _one_end(-values[::-1], residuals[::-1], wanted - top)[::-1]
    return np.concatenate([upper, lower])


def _one_end(values: Floats, residuals: Floats, count: int) -> Floats:
    best = residuals[:count].copy()
    for joined in range(max(count, 1), min(len(values), count + 6)):
        gap = values[:count] - values[joined] - residuals[joined]
        square = float((residuals[:joined] ** 2).sum())
        best = np.where(gap > 0, np.minimum(best, square / np.where(gap > 0, gap, 1.0)), best)
    return best


def _root(ritz: Floats, G: Floats, index: int, c: float) -> float:
    """Return the λ > c with λ_i(T + G/(λ − c)) = λ, or c if there is none. The left side falls as λ grows."""
    theta, ascending = float(ritz[index]), len(ritz) - 1 - index
    spread = float(np.sqrt(max(np.linalg.eigvalsh(G)[-1], 0.0)))
    tiny = 1e-14 * max(float(np.abs(ritz).max()), abs(c), spread)  # an eigensolver rounds in units of the whole
    if spread <= tiny:
        return max(c, theta)

    def excess(x: float) -> float:
        moved = np.diag(ritz) + G / (x - c)
        return float(scipy.linalg.eigvalsh(moved, subset_by_index=[ascending, ascending])[0]) - x

    left = max(c + tiny, theta)
    right = left + 2 * spread  # Weyl: it has fallen below λ, by more than rounding
    if excess(left) <= 0:
        return max(c, theta)
    return float(scipy.optimize.brentq(excess, left, right, xtol=tiny, rtol=1e-14))


def probable_range(alphas: Floats, betas: Floats, size: int, failure: float = FAILURE) -> tuple[float, float]:
    """Return bounds of the spectrum of an operator after Lanczos from one random vector, which hold but for `failure`.

    The Lanczos polynomial p_j has ‖p_j(A) z‖ = β₁ … β_j on the starting vector z, and z has a component of at least
    `failure` · √(π/2n) along the extreme eigenvectors with probability 1 − `failure`, so |p_j(λ)| is at most their
    ratio there (Van Dorsselaer, Hochstenbach & Van der Vorst 2000, "Computing probabilistic bounds for extreme
    eigenvalues of symmetric matrices with the Lanczos method", theorem 3.1).

    Args:
        alphas: (j,) diagonal of the tridiagonal matrix.
        betas: (j,) below its diagonal, the last one the norm of what comes next.
        size: dimension of the space that the vector was drawn in.
        failure: probability that an eigenvalue lies outside; half of it for each end.
    """
    nodes = np.asarray(scipy.linalg.eigvalsh_tridiagonal(alphas, betas[:-1]), np.float64)
    if betas[-1] == 0:
        return float(nodes[0]), float(nodes[-1])  # an invariant space: every eigenvalue is among them, with certainty
    component = min(0.5 * failure * np.sqrt(np.pi / (2 * size)), 1.0)
    limit = float(np.log(betas).sum() - np.log(component))
    return -_beyond(np.negative(nodes[::-1]), limit), _beyond(nodes, limit)


def _beyond(nodes: Floats, limit: float) -> float:
    """Return the λ above all nodes with Σ log(λ − node) = limit."""
    left, right = float(nodes[-1]), float(nodes[-1] + np.exp(limit / len(nodes)))  # the sum is at least j log(λ − max)
    for _ in range(_ROUNDS):
        middle = left + (right - left) / 2
        if not left < middle < right:
            break
        if float(np.log(middle - nodes).sum()) < limit:
            left = middle
        else:
            right = middle
    return right
