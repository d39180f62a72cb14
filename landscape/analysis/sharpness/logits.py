"""Losses of normalized logits, whose scale a classifier's sharpness otherwise depends on."""

from __future__ import annotations

import functools
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor

from landscape.analysis.objective.losses import Loss
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
    return objective.variant(loss=functools.partial(_normalized_loss, objective.loss_function))


def normalized_logits(outputs: Tensor) -> Tensor:
    """Return class scores (B, C, …) centred over C and divided by their Euclidean norm over C."""
    centred = outputs - outputs.mean(1, keepdim=True)
    length: Tensor = torch.linalg.vector_norm(centred, dim=1, keepdim=True)
    return centred / length.clamp_min(_TINY)


def _normalized_loss(loss: Loss, outputs: Any, targets: Any) -> Tensor:
    return loss(normalized_logits(outputs), targets)
