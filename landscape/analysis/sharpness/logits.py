"""Losses of normalized logits, whose scale a classifier's sharpness otherwise depends on."""

from __future__ import annotations

import functools
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor

from landscape.analysis.objective.losses import ClassLoss, Loss, class_scores
from landscape.analysis.objective.objective import Objective
from landscape.errors import LandscapeError

Logits: TypeAlias = Literal["raw", "normalized"]

_TINY = 1e-10


def with_logits(objective: Objective, logits: Logits) -> Objective:
    """Return the objective as it is for "raw", or with its loss of normalized logits.

    Normalized logits are centred over the classes and divided by their Euclidean norm, as in the evaluation code of
    Andriushchenko et al. 2023 (arXiv:2302.07011).

    Raises:
        LandscapeError: where the outputs are not class scores.
    """
    if logits == "raw":
        return objective
    if logits != "normalized":
        raise LandscapeError(f"unknown logits {logits!r}; expected raw or normalized")
    if "accuracy" not in objective.metrics:
        raise LandscapeError("logits can be normalized for classification only; take logits 'raw'")
    loss = objective.loss_function
    class_dim = loss.class_dim if isinstance(loss, ClassLoss) else 1
    return objective.variant(loss=functools.partial(_normalized_loss, loss, class_dim))


def normalized_logits(outputs: Tensor, class_dim: int = 1) -> Tensor:
    """Return class scores (B, C, …) centred over C and divided by their Euclidean norm over C."""
    centred = outputs - outputs.mean(class_dim, keepdim=True)
    length = torch.linalg.vector_norm(centred, dim=class_dim, keepdim=True)
    normalized: Tensor = centred / length.clamp_min(_TINY)
    return normalized


def _normalized_loss(loss: Loss, class_dim: int, outputs: Any, targets: Any) -> Any:
    return loss(normalized_logits(class_scores(outputs), class_dim), targets)
