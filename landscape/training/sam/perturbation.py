"""Perturbations of the weights: the ascent of SAM and ASAM in any p-norm, and filter-scaled Gaussian noise."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from landscape.training.sam.gradients import HALF, grouped, multiply_, norm, ratio, values


def dual_ascent(
    weights: Sequence[Tensor],
    gradients: Sequence[Tensor],
    rhos: Sequence[float],
    adaptive: Sequence[bool],
    scratch: Sequence[Tensor],
    *,
    p: float,
    eta: float,
) -> list[Tensor]:
    """Return SAM's perturbation, the ε that maximizes gᵀε subject to ‖T⁻¹ε‖_p ≤ ρ; the gradients are overwritten.

    With 1/p + 1/q = 1 and h = T g: ε̂ = ρ T sign(h) |h|^(q−1) / (‖h‖_q^q)^(1/p). With T = 1 this is SAM (Foret et al.
    2021, arXiv:2010.01412, eq. 2); with T = diag(|w| + η) it is ASAM (Kwon et al. 2021, arXiv:2102.11600), stated there
    for p = 2, ρ T² g / ‖T g‖₂, and p = ∞, ρ T sign(g). Substituting ε = T u turns the second into the first for any p.

    Args:
        weights: parameters, unchanged.
        gradients: gradients of the weights, sparse ones coalesced; overwritten unless of half precision.
        rhos: radius for each weight; the norm is over all weights together.
        adaptive: True for weights with T = |w| + η, False for T = 1.
        scratch: a tensor like each weight, overwritten.
        p: order of the norm, above 1 or infinity.
        eta: η, which lets small weights move.
    """
    steps = [g.float() if g.dtype in HALF else g for g in gradients]  # 1 / ‖g‖ may exceed the range of float16
    if not steps:
        return steps
    numbers = [values(g) for g in steps]
    adaptive_indices = [i for i, scaled in enumerate(adaptive) if scaled]
    scaled = [numbers[i] for i in adaptive_indices]
    scales = _scales([(weights[i], steps[i], scratch[i]) for i in adaptive_indices], eta)
    if scaled:
        torch._foreach_mul_(scaled, scales)
    inverse = _dual_(numbers, p)
    if scaled:
        torch._foreach_mul_(scaled, scales)
    for rho, indices in grouped(rhos):
        multiply_([numbers[i] for i in indices], inverse * rho)
    return steps


def _scales(entries: Sequence[tuple[Tensor, Tensor, Tensor]], eta: float) -> list[Tensor]:
    """Return |w| + η of each (weight, gradient, scratch), stored in scratch; for a sparse gradient its rows alone."""
    scales = [w.sparse_mask(g).values() if g.is_sparse else scratch.copy_(w) for w, g, scratch in entries]
    if scales:
        torch._foreach_abs_(scales)
        torch._foreach_add_(scales, eta)
    return scales


def _dual_(numbers: list[Tensor], p: float) -> Tensor | float:
    """Replace h by sign(h) |h|^(q−1), and return the factor that gives it a p-norm of 1; zero stays zero."""
    if p == 2:
        return ratio(1.0, norm(numbers))
    if p == math.inf:
        torch._foreach_sign_(numbers)
        return 1.0
    q = p / (p - 1)
    for order in (math.inf, q):  # first by the maximum, since |h|^q could under- or overflow
        multiply_(numbers, ratio(1.0, norm(numbers, order)))
    for x in numbers:
        x.copy_(x.sign() * x.abs().pow_(q - 1))
    return 1.0


def add_(weights: Sequence[Tensor], steps: Sequence[Tensor]) -> None:
    """Add each step, dense or sparse, to its weight."""
    for (*_, sparse), indices in grouped((s.device, s.dtype, s.is_sparse) for s in steps):
        if sparse:
            for i in indices:
                weights[i].add_(steps[i])
        else:
            torch._foreach_add_([weights[i] for i in indices], [steps[i] for i in indices])


def add_noise_(weight: Tensor, gamma: float, generator: torch.Generator) -> None:
    """Add Gaussian noise whose standard deviation is `gamma` times the norm of each filter (slice along dimension 0).

    A tensor of fewer than two dimensions is one filter. This is the noise of LPF-SGD (Bisla et al. 2022,
    arXiv:2201.08025) and RWP (Li et al. 2022, arXiv:2211.11489).
    """
    across = tuple(range(1, weight.dim())) or None
    lengths = torch.linalg.vector_norm(weight, dim=across, keepdim=True)
    noise = torch.empty_like(weight).normal_(generator=generator)
    weight.add_(noise.mul_(lengths).mul_(gamma))
