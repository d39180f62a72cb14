"""The user's model, loss and metrics on a few examples, before anything long: what does not fit is said in one line."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from landscape.analysis.objective import losses
from landscape.analysis.objective.batches import Nested, count_examples, tensors
from landscape.analysis.objective.network import Network
from landscape.analysis.objective.precision import full_float32
from landscape.errors import LandscapeError


def try_model(network: Network, inputs: Nested, *, fold: bool) -> Any:
    """Return the outputs of a few examples, the network having found its fast path.

    Raises:
        LandscapeError: where the model does not take them.
    """
    try:
        return network.probe(inputs, fold=fold)
    except Exception as error:  # whatever the user's forward raises
        raise LandscapeError(
            f"the model does not take a batch of inputs of shape {_shapes(inputs)}: {_reason(error)}"
        ) from error


def try_loss(name: str, loss: losses.Loss, outputs: Any, targets: Nested) -> bool:
    """Return whether the loss gives one value per example.

    Raises:
        LandscapeError: where it does not take these outputs and targets.
    """
    try:
        with torch.no_grad(), full_float32():
            values = loss(outputs, targets)
    except LandscapeError:
        raise
    except Exception as error:  # whatever the user's loss raises
        raise LandscapeError(
            f"the loss {name} does not take outputs of shape {_shapes(outputs)} and targets of shape "
            f"{_shapes(targets)}: {_reason(error)}"
        ) from error
    return losses.per_example(values, count_examples(targets))[1]


def try_metric(name: str, metric: losses.Metric, outputs: Any, targets: Nested) -> None:
    """Check that a metric takes these outputs and targets.

    Raises:
        LandscapeError: where it does not, or returns no tensor.
    """
    try:
        with torch.no_grad():
            values = metric(outputs, targets)
    except Exception as error:  # whatever the user's metric raises
        raise LandscapeError(f"the metric {name} failed on outputs and targets: {_reason(error)}") from error
    if not isinstance(values, Tensor):
        raise LandscapeError(f"the metric {name} returned {type(values).__name__}; expected a tensor")
    losses.per_example(values, count_examples(targets))


def _shapes(nested: Nested) -> str:
    return ", ".join(str(tuple(tensor.shape)) for tensor in tensors(nested)) or type(nested).__name__


def _reason(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
