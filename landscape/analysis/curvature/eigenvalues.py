"""Curvature of the loss: extreme eigenvalues of its Hessian, Gauss–Newton matrix and Fisher matrix."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch

from landscape.analysis.curvature.warm_start import leading_vectors, start_from, surrogate_operator
from landscape.analysis.linalg.eigenpairs import Eigenpairs, EigenRequest, OnProduct
from landscape.analysis.linalg.lanczos import extreme_eigenpairs
from landscape.analysis.objective.objective import Objective
from landscape.analysis.objective.weights import Weights, flatten, unflatten
from landscape.analysis.operators.metadata import MeasurementMetadata
from landscape.analysis.operators.operator import CurvatureOperator
from landscape.analysis.operators.rounding import matvec_rounding_error
from landscape.results import SpectrumResult

SURROGATE_VECTORS = 0.1  # residuals below this ask for more than the vectors of a surrogate operator
ROUNDING_SHARE = 0.1  # of the tolerance, left for the rounding error of the products


def hessian(
    objective: Objective,
    *,
    top: int = 5,
    bottom: int = 0,
    operator: Literal["hessian", "ggn", "fisher"] = "hessian",
    tolerance: float = 1e-3,
    max_products: int = 200,
    seed: int = 0,
    split: str | None = None,
    on_product: OnProduct | None = None,
) -> SpectrumResult:
    """Return the `top` largest and `bottom` smallest eigenvalues, each with its residual, bound and a converged flag.

    Args:
        objective: whose loss, at whose weights.
        top: number of the largest algebraic eigenvalues.
        bottom: number of the smallest; they lie close together and take several times as many products.
        operator: "hessian"; "ggn" for the generalized Gauss–Newton matrix; "fisher" for the empirical Fisher matrix.
        tolerance: on the bound, relative to |λ| or to a tenth of the largest |λ|, whichever is more. An exact
            eigenvalue lies within the bound: Lehmann's or the residual norm ‖Hv − λv‖, plus the rounding error of a
            float32 product, measured along the vector of the largest |λ| (see `rounding.matvec_rounding_error`).
        max_products: the most operator-vector products; pairs not converged by then are flagged.
        seed: of the random vectors.
        split: which split's loss; the first by default.
        on_product: called after each product with the count and the bounds relative to what is asked.

    Raises:
        LandscapeError: if more eigenvalues are asked for than there are parameters, or the loss diverges here.
    """
    return eigenvectors(
        objective,
        top=top,
        bottom=bottom,
        operator=operator,
        tolerance=tolerance,
        vector_tolerance=math.inf,
        max_products=max_products,
        seed=seed,
        split=split,
        on_product=on_product,
    )[0]


def eigenvectors(
    objective: Objective,
    *,
    top: int = 5,
    bottom: int = 0,
    operator: Literal["hessian", "ggn", "fisher"] = "hessian",
    tolerance: float = 1e-3,
    vector_tolerance: float = 0.01,
    max_products: int = 200,
    seed: int = 0,
    split: str | None = None,
    on_product: OnProduct | None = None,
    start: Sequence[Weights] = (),
) -> tuple[SpectrumResult, tuple[Weights, ...]]:
    """Return the result of `hessian`, and one unit vector of weights per eigenvalue, its largest entry positive.

    The residuals ‖Hv − λv‖ are then at most `vector_tolerance` times |λ| or a tenth of the largest |λ|, or flagged. A
    `start`, such as the eigenvectors at nearby weights, saves products (warm start). The other options are those of
    `hessian`.
    """
    metadata = MeasurementMetadata(objective, operator, split, seed)
    request = EigenRequest(
        top,
        bottom,
        tolerance=(1 - ROUNDING_SHARE) * tolerance,
        vector_tolerance=vector_tolerance,
        max_products=max_products,
        seed=seed,
    )
    pairs, method, used = _eigenpairs(
        CurvatureOperator(objective, operator, split=split), objective, request, on_product, start
    )
    values = pairs.values.numpy()
    rounding = matvec_rounding_error(objective, pairs.vectors[:, int(np.argmax(np.abs(values)))], operator, split)
    bounds = pairs.bounds.numpy() + np.nan_to_num(rounding.size)
    attributes = {
        **metadata.attributes(),
        "tolerance": tolerance,
        "bound": "the lesser of residual and Lehmann's bound, + product error",
        "product_error": rounding.size,
        "product_error_against": rounding.method,
        "outside": list(pairs.outside),
        "method": method,
        "products_by_operator": used,
    }
    if top >= 5:
        attributes["ratio_5"] = float(values[0] / values[4])
    spectrum = SpectrumResult(
        eigenvalues=values,
        ends=np.where(pairs.from_top.numpy(), 1, -1).astype(np.int8),
        residuals=pairs.residuals.numpy(),
        bounds=bounds,
        converged=pairs.converged.numpy() & (bounds <= tolerance * pairs.scales.numpy()),
        products=sum(used.values()),
        attributes=attributes,
    )
    return spectrum, tuple(_signed(vector, objective) for vector in pairs.vectors.T)


def _eigenpairs(
    exact: CurvatureOperator,
    objective: Objective,
    request: EigenRequest,
    on_product: OnProduct | None,
    start: Sequence[Weights],
) -> tuple[Eigenpairs, str, dict[str, int]]:
    """Return the pairs, a description of the method, and the products used by operator and precision."""
    name = f"{objective.precision} {exact.operator}"
    if start:
        vectors = torch.stack([flatten(vector).cpu().double() for vector in start], dim=1)
        pairs = extreme_eigenpairs(
            exact, exact.size, request, device=objective.device, start=vectors, on_product=on_product
        )
        return pairs, f"Rayleigh–Ritz from given vectors on the {name}", {name: exact.num_matvecs}
    suited = 0 < request.top < exact.size and request.bottom == 0 and request.vector_tolerance > SURROGATE_VECTORS
    surrogate = surrogate_operator(objective, exact, request.tolerance) if suited else None
    spent: dict[str, int] = {}
    if surrogate is not None:
        rounded = surrogate
        if surrogate.operator != exact.operator:
            rounded = CurvatureOperator(objective, exact.operator, split=exact.split, precision="bfloat16")
        guarded = request.guarded(exact.size)
        leading = leading_vectors(surrogate, rounded, guarded, device=objective.device, on_product=on_product)
        surrogate.release()  # the exact graphs need the memory
        spent = {f"bfloat16 {one.operator}": one.num_matvecs for one in {surrogate, rounded}}
        if leading is not None:
            ritz = start_from(leading, exact, guarded, device=objective.device)
            ritz.run(request.max_products - leading.products)
            ritz.restrict(request.top, 0)
            method = f"Lanczos on the bfloat16 {surrogate.operator}, then Rayleigh–Ritz on the {name}"
            return ritz.result(), method, {**spent, name: exact.num_matvecs}
    pairs = extreme_eigenpairs(exact, exact.size, request, device=objective.device, on_product=on_product)
    return pairs, f"Lanczos on the {name}", {**spent, name: exact.num_matvecs}


def _signed(vector: torch.Tensor, objective: Objective) -> Weights:
    """Return a vector as weights, the sign chosen so that its largest entry is positive."""
    v = vector / vector.norm()
    v = v * torch.sign(v[v.abs().argmax()])
    return unflatten(v.to(objective.device, objective.dtype).contiguous(), objective.origin)
