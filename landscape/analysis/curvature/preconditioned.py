"""The largest eigenvalue of Adam's preconditioned Hessian, whose edge of stability is Adam's (Cohen et al. 2022)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from landscape.analysis.linalg.lanczos import Eigenpairs, EigenRequest, extreme_eigenpairs
from landscape.analysis.objective.objective import Objective
from landscape.analysis.objective.weights import flatten
from landscape.analysis.operators.operator import CurvatureOperator


@dataclass(frozen=True)
class AdamState:
    """Second moments of Adam after some steps, and the settings of its preconditioner.

    Attributes:
        second_moments: running mean v of the squared gradients, by parameter.
        step: number t of steps taken.
        betas: (β₁, β₂).
        eps: ε.
    """

    second_moments: Mapping[str, Tensor]
    step: int
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8

    def preconditioner(self, like: Mapping[str, Tensor]) -> Tensor:
        """Return the diagonal (n,) of P = (1 − β₁ᵗ) (√(v / (1 − β₂ᵗ)) + ε) (arXiv:2207.14484, section 2), in float64.

        Args:
            like: parameters, in the order of the diagonal; those without a second moment had no gradient yet (v = 0).
        """
        v = flatten({name: self.second_moments.get(name, torch.zeros_like(w)).detach() for name, w in like.items()})
        beta1, beta2 = self.betas
        return (1 - beta1**self.step) * ((v.double() / (1 - beta2**self.step)).sqrt() + self.eps)


def adam_state(optimizer: Optimizer, parameters: Mapping[str, Tensor]) -> AdamState | None:
    """Return the state of an optimizer of Adam's family, tensors shared; None for another, or before its first step.

    >>> w = torch.nn.Parameter(torch.ones(1))
    >>> optimizer = torch.optim.Adam([w])
    >>> w.grad = torch.full((1,), 2.0)
    >>> optimizer.step()
    >>> adam_state(optimizer, {"w": w}).preconditioner({"w": w})  # (1 − 0.9) (|2| + 1e-8)
    tensor([0.2000], dtype=torch.float64)
    """
    states = {name: optimizer.state[p] for name, p in parameters.items() if p in optimizer.state}
    states = {name: state for name, state in states.items() if {"exp_avg_sq", "step"} <= state.keys()}
    if not states:
        return None
    settings: dict[str, Any] = optimizer.param_groups[0]
    beta1, beta2 = settings["betas"]
    step = int(max(float(state["step"]) for state in states.values()))
    moments = {name: state["exp_avg_sq"] for name, state in states.items()}
    return AdamState(moments, step, (float(beta1), float(beta2)), float(settings["eps"]))


def preconditioned_eigenpair(
    objective: Objective,
    state: AdamState,
    *,
    tolerance: float = 0.01,
    max_products: int = 100,
    seed: int = 0,
    start: Tensor | None = None,
) -> Eigenpairs:
    """Return the largest eigenvalue of P^(−1/2) H P^(−1/2), which has the eigenvalues of P⁻¹ H, and its vector (n, 1).

    Args:
        objective: whose Hessian H, on its first split.
        state: of Adam, which gives P.
        tolerance: on the bound, relative.
        max_products: the most Hessian-vector products.
        seed: of the random vectors.
        start: (n, k) vectors to begin with, such as those of a nearby point.
    """
    operator = CurvatureOperator(objective, "hessian")
    scale = state.preconditioner(objective.origin).rsqrt()

    def product(vectors: Tensor) -> Tensor:
        factor = scale.to(vectors.device, vectors.dtype)
        factor = factor if vectors.ndim == 1 else factor[:, None]
        image: Tensor = factor * operator.matvec(factor * vectors)
        return image

    request = EigenRequest(top=1, tolerance=tolerance, max_products=max_products, seed=seed)
    return extreme_eigenpairs(product, operator.size, request, device=objective.device, start=start)
