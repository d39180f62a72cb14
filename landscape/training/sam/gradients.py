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
    """Return a dense gradient itself, or the values of a sparse, coalesced one, without a copy."""
    return gradient.values() if gradient.is_sparse else gradient


def grouped(keys: Iterable[Hashable]) -> Iterable[tuple[Any, list[int]]]:
    """Return each key with its positions; `torch._foreach` functions need tensors of one device and one dtype."""
    positions: dict[Hashable, list[int]] = {}
    for i, key in enumerate(keys):
        positions.setdefault(key, []).append(i)
    return positions.items()


def norm(numbers: Sequence[Tensor], order: float = 2) -> Tensor:
    """Return the norm of all tensors as one vector, on the device of the first, without synchronization."""
    # half-precision squares overflow; MPS has no float64, but then no gradient is float64 either
    dtype = functools.reduce(torch.promote_types, {x.dtype for x in numbers}, torch.float32)
    norms: list[Tensor] = []
    for _, indices in grouped((x.device, x.dtype) for x in numbers):
        norms += torch._foreach_norm([numbers[i] for i in indices], order, dtype=dtype)
    total: Tensor = torch.linalg.vector_norm(torch.stack([n.to(norms[0].device) for n in norms]), order)
    return total


def ratio(a: Tensor | float, b: Tensor) -> Tensor:
    """Return a / b, or 0 if b is 0; `torch.where` with a number would copy it to the device and wait."""
    return (a / b).masked_fill_(b == 0, 0.0)


def multiply_(numbers: Sequence[Tensor], factor: Tensor | float) -> None:
    """Multiply the tensors, on any devices, by one number on any device, in place."""
    for (device, dtype), indices in grouped((x.device, x.dtype) for x in numbers):
        local = factor.to(device, dtype) if isinstance(factor, Tensor) else factor
        torch._foreach_mul_([numbers[i] for i in indices], local)


def coalesce_(parameters: Iterable[Tensor]) -> None:
    """Coalesce sparse gradients, so that their norm is that of the summed rows."""
    for p in parameters:
        if p.grad is not None and p.grad.is_sparse:
            p.grad = p.grad.coalesce()


def mean_gradient(parameters: Sequence[Tensor], passes: Sequence[Callable[[], Any]]) -> Any:
    """Set `p.grad` to the mean gradient of the passes; return the loss of one pass, or the mean loss of several.

    A pass may clear the gradients at its start or not. Several passes hold one more copy of the gradients, their sum.
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
    """Add the gradients to the sums, and clear them."""
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
    """Scale the gradients to a joint L2 norm of at most `max_norm`, as torch's `clip_grad_norm_` does."""
    coalesce_(parameters)
    numbers = [values(p.grad) for p in parameters if p.grad is not None]
    if numbers:
        multiply_(numbers, torch.clamp(max_norm / (norm(numbers) + 1e-6), max=1.0))


def projection(a: Sequence[Tensor], b: Sequence[Tensor]) -> Tensor:
    """Return c = ⟨a, b⟩ / ⟨b, b⟩, for which a − c b is orthogonal to b, each taken as one vector; 0 for b = 0.

    Both inner products are summed in the same order, so that c is exactly 1 for equal vectors.
    """
    return ratio(_inner(a, b), _inner(b, b))


def add_multiple_(a: Sequence[Tensor], b: Sequence[Tensor], coefficient: Tensor) -> None:
    """Add `coefficient` times `b` to `a`, without a copy."""
    for x, y in zip(a, b, strict=True):
        x.addcmul_(y, coefficient.to(x.device, x.dtype))


def add_rescaled_(a: Sequence[Tensor], b: Sequence[Tensor], alpha: float) -> None:
    """Add α (‖a‖ / ‖b‖) b to `a`, in place."""
    add_multiple_(a, b, ratio(alpha * norm(a), norm(b)))


def _inner(a: Sequence[Tensor], b: Sequence[Tensor]) -> Tensor:
    dtype = functools.reduce(torch.promote_types, {x.dtype for x in a}, torch.float32)
    products = [torch.sum(x * y, dtype=dtype) for x, y in zip(a, b, strict=True)]
    return torch.stack([x.to(products[0].device) for x in products]).sum()
