"""Curvature of the loss: eigenvalues of its Hessian and of its generalized Gauss–Newton matrix."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Literal

import numpy as np
from torch import Tensor

from landscape.analysis.lanczos import Eigenpairs, extreme_eigenpairs
from landscape.analysis.objective import Objective
from landscape.analysis.provenance import describe
from landscape.analysis.verification import product_error
from landscape.results import Spectrum


def hessian(
    objective: Objective,
    *,
    top: int = 5,
    bottom: int = 0,
    operator: Literal["hessian", "ggn"] = "hessian",
    tolerance: float = 1e-3,
    max_products: int = 200,
    seed: int = 0,
    split: str | None = None,
    on_product: Callable[[int, Tensor], None] | None = None,
) -> Spectrum:
    """Return the `top` largest and `bottom` smallest eigenvalues, each with its residual and a converged flag.

    Args:
        objective: whose loss, at whose weights.
        top: how many of the largest algebraic eigenvalues.
        bottom: how many of the smallest.
        operator: "hessian", or "ggn" for the generalized Gauss–Newton matrix.
        tolerance: on the bound, relative to |λ| or to a tenth of the largest |λ|, whichever is more. The bound is the
            residual norm ‖Hv − λv‖ plus the rounding error of a float32 product, measured against float64 along the
            vector of the largest |λ|.
        max_products: the most operator-vector products; pairs not converged by then are flagged.
        seed: of the starting vector.
        split: which split's loss; the first by default.
        on_product: called after each product with the count and the residuals relative to what is asked.

    Raises:
        LandscapeError: if more eigenvalues are asked for than there are parameters, or the loss diverges here.
    """
    started = time.perf_counter()
    pairs = eigenpairs(
        objective,
        top=top,
        bottom=bottom,
        operator=operator,
        tolerance=0.9 * tolerance,  # a tenth is left for the rounding error of the products
        max_products=max_products,
        seed=seed,
        split=split,
        on_product=on_product,
    )
    values, residuals = pairs.values.numpy(), pairs.residuals.numpy()
    largest = int(np.argmax(np.abs(values)))
    rounding = product_error(objective, pairs.vectors[:, largest], operator, split)
    bounds = residuals + np.nan_to_num(rounding)
    attributes = {
        **describe(objective, (split or objective.splits[0],)),
        "operator": operator,
        "tolerance": tolerance,
        "bound": "residual + product error",
        "product_error": rounding,
        "seed": seed,
        "derivative_mode": objective.derivative_modes.get(operator),
        "seconds": time.perf_counter() - started,
    }
    return Spectrum(
        eigenvalues=values,
        ends=pairs.ends.numpy().astype(np.int8),
        residuals=residuals,
        bounds=bounds,
        converged=pairs.converged.numpy() & (bounds <= tolerance * pairs.scales.numpy()),
        products=pairs.products,
        attributes=attributes,
    )


def eigenpairs(
    objective: Objective,
    *,
    top: int,
    bottom: int = 0,
    operator: str = "hessian",
    tolerance: float = 1e-3,
    max_products: int = 200,
    seed: int = 0,
    split: str | None = None,
    on_product: Callable[[int, Tensor], None] | None = None,
) -> Eigenpairs:
    """Return extreme eigenpairs with their vectors, (n, K), as `hessian` computes them."""
    return extreme_eigenpairs(
        objective.product(operator, split=split),
        objective.size,
        top=top,
        bottom=bottom,
        tolerance=tolerance,
        max_products=max_products,
        seed=seed,
        device=objective.device,
        on_product=on_product,
    )
