"""Validation of the user's model, loss and metrics on a few examples; a misfit is one line."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from landscape.analysis.objective import losses
from landscape.analysis.objective.data.nested import Nested, count_examples, map_tensors, tensors
from landscape.analysis.objective.model.network import Network
from landscape.analysis.objective.precision import full_float32
from landscape.errors import LandscapeError

PLAIN = (Tensor, tuple, list, dict)  # types of outputs that can be rebuilt; others have attributes


def try_model(network: Network, inputs: Nested, *, fold: bool) -> Any:
    """Return the outputs of a few examples, once the network has chosen its fast path.

    Raises:
        LandscapeError: if the model does not accept them.
    """
    try:
        return network.probe(inputs, fold=fold)
    except Exception as error:  # whatever the user's forward raises
        if network.dtype == torch.float64 and any(word in str(error) for word in ("Float", "dtype", "Double")):
            raise LandscapeError(
                "the model does not run in float64, since it makes tensors of another type itself; "
                f"use precision='float32': {_reason(error)}"
            ) from error
        raise LandscapeError(
            f"the model does not take a batch of inputs of shape {_shapes(inputs)}: {_reason(error)}"
        ) from error


def try_loss(name: str, loss: losses.Loss, outputs: Any, targets: Nested) -> losses.ExampleSums:
    """Return the loss of these outputs.

    Raises:
        LandscapeError: if the loss does not accept them, broadcasts one against the other, or returns a weight that
            depends on the outputs.
    """
    try:
        with torch.enable_grad(), full_float32(), quiet():
            values = loss(map_tensors(_leaf, outputs) if type(outputs) in PLAIN else outputs, targets)
    except LandscapeError:
        raise
    except Exception as error:  # whatever the user's loss raises
        raise LandscapeError(
            f"the loss {name} does not take outputs of shape {_shapes(outputs)} and targets of shape "
            f"{_shapes(targets)}: {_reason(error)}{_hint(name, outputs, targets, error)}"
        ) from error
    sums = losses.example_sums(values, count_examples(targets))
    if sums.weights is not None and sums.weights.requires_grad:
        raise LandscapeError(f"the weight that the loss {name} returns depends on the outputs; expected a constant")
    _check_broadcasting(f"the loss {name}", loss, outputs, targets)
    return losses.ExampleSums(sums.sums.detach(), sums.weights, sums.single)


def try_metric(name: str, metric: losses.Metric, outputs: Any, targets: Nested) -> losses.ExampleSums:
    """Return a metric of these outputs and targets.

    Raises:
        LandscapeError: if the metric does not accept them, broadcasts one against the other, or returns something else.
    """
    try:
        with torch.no_grad(), quiet():
            values = metric(outputs, targets)
    except Exception as error:  # whatever the user's metric raises
        raise LandscapeError(f"the metric {name} failed on outputs and targets: {_reason(error)}") from error
    if not isinstance(values, Tensor | tuple | list):
        raise LandscapeError(f"the metric {name} returned {type(values).__name__}; expected a tensor")
    sums = losses.example_sums(values, count_examples(targets))
    _check_broadcasting(f"the metric {name}", metric, outputs, targets)
    return sums


def try_labels(name: str, loss: losses.Loss, outputs: Tensor, targets: Tensor, labels: set[int], classes: int) -> None:
    """Check that a user's loss accepts labels that are not classes of the model (to be ignored).

    It is tried on the CPU: a GPU would stop with an opaque assertion.

    Raises:
        LandscapeError: naming the labels.
    """
    outside = sorted(label for label in labels if not 0 <= label < classes)

    def run(label: int) -> None:
        changed = targets.cpu().clone()
        changed.reshape(-1)[0] = label
        with torch.no_grad(), quiet():
            loss(outputs.cpu(), changed)

    try:
        run(0)
    except Exception:  # for example, a tensor of its own on a GPU: nothing can be said
        return
    for label in {*outside[:1], *outside[-1:]}:
        try:
            run(label)
        except Exception as error:
            raise LandscapeError(
                f"the labels run from {min(labels)} to {max(labels)}, but the model has {classes} outputs, and the "
                f"loss {name} fails on {label}: {_reason(error)}"
            ) from error


def _check_broadcasting(what: str, function: losses.Loss, outputs: Any, targets: Nested) -> None:
    """Refuse a function whose value changes when outputs get the shape of the targets: (N, 1) against (N,) is (N, N).

    Raises:
        LandscapeError: naming both shapes.
    """
    if not (isinstance(outputs, Tensor) and isinstance(targets, Tensor)):
        return
    if outputs.numel() != targets.numel() or outputs.shape == targets.shape:
        return
    if outputs.ndim == 0 or len(outputs) < 2:  # the loss of a model and its batch, or one example
        return
    same = []
    for z, y in ((outputs.reshape(targets.shape), targets), (outputs, targets.reshape(outputs.shape))):
        with contextlib.suppress(Exception), torch.no_grad(), quiet():  # a function may take its own shapes only
            same.append(losses.same_result(function(outputs, targets), function(z, y)))
    if same and not any(same):
        raise LandscapeError(
            f"{what} broadcasts outputs of shape {tuple(outputs.shape)} against targets of shape "
            f"{tuple(targets.shape)}, so that it compares every output with every target; give both one shape, for "
            "example with squeeze(1)"
        )


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Suppress warnings within this context, for trials on a few examples."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _leaf(tensor: Tensor) -> Tensor:
    return tensor.detach().requires_grad_() if tensor.is_floating_point() or tensor.is_complex() else tensor


def _hint(name: str, outputs: Any, targets: Nested, error: Exception) -> str:
    if "differentiated Tensor" in str(error) or "does not require grad" in str(error):
        return "; a loss that differentiates outputs by inputs is one of (model, batch): use landscape.ModelLoss"
    if name == "cross_entropy" and losses.is_classification(outputs, targets, -1):
        return "; for outputs with the classes last, (B, T, C), use token_cross_entropy"
    return ""


def _shapes(nested: Nested) -> str:
    return ", ".join(str(tuple(tensor.shape)) for tensor in tensors(nested)) or type(nested).__name__


def _reason(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
