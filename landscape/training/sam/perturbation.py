"""Where the gradient is taken: SAM's and ASAM's ascent in any p-norm, and filter-scaled Gaussian noise."""

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
    """Return SAM's perturbation, the ε that maximizes gᵀε under ‖T⁻¹ε‖_p ≤ ρ; it uses up the gradients.

    With 1/p + 1/q = 1 and h = T g: ε̂ = ρ T sign(h) |h|^(q−1) / (‖h‖_q^q)^(1/p). With T = 1 this is SAM (Foret et al.
    2021, arXiv:2010.01412, eq. 2); with T = diag(|w| + η) it is ASAM (Kwon et al. 2021, arXiv:2102.11600), stated there
    for p = 2, ρ T² g / ‖T g‖₂, and p = ∞, ρ T sign(g). Substituting ε = T u turns the second into the first for any p.

    Args:
        weights: parameters, left as they are.
        gradients: theirs, sparse ones coalesced. Computed in place where they are not of half precision.
        rhos: radius of each, over one norm of all.
        adaptive: whether T = |w| + η for it, rather than 1.
        scratch: one tensor like each weight, overwritten.
        p: above 1, or infinity.
        eta: constant that lets small weights move.
    """
    steps = [g.float() if g.dtype in HALF else g for g in gradients]  # 1 / ‖g‖ may be out of float16's range
    if not steps:
        return steps
    numbers = [values(g) for g in steps]
    where_adaptive = [i for i, scaled in enumerate(adaptive) if scaled]
    scaled = [numbers[i] for i in where_adaptive]
    scales = _scales([(weights[i], steps[i], scratch[i]) for i in where_adaptive], eta)
    if scaled:
        torch._foreach_mul_(scaled, scales)
    inverse = _dual_(numbers, p)
    if scaled:
        torch._foreach_mul_(scaled, scales)
    for rho, where in grouped(rhos):
        multiply_([numbers[i] for i in where], inverse * rho)
    return steps


def _scales(of: Sequence[tuple[Tensor, Tensor, Tensor]], eta: float) -> list[Tensor]:
    """Return |w| + η for each (weight, gradient, scratch): in the last, or for the rows of a sparse gradient alone."""
    scales = [w.sparse_mask(g).values() if g.is_sparse else scratch.copy_(w) for w, g, scratch in of]
    if scales:
        torch._foreach_abs_(scales)
        torch._foreach_add_(scales, eta)
    return scales


def _dual_(numbers: list[Tensor], p: float) -> Tensor | float:
    """Turn h into sign(h) |h|^(q−1), and return the factor that gives it a p-norm of 1; zero stays zero."""
    if p == 2:
        return ratio(1.0, norm(numbers))
    if p == math.inf:
        torch._foreach_sign_(numbers)
        return 1.0
    q = p / (p - 1)
    for order in (math.inf, q):  # by the largest first: |h|^q alone would under- or overflow
        multiply_(numbers, ratio(1.0, norm(numbers, order)))
    for x in numbers:
        x.copy_(x.sign() * x.abs().pow_(q - 1))
    return 1.0


def add_(weights: Sequence[Tensor], steps: Sequence[Tensor]) -> None:
    """Add each step, dense or sparse, to its weight."""
    for (*_, sparse), where in grouped((s.device, s.dtype, s.is_sparse) for s in steps):
        if sparse:
            for i in where:
                weights[i].add_(steps[i])
        else:
            torch._foreach_add_([weights[i] for i in where], [steps[i] for i in where])


def add_noise_(weight: Tensor, gamma: float, generator: torch.Generator) -> None:
    """Add Gaussian noise whose standard deviation is `gamma` times the norm of each filter (slice along dimension 0).

    A tensor of fewer than two dimensions is one filter. So Bisla et al. 2022 (LPF-SGD, arXiv:2201.08025) and Li et al.
    2022 (RWP, arXiv:2211.11489) scale their noise.
    """
    across = tuple(range(1, weight.dim())) or None
    lengths = torch.linalg.vector_norm(weight, dim=across, keepdim=True)
    noise = torch.empty_like(weight).normal_(generator=generator)
    weight.add_(noise.mul_(lengths).mul_(gamma))
