"""Spectral density of a curvature operator by stochastic Lanczos quadrature."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from landscape.analysis.linalg.basis import DOUBLE_BASIS_BYTES, MAX_BASIS_BYTES
from landscape.analysis.linalg.tridiagonal import krylov
from landscape.analysis.objective.objective import Objective
from landscape.analysis.operators.metadata import MeasurementMetadata
from landscape.analysis.operators.operator import CurvatureOperator
from landscape.errors import LandscapeError
from landscape.results import DensityResult
from landscape.stats.spectra import density_grid, smeared

RESOLUTION = 0.01  # the default width, as a fraction of the largest |Ritz value|


def density(
    objective: Objective,
    *,
    operator: str = "hessian",
    vectors: int = 4,
    steps: int = 60,
    sigma: float | None = None,
    seed: int = 0,
    split: str | None = None,
    on_product: Callable[[], None] | None = None,
) -> DensityResult:
    """Return the spectral density φ(t) = 1/n_v Σ_l Σ_i τ²_{l,i} N(t; θ_{l,i}, σ²), which integrates to 1.

    θ are the Ritz values of Lanczos from random unit vectors with full reorthogonalization, τ the first components of
    the tridiagonal matrix's eigenvectors (Ghorbani et al. 2019, arXiv:1901.10159, algorithm 1; Golub & Welsch 1969).

    >>> import torch, landscape
    >>> inputs, targets = torch.eye(3), torch.ones(3, 1)
    >>> objective = landscape.Objective(torch.nn.Linear(3, 1, bias=False), "mse", inputs, targets, device="cpu")
    >>> landscape.density(objective, vectors=2).nodes.round(4).tolist()  # the Hessian is (2/3) I
    [[0.6667, 0.6667, 0.6667], [0.6667, 0.6667, 0.6667]]

    Args:
        objective: loss and weights.
        operator: "hessian", "ggn" or "fisher".
        vectors: n_v, number of random starting vectors; the standard error is over them.
        steps: Lanczos steps from each; fewer if the Krylov space is exhausted (further nodes have weight 0).
        sigma: σ, the width of each Ritz value's Gaussian; by default a hundredth of the largest |θ|, rounded to one
            digit. Curves of other widths do not compare.
        seed: of the starting vectors.
        split: of the loss; the first by default.
        on_product: called after each product.

    Raises:
        LandscapeError: for counts below 1, a width that is not positive, more vectors than fit in memory, or a loss
            that diverges at the weights.
    """
    if vectors < 1 or steps < 1:
        raise LandscapeError(f"got {vectors} vectors and {steps} steps; expected at least 1 of each")
    if sigma is not None and not 0 < sigma < np.inf:
        raise LandscapeError(f"got a width of {sigma}; expected a positive number")
    metadata = MeasurementMetadata(objective, operator, split, seed)
    product = CurvatureOperator(objective, operator, split=split)
    steps = min(steps, product.size)
    nodes, weights = np.zeros((vectors, steps)), np.zeros((vectors, steps))
    generator = torch.Generator().manual_seed(seed)
    exact = _dtype(product.size, steps, objective.device)
    for row in range(vectors):
        start = torch.randn(product.size, generator=generator, dtype=torch.float64).to(objective.device, exact)
        for step, tridiagonal in enumerate(krylov(product, start), start=1):
            if on_product is not None:
                on_product()
            if step == steps or tridiagonal.betas[-1] == 0:
                theta, s = tridiagonal.eigh()
                nodes[row], weights[row] = theta[-1], 0.0
                nodes[row, :step], weights[row, :step] = theta, s[0] ** 2
                break
    width = _one_digit(RESOLUTION * float(np.abs(nodes).max())) if sigma is None else sigma
    grid = density_grid(nodes, width)
    curve, stderr = smeared(nodes, weights, width, grid)
    attributes = {
        **metadata.attributes(),
        "vectors": vectors,
        "steps": steps,
        "reorthogonalization": "full",
        "sigma_chosen": sigma is None,
    }
    return DensityResult(
        eigenvalue=grid,
        density=curve,
        stderr=stderr,
        nodes=nodes,
        weights=weights,
        sigma=width,
        products=product.num_matvecs,
        attributes=attributes,
    )


def _dtype(size: int, steps: int, device: torch.device) -> torch.dtype:
    """Return float64 for the vectors of one run, or float32 if those would take too much memory."""
    if 4 * size * steps > MAX_BASIS_BYTES:
        most = int(MAX_BASIS_BYTES // (4 * size))
        raise LandscapeError(
            f"{steps} Lanczos vectors of {size} parameters need more than {MAX_BASIS_BYTES / 1e9:.0f} GB; "
            f"give at most {most} steps, or choose params="
        )
    return torch.float64 if 8 * size * steps <= DOUBLE_BASIS_BYTES and device.type != "mps" else torch.float32


def _one_digit(value: float) -> float:
    """Return a positive number rounded to one significant digit; 1 for 0, where any width will do."""
    return float(f"{value:.0e}") if value > 0 else 1.0
