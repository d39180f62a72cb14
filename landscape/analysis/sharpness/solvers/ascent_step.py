"""One ascent step: the perturbations of SAM and of ASAM, for any p."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal, TypeAlias

import torch
from torch import Tensor

from landscape.analysis.objective.weights import Weights
from landscape.errors import LandscapeError

Scope: TypeAlias = Literal["all", "weights-only"]

ETA = 0.01  # Kwon et al.'s


def sam_perturbation(gradient: Mapping[str, Tensor], rho: float, p: float = 2.0) -> Weights:
    """Return ε̂ = ρ sign(g) |g|^(q−1) / (‖g‖_q^q)^(1/p), 1/p + 1/q = 1 (arXiv:2010.01412, eq. 2).

    It maximizes gᵀε over ‖ε‖_p ≤ ρ. A zero gradient gives a zero perturbation.

    Raises:
        LandscapeError: where p is not above 1.
    """
    check_norm(p)
    if math.isinf(p):
        return {name: rho * g.sign() for name, g in gradient.items()}
    largest = max(float(g.abs().max()) for g in gradient.values())
    if largest == 0:
        return {name: torch.zeros_like(g) for name, g in gradient.items()}
    q = p / (p - 1)
    scaled = {name: g / largest for name, g in gradient.items()}  # the formula has degree 0 in g: nothing overflows
    total = sum(float(_exact(g).abs().pow(q).sum()) for g in scaled.values())
    factor = rho / total ** (1 / p)
    if p == 2:
        return {name: factor * g for name, g in scaled.items()}
    return {name: factor * g.sign() * g.abs().pow(q - 1) for name, g in scaled.items()}


def asam_perturbation(
    gradient: Mapping[str, Tensor],
    weights: Mapping[str, Tensor],
    rho: float,
    p: float = 2.0,
    *,
    eta: float = ETA,
    scope: Scope = "all",
) -> Weights:
    """Return ASAM's ε̂, for p = 2 ρ T² g / ‖T g‖₂ and for p = ∞ ρ T sign(g) (Kwon et al. 2021, arXiv:2102.11600).

    With T = diag(|w| + η) it is T times SAM's perturbation for the gradient T g: it maximizes gᵀε over ‖T⁻¹ε‖_p ≤ ρ.

    Args:
        gradient: g.
        weights: w, of the same names and shapes.
        rho: radius.
        p: order of the norm, above 1.
        eta: η.
        scope: "all" parameters are scaled, or as in the authors' code those whose name has "weight" in it.
    """
    scale = {
        name: w.abs() + eta if scope == "all" or "weight" in name else torch.ones_like(w) for name, w in weights.items()
    }
    step = sam_perturbation({name: scale[name] * g for name, g in gradient.items()}, rho, p)
    return {name: scale[name] * e for name, e in step.items()}


def gradient_norm(gradient: Mapping[str, Tensor]) -> float:
    """Return ‖g‖₂, accumulated in float64."""
    return math.sqrt(sum(float(_exact(g).square().sum()) for g in gradient.values()))


def check_norm(p: float) -> None:
    """Check that an ascent step in this norm is defined.

    Raises:
        LandscapeError: where p is not above 1.
    """
    if not p > 1:
        raise LandscapeError(f"got p = {p:g}; expected a number above 1, or inf")


def _exact(tensor: Tensor) -> Tensor:
    """Return the tensor in float64, on the CPU where the device has none (MPS)."""
    return tensor.cpu().double() if tensor.device.type == "mps" else tensor.double()
