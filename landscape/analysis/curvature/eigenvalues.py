"""Curvature of the loss: extreme eigenvalues of its Hessian, Gauss–Newton matrix and Fisher matrix."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal, TypeAlias

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

VECTOR_TOLERANCE = 0.01  # of the residuals of eigenvectors, relative
SURROGATE_VECTORS = 0.1  # tolerance of residuals below which the vectors of a surrogate operator do not suffice
ROUNDING_SHARE = 0.1  # of the tolerance, reserved for the rounding error of the products


Operator: TypeAlias = Literal["hessian", "ggn", "fisher"]


def hessian(
    objective: Objective,
    *,
    top: int = 5,
    bottom: int = 0,
    operator: Operator = "hessian",
    tolerance: float = 1e-3,
    max_products: int = 200,
    seed: int = 0,
    split: str | None = None,
) -> SpectrumResult:
    """Return the `top` largest and `bottom` smallest eigenvalues, each with its residual, bound and a converged flag.

    >>> import torch, landscape
    >>> inputs, targets = torch.eye(3), torch.ones(3, 1)
    >>> objective = landscape.Objective(torch.nn.Linear(3, 1, bias=False), "mse", inputs, targets, device="cpu")
    >>> landscape.hessian(objective, top=2).eigenvalues.round(4).tolist()  # the Hessian is (2/3) I
    [0.6667, 0.6667]

    Args:
        objective: loss and weights.
        top: number of the largest (algebraic) eigenvalues.
        bottom: number of the smallest; they are close together and take several times as many products.
        operator: "hessian"; "ggn", the generalized Gauss–Newton matrix; "fisher", the empirical Fisher matrix.
        tolerance: of the bound, relative to |λ| or to a tenth of the largest |λ|, whichever is larger. An exact
            eigenvalue lies within the bound: Lehmann's or the residual norm ‖Hv − λv‖, plus the rounding error of a
            float32 product, measured along the vector of the largest |λ| (see `rounding.matvec_rounding_error`).
        max_products: matrix-vector products after which eigenvalues are flagged as not converged.
        seed: of the random vectors.
        split: of the loss; the first by default.

    Raises:
        LandscapeError: for more eigenvalues than parameters, or a loss that diverges at the weights.
    """
    request = EigenRequest(top, bottom, tolerance=tolerance, max_products=max_products, seed=seed)
    return eigenpairs(objective, request, operator=operator, split=split)[0]


def eigenvectors(
    objective: Objective,
    *,
    top: int = 5,
    bottom: int = 0,
    operator: Operator = "hessian",
    tolerance: float = 1e-3,
    vector_tolerance: float = VECTOR_TOLERANCE,
    seed: int = 0,
    split: str | None = None,
) -> tuple[SpectrumResult, tuple[Weights, ...]]:
    """Return eigenvalues and eigenvectors: the result of `hessian`, and one unit vector of weights per eigenvalue.

    The largest entry of each vector is positive. The residuals ‖Hv − λv‖ are at most `vector_tolerance` times |λ| or a
    tenth of the largest |λ|, or the eigenvalue is flagged as not converged. The other options are those of `hessian`.

    >>> import torch, landscape
    >>> inputs, targets = torch.diag(torch.tensor([1.0, 2.0])), torch.ones(2, 1)
    >>> objective = landscape.Objective(torch.nn.Linear(2, 1, bias=False), "mse", inputs, targets, device="cpu")
    >>> spectrum, vectors = landscape.eigenvectors(objective, top=1)
    >>> vectors[0]["weight"].abs().round(decimals=3).tolist()
    [[0.0, 1.0]]
    """
    request = EigenRequest(top, bottom, tolerance=tolerance, vector_tolerance=vector_tolerance, seed=seed)
    return eigenpairs(objective, request, operator=operator, split=split)


def eigenpairs(
    objective: Objective,
    request: EigenRequest,
    *,
    operator: Operator = "hessian",
    split: str | None = None,
    on_product: OnProduct | None = None,
    start: Sequence[Weights] = (),
) -> tuple[SpectrumResult, tuple[Weights, ...]]:
    """Return the eigenvalues of a request as a result, and one unit vector of weights per eigenvalue.

    Args:
        objective: loss and weights.
        request: number of eigenpairs, tolerances and products; `tolerance` includes the rounding error of products.
        operator: "hessian", "ggn" or "fisher".
        split: of the loss; the first by default.
        on_product: called after each product with the count and the bounds relative to the tolerances.
        start: vectors to warm-start from, such as the eigenvectors at nearby weights.

    Raises:
        LandscapeError: for more eigenvalues than parameters, or a loss that diverges at the weights.
    """
    metadata = MeasurementMetadata(objective, operator, split, request.seed)
    tolerance = request.tolerance
    inner = replace(request, tolerance=(1 - ROUNDING_SHARE) * tolerance)
    pairs, method, used = _eigenpairs(
        CurvatureOperator(objective, operator, split=split), objective, inner, on_product, start
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
    if request.top >= 5:
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
