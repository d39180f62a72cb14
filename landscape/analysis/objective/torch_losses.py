"""Losses of torch that are no plain mean over examples, taken apart into numerator and denominator.

`nn.CrossEntropyLoss(weight=…, ignore_index=…)` divides by the weight of a batch, so that the mean of its values over
batches depends on the batch size. Its numerator and denominator add up to the same quotient whatever the batches.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from landscape.errors import LandscapeError

IGNORED = -100  # torch's ignore_index


class ClassLoss:
    """Cross-entropy or negative log-likelihood over the labels that count, as (sum, weight) per example.

    The quotient of the totals is torch's `reduction="mean"` over all examples together. With `reduction="none"` the
    loss is the mean of the values over all labels, with "sum" the mean over examples of their sums.

    Args:
        kind: of scores ("cross_entropy") or of log-probabilities ("nll").
        weight: of each class, (C,).
        ignore_index: the label that does not count.
        label_smoothing: as torch has it.
        reduction: as torch has it.
        class_dim: 1 for outputs (B, C, …), −1 for outputs (B, …, C), as language models give them.
        shift: whether the outputs (B, T, C) at a token are compared with the label of the next one (causal models).
    """

    def __init__(
        self,
        kind: Literal["cross_entropy", "nll"] = "cross_entropy",
        *,
        weight: Tensor | None = None,
        ignore_index: int = IGNORED,
        label_smoothing: float = 0.0,
        reduction: str = "mean",
        class_dim: int = 1,
        shift: bool = False,
    ) -> None:
        self.kind, self.weight, self.ignore_index = kind, None if weight is None else weight.detach(), ignore_index
        self.label_smoothing, self.reduction, self.class_dim = label_smoothing, reduction, class_dim
        self.shift = shift

    def __call__(self, outputs: Any, targets: Tensor) -> Any:
        """Return (sum, weight), two (B,) tensors; one (B,) tensor for class probabilities as targets."""
        scores = class_scores(outputs)
        if self.shift:
            scores, labels = next_tokens(scores, targets)
        else:
            labels = targets
        if self.class_dim != 1:
            scores = scores.movedim(self.class_dim, 1)
            if labels.is_floating_point():
                labels = labels.movedim(self.class_dim, 1)
        values = self._values(scores, labels).reshape(len(targets), -1)
        if self.reduction == "sum":
            return values.sum(1)
        weights = self.example_weights(targets)
        if self.reduction == "none" or weights is None:
            return values.mean(1)
        return values.sum(1), weights.to(values.dtype)

    def example_weights(self, targets: Tensor) -> Tensor | None:
        """Return the weight of each example's labels together, (B,); None where all weigh the same."""
        if self.reduction != "mean" or targets.is_floating_point():
            return None
        if self.shift:
            targets = targets[:, 1:]
        counted = targets != self.ignore_index
        each = counted.double() if targets.device.type != "mps" else counted.float()
        if self.weight is not None:
            each = each * self.weight.to(each)[targets.where(counted, torch.zeros_like(targets)).long()]
        return each.reshape(len(targets), -1).sum(1)

    def _values(self, scores: Tensor, targets: Tensor) -> Tensor:
        weight = None if self.weight is None else self.weight.to(scores)
        targets = targets.to(scores.dtype) if targets.is_floating_point() else targets.long()
        if self.kind == "nll":
            return F.nll_loss(scores, targets, weight, ignore_index=self.ignore_index, reduction="none")
        return F.cross_entropy(
            scores,
            targets,
            weight,
            ignore_index=self.ignore_index,
            reduction="none",
            label_smoothing=self.label_smoothing,
        )


def class_scores(outputs: Any) -> Any:
    """Return the logits of outputs that have them by this name (Hugging Face's), else the outputs."""
    if isinstance(outputs, Tensor):
        return outputs
    if isinstance(outputs, Mapping):
        return outputs.get("logits", outputs)
    return getattr(outputs, "logits", outputs)


def next_tokens(scores: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Return the scores (B, T − 1, C) of all tokens but the last, and the labels (B, T − 1) of those after them."""
    return scores[:, :-1], targets[:, 1:]


class BinaryLoss:
    """Binary cross-entropy of logits, averaged over an example's outputs, (B,)."""

    def __init__(
        self, *, weight: Tensor | None = None, pos_weight: Tensor | None = None, reduction: str = "mean"
    ) -> None:
        self.weight, self.pos_weight, self.reduction = weight, pos_weight, reduction

    def __call__(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return (B,) values.

        Raises:
            LandscapeError: for a weight per example, which belongs to one batch only.
        """
        if self.weight is not None and self.weight.ndim >= outputs.ndim and len(self.weight) > 1:
            raise LandscapeError(
                f"BCEWithLogitsLoss has a weight of shape {tuple(self.weight.shape)} for outputs of shape "
                f"{tuple(outputs.shape)}: one per example of one batch; pass weights as a part of the targets to a "
                "function of your own"
            )
        weight, pos_weight = (None if w is None else w.detach().to(outputs) for w in (self.weight, self.pos_weight))
        values = F.binary_cross_entropy_with_logits(
            outputs, targets.to(outputs.dtype), weight, pos_weight=pos_weight, reduction="none"
        ).reshape(len(targets), -1)
        return values.sum(1) if self.reduction == "sum" else values.mean(1)


def from_torch(loss: Any) -> Any:
    """Return a loss of torch taken apart; any other as it is."""
    module = _as_module(loss)
    reduction = getattr(module, "reduction", "")
    if type(module) is nn.CrossEntropyLoss:
        return ClassLoss(
            weight=module.weight,
            ignore_index=module.ignore_index,
            label_smoothing=module.label_smoothing,
            reduction=reduction,
        )
    if type(module) is nn.NLLLoss:
        return ClassLoss("nll", weight=module.weight, ignore_index=module.ignore_index, reduction=reduction)
    if type(module) is nn.BCEWithLogitsLoss:
        return BinaryLoss(
            weight=module.weight,
            pos_weight=module.pos_weight,
            reduction=reduction,
        )
    return loss


_MODULES = {
    F.cross_entropy: nn.CrossEntropyLoss,
    F.nll_loss: nn.NLLLoss,
    F.binary_cross_entropy_with_logits: nn.BCEWithLogitsLoss,
}


def _as_module(loss: Any) -> Any:
    """Return the module that a function of torch, possibly with its options bound, is the same as."""
    function, options = loss, {}
    if isinstance(loss, functools.partial) and not loss.args:
        function, options = loss.func, loss.keywords
    try:
        return _MODULES[function](**options)
    except (KeyError, TypeError):  # another function, or options that the module lacks
        return loss
