"""Losses and metrics per example, whatever form the user's come in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

from landscape.errors import LandscapeError

Loss: TypeAlias = Callable[[Any, Any], Tensor]  # (outputs, targets) → (B,) or a scalar batch mean
Metric: TypeAlias = Callable[[Any, Any], Tensor]  # the same


def cross_entropy(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return −log softmax at the target for each example, (B,); averaged over further target dimensions."""
    return F.cross_entropy(outputs, targets, reduction="none").reshape(len(targets), -1).mean(1)


def mean_squared_error(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the squared error of each example averaged over its outputs, (B,).

    Raises:
        LandscapeError: if outputs and targets differ in shape (broadcasting would compare every pair).
    """
    if outputs.shape != targets.shape:
        raise LandscapeError(
            f"mse compares outputs of shape {tuple(outputs.shape)} with targets of shape {tuple(targets.shape)}; "
            "expected the same shape"
        )
    return F.mse_loss(outputs, targets.to(outputs.dtype), reduction="none").reshape(len(targets), -1).mean(1)


def accuracy(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return 1 where the largest output is the target's, else 0, as (B,); averaged over further target dimensions."""
    return (outputs.argmax(1) == targets).float().reshape(len(targets), -1).mean(1)


LOSSES: dict[str, Loss] = {"cross_entropy": cross_entropy, "mse": mean_squared_error}


def resolve_loss(loss: str | Loss) -> tuple[str, Loss]:
    """Return the name and the function of a loss given as a name or as a callable.

    Raises:
        LandscapeError: for an unknown name.
    """
    if callable(loss):
        module, name = getattr(loss, "__module__", ""), getattr(loss, "__qualname__", type(loss).__name__)
        return f"{module}:{name}".lstrip(":"), loss
    if loss not in LOSSES:
        raise LandscapeError(f"unknown loss {loss!r}; expected one of {', '.join(LOSSES)}, or a function")
    return loss, LOSSES[loss]


def per_example(values: Tensor, count: int) -> tuple[Tensor, bool]:
    """Return (B,) values, and whether they really are one per example.

    A scalar is taken as the batch's mean, so it stands for each of its examples; their spread is then unknown.
    """
    if values.ndim == 0:
        return values.expand(count), False
    if values.shape != (count,):
        raise LandscapeError(
            f"a loss or metric returned shape {tuple(values.shape)} for {count} examples; "
            f"expected ({count},) or a scalar mean"
        )
    return values, True


def is_classification(outputs: Any, targets: Any) -> bool:
    """Whether outputs are class scores (B, C, …) and targets class numbers (B, …) of the same further dimensions."""
    return (
        isinstance(outputs, Tensor)
        and isinstance(targets, Tensor)
        and not targets.is_floating_point()
        and targets.dtype != torch.bool
        and outputs.ndim == targets.ndim + 1
        and outputs.shape[2:] == targets.shape[1:]
    )
