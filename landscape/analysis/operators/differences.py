"""Derivatives of a scalar function compared with difference quotients of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from landscape.analysis.objective.weights import Weights, flatten

SYMMETRY = 0.01  # relative
NOISE = 1e-3  # relative distance to a nearby point without kinks, such as those at zero biases
AGREEMENT = 0.1  # of the disagreement; a function is smooth if its one-sided quotients differ by less
ROUNDING = 20.0  # error of a value, in units in the last place
STEPS = (1e-8, 1e-6, 1e-4)  # float64: relative to the weights; the first crosses hardly any kink of a ReLU
FLOAT32_CHANGES = (1e-2, 1e-3)  # float32: of the loss or of the weights, relative, whichever is the shorter step
TOLERANCE = {torch.float64: 1e-4, torch.float32: 5e-3}  # relative


@dataclass(frozen=True)
class Function:
    """A scalar function of a flat vector (n,) with its derivatives by autograd."""

    value: Callable[[Tensor], float]
    gradient: Callable[[Tensor], Tensor]
    hessian: Callable[[Tensor], Callable[[Tensor], Tensor]]  # point → (v → H v)


@dataclass(frozen=True)
class Disagreement:
    """Derivatives that are not those of the function."""

    order: int  # 1 for the gradient, 2 for products with the Hessian
    error: float  # relative


def disagreement(function: Function, origin: Weights, *, second: bool = True) -> Disagreement | None:
    """Compare the derivatives of a function near a point with difference quotients; return the first disagreement.

    Four tests: quotients of the function along its gradient and along a random vector (a gradient that lacks a part is
    right along itself); u · Hv = v · Hu with u = Hv; and, in float64, a quotient of the gradient along a random vector
    (in float32 steps are so long that they cross kinks of ReLUs). A disagreement counts only if the function is smooth,
    that is, if its forward and backward quotients agree.

    Args:
        function: of the flat vector of weights.
        origin: the weights; their precision is that of the test.
        second: test products with the Hessian, too.
    """
    generator = torch.Generator().manual_seed(0)
    point = flatten({name: w + NOISE * _like(w, generator) for name, w in origin.items()})
    vector = flatten({name: _like(w, generator) for name, w in origin.items()})
    gradient, base = function.gradient(point), function.value(point)
    if not (0 < float(gradient.norm()) < torch.inf and abs(base) < torch.inf):
        return None
    for direction in (gradient * (point.norm() / gradient.norm()), vector):
        mismatch = _first_order(function, point, base, float(gradient @ direction), direction)
        if mismatch is not None:
            return mismatch
    return _second_order(function, point, gradient, vector) if second else None


def _first_order(
    function: Function, point: Tensor, base: float, slope: float, direction: Tensor
) -> Disagreement | None:
    double = point.dtype == torch.float64
    steps = STEPS if double else [c * min(1.0, abs(base) / max(abs(slope), 1e-30)) for c in FLOAT32_CHANGES]
    worst = None
    for h in steps:
        if h == 0:
            continue
        above, below = function.value(point + h * direction), function.value(point - h * direction)
        forward, backward = (above - base) / h, (base - below) / h
        error, size = abs((above - below) / (2 * h) - slope), max(abs(forward), abs(backward), abs(slope))
        rounding = ROUNDING * torch.finfo(point.dtype).eps * max(1.0, abs(base)) / h
        if not error > TOLERANCE[point.dtype] * size:
            return None
        if error > rounding and abs(forward - backward) < AGREEMENT * error:
            worst = Disagreement(1, error / size)
    return worst


def _second_order(function: Function, point: Tensor, gradient: Tensor, vector: Tensor) -> Disagreement | None:
    hessian = function.hessian(point)
    product = hessian(vector)
    length = float(product.norm())
    if not length < torch.inf:
        return None
    if length > 0:
        mirrored = float(vector @ hessian(product / length))
        rounding = (
            ROUNDING
            * torch.finfo(point.dtype).eps
            * float(vector.norm())
            * float(gradient.norm() / point.norm().clamp_min(1e-30))
        )
        if abs(mirrored - length) > SYMMETRY * max(abs(mirrored), length) + rounding:
            return Disagreement(2, abs(mirrored - length) / max(abs(mirrored), length))
    if point.dtype != torch.float64:
        return None
    worst = None
    for h in STEPS:
        above, below = function.gradient(point + h * vector), function.gradient(point - h * vector)
        error = float(((above - below) / (2 * h) - product).norm())
        size = max(float((above - gradient).norm()) / h, float((gradient - below).norm()) / h, length)
        rounding = ROUNDING * torch.finfo(point.dtype).eps * float(gradient.norm()) / h
        if not error > TOLERANCE[point.dtype] * size:
            return None
        if error > rounding and float((above - 2 * gradient + below).norm()) / h < AGREEMENT * error:
            worst = Disagreement(2, error / size)
    return worst


def _like(tensor: Tensor, generator: torch.Generator) -> Tensor:
    """Return normal noise of the size of a tensor's entries; of size 1 for a tensor of zeros."""
    size = tensor.square().mean().sqrt() if tensor.numel() else tensor.new_ones(())
    noise = torch.randn(tensor.shape, generator=generator, dtype=torch.float64).to(tensor)
    return noise * torch.where(size > 0, size, torch.ones_like(size))
