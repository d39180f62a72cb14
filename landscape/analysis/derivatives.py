"""Gradients and curvature products of one batch's loss, as functions of functions: no model or data in sight."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal, TypeAlias, cast

import torch
from torch import Tensor
from torch.func import grad, jvp, vjp
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._pytree import tree_flatten, tree_unflatten

from landscape.analysis.precision import full_float32
from landscape.analysis.weights import Weights

Mode: TypeAlias = Literal["forward over reverse", "reverse over reverse"]


@contextlib.contextmanager
def twice_differentiable() -> Iterator[None]:
    """Within this context attention takes the math backend: fused kernels have no second derivative.

    Float32 is full float32, and torch does not warn that its own forward mode, when first used, scripts something with
    `torch.jit`.
    """
    with sdpa_kernel(SDPBackend.MATH), full_float32(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`torch.jit.script` is", DeprecationWarning)
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
        products = _gradient_along(gradients, parameters, [vector[name] for name in leaves])
    return dict(zip(leaves, products, strict=True)), "reverse over reverse"


def ggn_product(
    network: Callable[[Weights], Any],
    loss: Callable[[Any], Tensor],
    point: Weights,
    vector: Mapping[str, Tensor],
    mode: Mode | None = None,
) -> tuple[Weights, Mode]:
    """Return Jᵀ ∇²loss J v, with J the Jacobian of the network's outputs, and the mode taken (as for H v)."""
    if mode != "reverse over reverse":
        try:
            outputs, tangent = cast(tuple[Any, Any], jvp(network, (point,), ({name: vector[name] for name in point},)))
            curved = cast(tuple[Any, Any], jvp(grad(loss), (outputs,), (tangent,)))[1]
            pull = cast(tuple[Any, Any], vjp(network, point))[1]
            return cast(Weights, pull(curved)[0]), "forward over reverse"
        except (NotImplementedError, RuntimeError):
            if mode is not None:
                raise
    leaves = {name: w.detach().requires_grad_() for name, w in point.items()}
    with torch.enable_grad():
        parameters = list(leaves.values())
        outputs, structure = tree_flatten(network(leaves))
        seeds = [torch.zeros_like(output).requires_grad_() for output in outputs]
        pulled = torch.autograd.grad(outputs, parameters, seeds, create_graph=True, materialize_grads=True)
        along = [vector[name] for name in leaves]
        tangents = _gradient_along(pulled, seeds, along, retain_graph=True)  # Jᵀ u is linear in u: this is J v
        ends = [output.detach().requires_grad_() for output in outputs]
        slopes = torch.autograd.grad(
            loss(tree_unflatten(ends, structure)), ends, create_graph=True, materialize_grads=True
        )
        curved = _gradient_along(slopes, ends, tangents)
        products = torch.autograd.grad(outputs, parameters, curved, materialize_grads=True)
    return dict(zip(leaves, products, strict=True)), "reverse over reverse"


def _gradient_along(
    values: Sequence[Tensor], inputs: Sequence[Tensor], along: Sequence[Tensor], *, retain_graph: bool = False
) -> Sequence[Tensor]:
    """Return the gradient of Σ ⟨value, along⟩; zeros where the values do not depend on the inputs."""
    inner = torch.stack([(value * a).sum() for value, a in zip(values, along, strict=True)]).sum()
    if not inner.requires_grad:
        return [torch.zeros_like(x) for x in inputs]
    return torch.autograd.grad(inner, list(inputs), retain_graph=retain_graph, materialize_grads=True)
