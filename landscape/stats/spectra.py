"""Statistics of spectra: densities from Ritz values (stochastic Lanczos quadrature), and the share of convex points."""

from __future__ import annotations

import math

import numpy as np

from landscape.results import DensityResult, Floats
from landscape.stats.mean import Mean, mean_of, standard_error

POINTS_PER_SIGMA = 4
CONVEX = 0.1  # |λ_min / λ_max| of a point below this is called mostly convex
MARGIN = 8  # widths around each Ritz value that the grid resolves


def smeared(nodes: Floats, weights: Floats, sigma: float, grid: Floats) -> tuple[Floats, Floats]:
    """Return φ(t) = 1/V Σ_l Σ_i w_{l,i} N(t; θ_{l,i}, σ²) and its standard error over the V vectors, both (G,).

    Args:
        nodes: (V, m) Ritz values θ.
        weights: (V, m) their weights w, each row summing to 1.
        sigma: σ, the width of each Gaussian.
        grid: (G,) points t.
    """
    curves = np.stack([_gaussians(grid, *row, sigma) for row in zip(nodes, weights, strict=True)])
    return np.asarray(curves.mean(axis=0)), standard_error(curves)


def density_grid(nodes: Floats, sigma: float, *, max_points: int | None = None) -> Floats:
    """Return an ascending grid that resolves the Gaussian around each Ritz value and leaves out empty regions.

    Args:
        nodes: Ritz values, of any shape.
        sigma: the width of the Gaussians.
        max_points: halve the resolution, from 4 points per σ to 2, if the grid would have this many points.
    """
    for per_sigma in (POINTS_PER_SIGMA, POINTS_PER_SIGMA // 2):
        offsets = np.arange(-MARGIN * per_sigma, MARGIN * per_sigma + 1)
        cells = np.unique(np.unique(np.round(nodes * (per_sigma / sigma)))[:, None] + offsets)
        if max_points is None or len(cells) < max_points:
            break
    return np.asarray(cells * (sigma / per_sigma))


def negative_share(density: DensityResult) -> Mean:
    """Return the share of the eigenvalues below −σ, the mean over the starting vectors."""
    return mean_of(np.where(density.nodes < -density.sigma, density.weights, 0.0).sum(axis=1))


def mean_eigenvalue(density: DensityResult) -> Mean:
    """Return the mean eigenvalue, the mean over the starting vectors."""
    return mean_of((density.nodes * density.weights).sum(axis=1))


def _gaussians(grid: Floats, nodes: Floats, weights: Floats, sigma: float) -> Floats:
    z = (grid[:, None] - nodes) / sigma
    return np.asarray(np.exp(-0.5 * z**2) @ weights / (sigma * math.sqrt(2 * math.pi)))


def convex_share(ratio: Floats) -> float:
    """Return the share of the known ratios |λ_min / λ_max| below `CONVEX`; NaN if none is known.

    >>> convex_share(np.array([0.05, 0.2, np.nan]))
    0.5
    """
    known = ratio[~np.isnan(ratio)]
    return float((known < CONVEX).mean()) if len(known) else math.nan
