"""The loss and the metrics of an objective: which ones, and their values per example."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from landscape.analysis.objective import losses
from landscape.analysis.objective.data.batches import Batches
from landscape.analysis.objective.data.nested import Nested
from landscape.analysis.objective.losses import Accuracy, ClassLoss, ExampleSums, Loss, Metric
from landscape.analysis.objective.model_loss import ModelLoss
from landscape.analysis.objective.validation import try_labels, try_loss, try_metric
from landscape.errors import LandscapeError


@dataclass(frozen=True)
class Metrics:
    """Functions of outputs and targets by name, the loss first."""

    functions: dict[str, Metric]
    weighted: frozenset[str]  # those that give a pair (sum, weight)
    single: bool  # whether the loss gives one value per example


class MetricValues(NamedTuple):
    """A metric on a batch. The mean of its values over all examples is the metric."""

    values: Tensor  # (B,)
    weights: Tensor | None  # (B,), of mean 1 over all examples; None: 1 each
    single: bool  # whether the values are really one per example

    @classmethod
    def of(cls, found: ExampleSums, mean_weight: float) -> MetricValues:
        """Return the values of a batch's sums, given the mean weight of all examples."""
        if found.weights is None and mean_weight == 1.0:
            return cls(found.sums, None, found.single)
        weights = torch.ones_like(found.sums) if found.weights is None else found.weights
        return cls(found.sums / mean_weight, weights / mean_weight, found.single)


def choose_metrics(
    name: str, loss: Loss, user_metrics: Mapping[str, Metric], probe: tuple[Any, Nested], data: Sequence[Batches]
) -> Metrics:
    """Choose the functions to measure: the loss, accuracy for classification, and the user's metrics.

    Args:
        name: of the loss.
        loss: result of `resolve_loss`.
        user_metrics: further functions by name.
        probe: outputs and targets of a few examples, on which all functions are tried.
        data: examples of all splits; their labels are checked.

    Raises:
        LandscapeError: if a function does not fit the outputs and targets.
    """
    outputs, targets = probe
    ignores = any(losses.IGNORED in batches.label_set for batches in data)
    loss = losses.for_targets(name, loss, outputs, ignores)
    checked = name != "mse" and not isinstance(loss, ModelLoss) and losses.is_classification(*probe, _class_dim(loss))
    if checked:
        _check_labels(name, loss, probe, data)
    functions: dict[str, Metric] = {"loss": loss}
    sums = {"loss": try_loss(name, loss, outputs, targets)}
    accuracy = _accuracy(name, loss, probe, data) if checked else None
    if accuracy is not None:
        functions["accuracy"] = accuracy
        sums["accuracy"] = try_metric("accuracy", accuracy, outputs, targets)
    for metric_name, metric in user_metrics.items():
        if metric_name in functions:
            raise LandscapeError(
                f"a metric cannot be named {metric_name!r}, which is measured already; choose another name"
            )
        functions[metric_name] = metric
        sums[metric_name] = try_metric(metric_name, metric, outputs, targets)
    weighted = frozenset(name for name, each in sums.items() if each.weights is not None)
    return Metrics(functions, weighted, sums["loss"].single)


def _class_dim(loss: Loss) -> int:
    return loss.class_dim if isinstance(loss, ClassLoss) else 1


def _check_labels(name: str, loss: Loss, probe: tuple[Any, Tensor], data: Sequence[Batches]) -> None:
    """Check that all labels are classes or ignored by the loss."""
    scores, targets = losses.class_scores(probe[0]), probe[1]
    classes = scores.shape[_class_dim(loss)]
    if isinstance(loss, ClassLoss) or name in losses.LOSSES:
        for batches in data:
            batches.check_labels(classes, ignored=loss.ignore_index if isinstance(loss, ClassLoss) else None)
    elif isinstance(probe[0], Tensor):
        try_labels(name, loss, scores, targets, _labels(data), classes)


def _accuracy(name: str, loss: Loss, probe: tuple[Any, Tensor], data: Sequence[Batches]) -> Metric | None:
    """Return the accuracy for a classification loss; None if its classes are not dimension 1."""
    outputs, targets = probe
    if isinstance(loss, ClassLoss):
        plain = loss.class_dim == 1 and loss.ignore_index not in _labels(data)
        metric = Accuracy(loss.class_dim, loss.ignore_index, shift=loss.shift)
        return losses.accuracy if plain and isinstance(outputs, Tensor) else metric
    if name in losses.LOSSES:
        return losses.accuracy
    if isinstance(outputs, Tensor) and not losses.averages_over_classes(loss, outputs, targets):
        return None
    classes = losses.class_scores(outputs).shape[1]
    return losses.accuracy if isinstance(outputs, Tensor) and _labels(data) <= set(range(classes)) else Accuracy()


def _labels(data: Sequence[Batches]) -> set[int]:
    return set().union(*(batches.label_set for batches in data))
