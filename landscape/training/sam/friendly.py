"""Friendly SAM: the perturbation follows the noise of the batch's gradient, not its full-batch part."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.amp import GradScaler

from landscape.errors import LandscapeError
from landscape.training.sam.displaced import Base, Closure, Parameters
from landscape.training.sam.gradients import HALF
from landscape.training.sam.sam import SAM


class FriendlySAM(SAM):
    """Friendly SAM (Li et al. 2024, arXiv:2403.12350, Algorithm 1): SAM along the noise of the batch's gradient.

    A moving average of the gradients estimates the gradient of all examples, m ← λ m + (1 − λ) g from m = 0, and the
    perturbation takes d = g − σ m for the gradient g: ε̂ = ρ d / ‖d‖₂. The step takes the gradient at w + ε̂ as in SAM.
    (The authors' code subtracts the average before its update, and starts it at the first gradient.)

    The average holds one copy of the parameters, in float32 for parameters of half precision. It takes in the gradient
    of every perturbation: in m-SAM that of each micro-batch, with several processes and `ascent="local"` those of the
    process alone.

    >>> import functools
    >>> w = torch.nn.Parameter(torch.tensor([3.0, 4.0]))
    >>> optimizer = FriendlySAM([w], functools.partial(torch.optim.SGD, lr=0.1), rho=0.5)
    >>> def closure():
    ...     optimizer.zero_grad()
    ...     loss = w.square().sum() / 2
    ...     loss.backward()
    ...     return loss
    >>> optimizer.step(closure).item()
    12.5
    >>> [round(value, 2) for value in w.tolist()]  # in the first step d is along g
    [2.67, 3.56]

    Args:
        params: parameters or groups of them; a group may set `rho`.
        base: function from the groups to the base optimizer.
        sigma: σ, the share of the average that is subtracted; 0 is SAM.
        decay: λ of the average, from 0 to below 1.
        **options: those of `SAM`.

    Raises:
        LandscapeError: for an invalid value; in a step for sparse gradients, and for a gradient scaler, whose changing
            scale the average would mix.
    """

    def __init__(
        self, params: Parameters, base: Base, *, sigma: float = 1.0, decay: float = 0.9, **options: Any
    ) -> None:
        if not 0 <= sigma <= 1:
            raise LandscapeError(f"sigma must be from 0 to 1, not {sigma}; the paper takes 1")
        if not 0 <= decay < 1:
            raise LandscapeError(f"decay must be at least 0 and below 1, not {decay}; 0.9 averages over ten steps")
        self.sigma, self.decay = sigma, decay
        self._means: dict[Tensor, Tensor] = {}
        super().__init__(params, base, **options)

    def _gradient(self, closures: Sequence[Closure], scaler: GradScaler | None) -> Any:
        if scaler is not None:
            raise LandscapeError("FriendlySAM averages gradients and takes no gradient scaler: train in bfloat16")
        return super()._gradient(closures, scaler)

    def _ascent_gradients(self, weights: Sequence[Tensor]) -> list[Tensor]:
        """Update the averages, and return the gradients less their share of them."""
        directions = []
        for q in weights:
            assert q.grad is not None
            if q.grad.is_sparse:
                raise LandscapeError("FriendlySAM takes no sparse gradients: set sparse=False")
            g = q.grad.float() if q.grad.dtype in HALF else q.grad
            mean = self._means.setdefault(q, torch.zeros_like(g)).lerp_(g, 1 - self.decay)
            directions.append(g - self.sigma * mean)
        return directions

    def _extra_state(self) -> dict[str, Any]:
        means = {i: self._means[q] for i, q in enumerate(self._parameters()) if q in self._means}
        return {**super()._extra_state(), "means": means}

    def _load_extra_state(self, state: dict[str, Any]) -> None:
        super()._load_extra_state(state)
        params = self._parameters()
        self._means = {params[i]: mean.to(params[i].device) for i, mean in state.get("means", {}).items()}
