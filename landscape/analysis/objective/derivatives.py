"""Gradients and curvature products of one batch's loss, as functions of functions: no model or data in sight."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from landscape.analysis.objective.precision import full_float32
from landscape.analysis.objective.weights import Weights

Mode: TypeAlias = Literal["reverse over reverse", "forward over reverse"]
Operator: TypeAlias = Literal["hessian", "ggn", "fisher"]
OPERATORS: tuple[Operator, ...] = ("hessian", "ggn", "fisher")


@dataclass(frozen=True)
class BatchLoss:
    """One batch's loss: weights → outputs → one value per example."""

    outputs: Callable[[Weights], Any]
    values: Callable[[Any], Tensor]  # outputs → (B,)


@contextlib.contextmanager
def twice_differentiable(*, plain_kernels: bool = False) -> Iterator[None]:
    """Within this context attention takes the math backend: fused kernels have no second derivative.

    Float32 is full float32, and torch does not warn that its own forward mode, when first used, scripts something with
    `torch.jit`. With `plain_kernels`, recurrent layers take torch's own kernels, too: oneDNN's and cuDNN's have no
    second derivative (convolutions lose theirs as well, so that is for the models that need it).
    """
    with contextlib.ExitStack() as stack:
        stack.enter_context(warnings.catch_warnings())
        warnings.filterwarnings("ignore", "`torch.jit.script` is", DeprecationWarning)
        warnings.filterwarnings("ignore", "TF32 acceleration on top of oneDNN", UserWarning)
        stack.enter_context(sdpa_kernel(SDPBackend.MATH))
        stack.enter_context(full_float32())
        if plain_kernels:
            stack.enter_context(torch.backends.mkldnn.flags(enabled=False))
            stack.enter_context(torch.backends.cudnn.flags(enabled=False))
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
