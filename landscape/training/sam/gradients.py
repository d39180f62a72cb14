"""Arithmetic on lists of gradients: norms, means, clipping, and GSAM's and LookSAM's decompositions."""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from landscape.errors import LandscapeError

HALF = (torch.float16, torch.bfloat16)


def values(gradient: Tensor) -> Tensor:
    """Return the numbers of a gradient: all of them, or of a sparse, coalesced one those that it holds; no copy."""
    return gradient.values() if gradient.is_sparse else gradient


def grouped(keys: Iterable[Hashable]) -> Iterable[tuple[Any, list[int]]]:
    """Return each key with the positions at which it stands: torch._foreach functions want one device and one dtype."""
    positions: dict[Hashable, list[int]] = {}
    for i, key in enumerate(keys):
        positions.setdefault(key, []).append(i)
    return positions.items()


def norm(numbers: Sequence[Tensor], order: float = 2) -> Tensor:
    """Return the norm over all numbers of all tensors together, on the first one's device; without synchronization."""
    # half-precision squares overflow; MPS has no float64, but then no gradient is float64 either
    dtype = functools.reduce(torch.promote_types, {x.dtype for x in numbers}, torch.float32)
    norms: list[Tensor] = []
    for _, where in grouped((x.device, x.dtype) for x in numbers):
        norms += torch._foreach_norm([numbers[i] for i in where], order, dtype=dtype)
    total: Tensor = torch.linalg.vector_norm(torch.stack([n.to(norms[0].device) for n in norms]), order)
    return total


def ratio(a: Tensor | float, b: Tensor) -> Tensor:
    """Return a / b, and 0 where b is; torch.where with a number would copy that to the device and wait for it."""
    return (a / b).masked_fill_(b == 0, 0.0)


def multiply_(numbers: Sequence[Tensor], factor: Tensor | float) -> None:
    """Multiply the tensors, wherever they are, by one number on any device."""
    for (device, dtype), where in grouped((x.device, x.dtype) for x in numbers):
        here = factor.to(device, dtype) if isinstance(factor, Tensor) else factor
        torch._foreach_mul_([numbers[i] for i in where], here)


def coalesce_(parameters: Iterable[Tensor]) -> None:
    """Give every row of a sparse gradient once, so that its norm is that of the sum that it stands for."""
    for p in parameters:
        if p.grad is not None and p.grad.is_sparse:
            p.grad = p.grad.coalesce()


def mean_gradient(parameters: Sequence[Tensor], passes: Sequence[Callable[[], Any]]) -> Any:
    """Leave the mean of the gradients of the passes in `p.grad`; return the loss of one pass, or the mean of several.

    A pass may clear the gradients before its own or not. Several passes hold one more copy of the gradients, their sum.
    """
    if len(passes) == 1:
        return passes[0]()
    total: Any = 0.0
    sums: dict[Tensor, Tensor] = {}
    for run in passes:
        loss = run()
        if not isinstance(loss, Tensor | float | int):
            raise LandscapeError(f"each of several closures must return its loss, not {type(loss).__name__}")
        total = total + (loss.detach() if isinstance(loss, Tensor) else loss)
        _move_gradients(parameters, sums)
    for p, gradient in sums.items():
        p.grad = gradient.div_(len(passes))
    return total / len(passes)


def _move_gradients(parameters: Sequence[Tensor], sums: dict[Tensor, Tensor]) -> None:
    """Add the gradients to the sums and take them off the parameters."""
    totals, gradients = [], []
    for p in parameters:
        if p.grad is None:
            continue
        if p not in sums:
            sums[p] = p.grad
        elif p.grad.is_sparse or sums[p].is_sparse:
            sums[p] = sums[p] + p.grad
        else:
            totals.append(sums[p])
            gradients.append(p.grad)
        p.grad = None
    if totals:
        torch._foreach_add_(totals, gradients)


def clip_(parameters: Sequence[Tensor], max_norm: float) -> None:
    """Scale the gradients to an L2 norm of at most `max_norm` over all of them, as torch's clip_grad_norm_ does."""
    coalesce_(parameters)
    numbers = [values(p.grad) for p in parameters if p.grad is not None]
    if numbers:
        multiply_(numbers, torch.clamp(max_norm / (norm(numbers) + 1e-6), max=1.0))


def projection(a: Sequence[Tensor], b: Sequence[Tensor]) -> Tensor:
    """Return c such that a − c b is orthogonal to b, both taken as one vector: c = ⟨a, b⟩ / ⟨b, b⟩, and 0 for b = 0.

    Both inner products are summed alike, so that c is exactly 1 for equal vectors, whose difference is then exactly 0.
    """
    return ratio(_inner(a, b), _inner(b, b))


def add_multiple_(a: Sequence[Tensor], b: Sequence[Tensor], coefficient: Tensor) -> None:
    """Add to `a` the multiple of `b`, without a copy of it."""
    for x, y in zip(a, b, strict=True):
        x.addcmul_(y, coefficient.to(x.device, x.dtype))


def add_rescaled_(a: Sequence[Tensor], b: Sequence[Tensor], alpha: float) -> None:
    """Add to `a` the direction of `b` at `alpha` times the length of `a`: a + α (‖a‖ / ‖b‖) b."""
    add_multiple_(a, b, ratio(alpha * norm(a), norm(b)))


def _inner(a: Sequence[Tensor], b: Sequence[Tensor]) -> Tensor:
    dtype = functools.reduce(torch.promote_types, {x.dtype for x in a}, torch.float32)
    products = [torch.sum(x * y, dtype=dtype) for x, y in zip(a, b, strict=True)]
    return torch.stack([x.to(products[0].device) for x in products]).sum()
