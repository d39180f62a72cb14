"""Losses and metrics per example, whatever form the user's come in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.modules.loss import _Loss

from landscape.analysis.objective.torch_losses import IGNORED, ClassLoss, class_scores, from_torch, next_tokens
from landscape.errors import LandscapeError

# (outputs, targets) → (B,) values, or a scalar batch mean, or a pair (sum, weight) of either shape
Loss: TypeAlias = Callable[[Any, Any], Any]
Metric: TypeAlias = Callable[[Any, Any], Any]  # the same

BROADCAST = 1e-4  # relative difference of losses above which outputs and targets were broadcast


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


class Accuracy:
    """Share of labels that are the largest output's, as a pair: labels that are right, and labels that count.

    Labels outside 0 … C − 1 do not count: they mark pixels and tokens to ignore.
    """

    def __init__(self, class_dim: int = 1, ignore_index: int | None = None, *, shift: bool = False) -> None:
        self.class_dim, self.ignore_index, self.shift = class_dim, ignore_index, shift

    def __call__(self, outputs: Any, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Return two (B,) tensors."""
        scores = class_scores(outputs)
        if self.shift:
            scores, targets = next_tokens(scores, targets)
        counted = (targets >= 0) & (targets < scores.shape[self.class_dim])
        if self.ignore_index is not None:
            counted &= targets != self.ignore_index
        right = counted & (scores.argmax(self.class_dim) == targets)
        return (
            right.reshape(len(targets), -1).sum(1, dtype=torch.float32),
            counted.reshape(len(targets), -1).sum(1, dtype=torch.float32),
        )


LOSSES: dict[str, Loss] = {
    "cross_entropy": cross_entropy,
    "token_cross_entropy": ClassLoss(class_dim=-1),
    "next_token_cross_entropy": ClassLoss(class_dim=-1, shift=True),
    "mse": mean_squared_error,
}


def resolve_loss(loss: str | Loss) -> tuple[str, Loss]:
    """Return the name and the function of a loss given as a name or as a callable.

    Classification losses of torch are returned as their numerator and denominator per example (see `ClassLoss`).

    Raises:
        LandscapeError: for an unknown name, or a loss module of torch that sums over the batch.
    """
    if callable(loss):
        module, name = getattr(loss, "__module__", ""), getattr(loss, "__qualname__", type(loss).__name__)
        function = from_torch(loss)
        if isinstance(function, _Loss) and function.reduction == "sum":
            raise LandscapeError(
                f"expected a loss with reduction='mean' or 'none', got {name}(reduction='sum'), whose value depends on "
                "the batch size"
            )
        return f"{module}:{name}".lstrip(":"), function
    if loss not in LOSSES:
        raise LandscapeError(
            f"unknown loss {loss!r}; expected one of cross_entropy, mse, or a function; for outputs with the classes "
            "last token_cross_entropy or next_token_cross_entropy"
        )
    return loss, LOSSES[loss]


class ExampleSums(NamedTuple):
    """Result of a loss or metric for a batch; its mean is Σ sums / Σ weights."""

    sums: Tensor  # (B,)
    weights: Tensor | None  # (B,); None: 1 each
    single: bool  # whether they are really one per example, or the batch's spread evenly


def example_sums(result: Any, count: int) -> ExampleSums:
    """Return the result of a loss or metric per example.

    A scalar is taken as the batch's mean and stands for each of its examples; their spread is then unknown. A pair is
    (sum, weight), both scalars or both (B,).

    Raises:
        LandscapeError: for anything else.
    """
    if isinstance(result, tuple | list) and len(result) == 2:
        total = result[0]
        if isinstance(total, Tensor):
            weight = torch.as_tensor(result[1], dtype=total.dtype, device=total.device)
            if weight.shape == total.shape and total.shape == (count,):
                return ExampleSums(total, weight, True)
            if weight.ndim == total.ndim == 0:
                return ExampleSums((total / count).expand(count), (weight / count).expand(count), False)
    elif isinstance(result, Tensor):
        if result.ndim == 0:
            return ExampleSums(result.expand(count), None, False)
        if result.shape == (count,):
            return ExampleSums(result, None, True)
    raise LandscapeError(
        f"a loss or metric returned {_shape_of(result)} for {count} examples; "
        f"expected ({count},) or a scalar mean, or a pair (sum, weight)"
    )


def _shape_of(result: Any) -> str:
    if isinstance(result, Tensor):
        return f"shape {tuple(result.shape)}"
    if isinstance(result, tuple | list):
        return f"({', '.join(map(_shape_of, result))})"
    return type(result).__name__


def for_targets(name: str, loss: Loss, outputs: Any, has_ignored: bool) -> Loss:
    """Return the loss to use for these outputs: cross-entropy averages over all pixels or tokens that count."""
    if name != "cross_entropy" or isinstance(loss, ClassLoss):
        return loss
    plain = isinstance(outputs, Tensor) and outputs.ndim == 2 and not has_ignored
    return loss if plain else ClassLoss()


def is_classification(outputs: Any, targets: Any, class_dim: int = 1) -> bool:
    """Return True if outputs are class scores (B, C, …) and targets class numbers (B, …) of the same further sizes.

    With a `class_dim` of −1 outputs are (B, …, C).
    """
    scores = class_scores(outputs)
    if not (isinstance(scores, Tensor) and isinstance(targets, Tensor) and scores.ndim == targets.ndim + 1):
        return False
    if targets.is_floating_point() or targets.is_complex() or targets.dtype == torch.bool or scores.ndim < 2:
        return False
    sizes = list(scores.shape)
    return sizes.pop(class_dim) > 1 and sizes == list(targets.shape)


def averages_over_classes(loss: Loss, outputs: Tensor, targets: Tensor) -> bool:
    """Return True if dimension 1 of (B, C, …) is the loss's class dimension, where the last one could be, too.

    The softmax does not change if a number is added to all classes of an example.
    """
    if outputs.ndim < 3 or not is_classification(outputs, targets, -1):
        return True

    def unchanged(dim: int) -> bool:
        shape = list(outputs.shape)
        shape[dim] = 1
        shift = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64).to(outputs)
        return same_result(loss(outputs, targets), loss(outputs + shift, targets))

    return unchanged(1) and not unchanged(-1)


def same_result(a: Any, b: Any, tolerance: float = BROADCAST) -> bool:
    """Return True if two results of one loss have the same shapes and about the same values."""
    if isinstance(a, tuple | list) and isinstance(b, tuple | list):
        return len(a) == len(b) and all(same_result(x, y, tolerance) for x, y in zip(a, b, strict=True))
    x, y = torch.as_tensor(a).double(), torch.as_tensor(b).double()
    return x.shape == y.shape and torch.allclose(x, y, rtol=tolerance, atol=tolerance * float(x.abs().max()))


__all__ = ["IGNORED", "LOSSES", "Accuracy", "ClassLoss", "ExampleSums", "Loss", "Metric", "class_scores"]
