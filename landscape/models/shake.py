"""Noise that scales a branch by one random number in the forward pass and by another in the backward pass."""

from __future__ import annotations

import torch
from torch import Tensor


def shaken(x: Tensor, forward: Tensor, backward: Tensor) -> Tensor:
    """Return `forward · x`, whose gradient is that of `backward · x` (both factors broadcast to `x`).

    Both factors are drawn in the forward pass, so that a pass repeated from the same state of torch's generator, such
    as SAM's second, has the same noise in both directions.

    >>> x = torch.ones(2, requires_grad=True)
    >>> y = shaken(x, torch.tensor(0.25), torch.tensor(0.75))
    >>> y.tolist(), torch.autograd.grad(y.sum(), x)[0].tolist()
    ([0.25, 0.25], [0.75, 0.75])
    """
    forward, backward = forward.to(x.dtype), backward.to(x.dtype)
    return backward * x + (forward - backward) * x.detach()


def uniform_per_image(x: Tensor, low: float = 0.0, high: float = 1.0) -> Tensor:
    """Return a uniform random number for each image of `x` (N, …) as (N, 1, 1, 1) float32, from torch's generator."""
    return torch.rand(x.shape[0], 1, 1, 1, device=x.device) * (high - low) + low
