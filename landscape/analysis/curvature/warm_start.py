"""Warm start of the top eigenpairs from a cheaper surrogate operator.

The Gauss–Newton matrix in bfloat16 has nearly the Hessian's leading eigenvectors, at well under half the price of a
product. They are computed there first; Rayleigh–Ritz on the float32 Hessian in their span then has an error quadratic
in theirs, and bounds that do not trust the surrogate operator beyond its measured difference on that span.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from landscape.analysis.linalg.bounds import lehmann_interval
from landscape.analysis.linalg.complement import ComplementRange, probe_complement
from landscape.analysis.linalg.eigenpairs import EigenRequest, OnProduct
from landscape.analysis.linalg.rayleigh_ritz import RayleighRitz
from landscape.analysis.objective.autotune.precision_policy import emulates_bfloat16
from landscape.analysis.operators.operator import CurvatureOperator

if TYPE_CHECKING:
    from landscape.analysis.objective.objective import Objective

LEAST_TOLERANCE = 1e-4  # below it the surrogate vectors are too rough a start to be worth it
LEAST_SECONDS = 2.0  # of a solve; a shorter one is not worth the choice
ADVANTAGE = 0.6  # a surrogate product takes at most this part of an exact one
GAP = 0.2  # between the last wanted eigenvalue and those left out of Rayleigh–Ritz, relative; more vectors join for it
MOST_GUARDS = 3
USUAL_PRODUCTS = 15


@dataclass(frozen=True)
class LeadingSubspace:
    """Leading eigenvectors of the surrogate operator, with bounds of the rest of its spectrum."""

    vectors: Tensor  # (n, K) orthonormal, at least as many as are wanted
    images: Tensor  # (n, K) the surrogate operator's products with them
    low: float
    high: float  # the spectrum outside the vectors, as measured with the surrogate operators
    products: int  # with either surrogate operator


def surrogate_operator(objective: Objective, exact: CurvatureOperator, tolerance: float) -> CurvatureOperator | None:
    """Return the surrogate operator in bfloat16, or None if it is not measured to be cheaper."""
    if objective.precision != "float32" or tolerance < LEAST_TOLERANCE or objective.device.type == "mps":
        return None
    if exact.mode.order != "reverse over reverse":
        return None
    operator = "ggn" if exact.operator == "hessian" else exact.operator
    surrogate = CurvatureOperator(objective, operator, split=exact.split, precision="bfloat16")
    try:
        if emulates_bfloat16(objective, exact.split):
            return None
        slow = exact.seconds_per_example()
        if slow * exact.examples * USUAL_PRODUCTS < LEAST_SECONDS:
            return None
        fast = surrogate.seconds_per_example()
    except (RuntimeError, NotImplementedError):  # an operator of this model has no bfloat16 form
        return None
    return surrogate if fast < ADVANTAGE * slow else None


def leading_vectors(
    surrogate: CurvatureOperator,
    rounded: CurvatureOperator,
    request: EigenRequest,
    *,
    device: torch.device,
    on_product: OnProduct | None = None,
) -> LeadingSubspace | None:
    """Return the leading eigenvectors of the surrogate operator, some more than requested for a gap to those left out.

    None if they do not converge within `max_products`, or the operator has an eigenvalue as large outside their span.

    Args:
        surrogate: the operator that is cheaper and nearly the same.
        rounded: the operator itself in the surrogate's precision, to look for what the surrogate lacks.
        request: the largest eigenvalues and their accuracy.
        device: where the basis is held.
        on_product: called after each product with their number and the current bounds relative to the tolerance.
    """
    top = request.top
    tighter = dataclasses.replace(request, tolerance=0.6 * request.tolerance, vector_tolerance=np.inf)
    search = RayleighRitz(surrogate, surrogate.size, tighter, device=device, on_product=on_product)
    search.begin(None)
    search.run(request.max_products, check=False)
    basis = search.basis
    if not search.settled or basis.count <= top:
        return None
    last = float(basis.values[top - 1])
    probe = probe_complement(
        rounded,
        basis,
        search.random(),
        good=lambda low, high: high <= (1 - GAP) * last,
        limits=(-np.inf, last),
        most=max(1, min(USUAL_PRODUCTS, request.max_products - search.products)),
        on_product=search.count_check,
    )
    if probe.missed is not None or not probe.high < last:
        return None
    highs = _highs(search, probe, min(basis.count - 1, top + MOST_GUARDS))
    wide = [k for k in range(top, len(highs)) if highs[k] <= (1 - GAP) * last]
    kept = list(range(wide[0] if wide else top))
    low = min(probe.low, float(basis.values[-1]))
    return LeadingSubspace(basis.vectors(kept), basis.images(kept), low, highs[len(kept)], search.products)


def start_from(
    leading: LeadingSubspace, exact: CurvatureOperator, request: EigenRequest, *, device: torch.device
) -> RayleighRitz:
    """Return Rayleigh–Ritz on the exact operator, started from the vectors, with bounds outside their span."""
    search = RayleighRitz(
        exact, exact.size, dataclasses.replace(request, vector_tolerance=np.inf, seed=0), device=device
    )
    search.begin(leading.vectors.T)
    difference = search.basis.difference(leading.vectors, leading.images)
    search.outside = leading.low - difference, leading.high + difference
    return search


def _highs(search: RayleighRitz, probe: ComplementRange, most: int) -> list[float]:
    """Return for each number of leading vectors, 0 to `most`, an upper bound of the spectrum outside them."""
    values, G = search.basis.values, search.basis.G
    return [lehmann_interval(values[k:], G[k:, k:], 0, probe.low, probe.high)[1] for k in range(most + 1)]
