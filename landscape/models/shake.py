"""Noise that scales a branch by one random number in the forward pass and by another in the backward pass."""

from __future__ import annotations

import torch
from torch import Tensor


def shaken(x: Tensor, forward: Tensor, backward: Tensor) -> Tensor:
    """Return `forward · x`, whose gradient is that of `backward · x` (both factors broadcast to `x`).

    Both factors are drawn before, so that all randomness is in the forward pass: a pass repeated from the same state of
    torch's generator, such as SAM's second, then has the same noise in both directions.
    """
    forward, backward = forward.to(x.dtype), backward.to(x.dtype)
    return backward * x + (forward - backward) * x.detach()


def uniform_per_image(x: Tensor, low: float = 0.0, high: float = 1.0) -> Tensor:
    """Return a uniform random number for each image of `x` (N, …) as (N, 1, 1, 1) float32, from torch's generator."""
    return torch.rand(x.shape[0], 1, 1, 1, device=x.device) * (high - low) + low
