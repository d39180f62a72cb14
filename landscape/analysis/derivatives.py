"""Gradients and curvature products of one batch's loss, as functions of functions: no model or data in sight."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor
from torch.func import grad, jvp, vjp
from torch.nn.attention import SDPBackend, sdpa_kernel

from landscape.analysis.weights import Weights

Mode: TypeAlias = Literal["forward over reverse", "reverse over reverse"]


@contextlib.contextmanager
def twice_differentiable() -> Iterator[None]:
    """Within this context attention takes the math backend: fused kernels have no second derivative."""
    with sdpa_kernel(SDPBackend.MATH):
        yield


def add(total: Weights, part: Mapping[str, Tensor]) -> None:
    """Add `part` to `total` in place."""
    for name in total:
        total[name] += part[name]


def gradient(loss: Callable[[Weights], Tensor], point: Weights) -> tuple[Tensor, Weights]:
    """Return the loss and its gradient at `point`; parameters that do not matter get zeros."""
    leaves = {name: w.detach().requires_grad_() for name, w in point.items()}
    with torch.enable_grad():
        value = loss(leaves)
        gradients = torch.autograd.grad(value, list(leaves.values()), materialize_grads=True)
    return value.detach(), dict(zip(leaves, gradients, strict=True))


def hessian_product(
    loss: Callable[[Weights], Tensor], point: Weights, vector: Mapping[str, Tensor], mode: Mode | None = None
) -> tuple[Weights, Mode]:
    """Return H v and the mode taken; without one, forward over reverse, unless an operator has no forward mode."""
    if mode != "reverse over reverse":
        try:
            return jvp(grad(loss), (point,), ({name: vector[name] for name in point},))[1], "forward over reverse"
        except (NotImplementedError, RuntimeError):
            if mode is not None:  # it has worked before: a real failure (memory, for instance)
                raise
    leaves = {name: w.detach().requires_grad_() for name, w in point.items()}
    with torch.enable_grad():
        parameters = list(leaves.values())
        gradients = torch.autograd.grad(loss(leaves), parameters, create_graph=True, materialize_grads=True)
        inner = torch.stack([(g * vector[name]).sum() for name, g in zip(leaves, gradients, strict=True)]).sum()
        products = torch.autograd.grad(inner, parameters, materialize_grads=True)
    return dict(zip(leaves, products, strict=True)), "reverse over reverse"


def ggn_product(
    network: Callable[[Weights], Any], loss: Callable[[Any], Tensor], point: Weights, vector: Mapping[str, Tensor]
) -> Weights:
    """Return Jᵀ ∇²loss J v, with J the Jacobian of the network's outputs."""
    outputs, tangent = jvp(network, (point,), ({name: vector[name] for name in point},))
    _, curved = jvp(grad(loss), (outputs,), (tangent,))
    _, pull = vjp(network, point)
    product: Weights = pull(curved)[0]
    return product
