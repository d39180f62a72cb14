"""Warnings if the loss is stochastic or depends on the batch composition."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import torch

from landscape.analysis.objective.data.nested import Nested, map_tensors, tensors
from landscape.analysis.objective.losses import example_sums
from landscape.analysis.objective.objective import Objective

EXAMPLES = 8
LOSS_DIFFERENT = 1e-4  # relative difference of losses above which it is not rounding
DIFFERENT = 1e-3  # relative difference of outputs above which it is not rounding


class LossWarning(UserWarning):
    """Derivatives do not describe the loss."""


class DeterminismWarning(LossWarning):
    """The loss is no deterministic function of the weights, so that its derivatives do not describe it."""


def determinism_warnings(objective: Objective, split: str | None = None) -> tuple[str, ...]:
    """Return warnings if the loss is stochastic or depends on the batch composition; empty if it is deterministic.

    The model runs as it is differentiated, in evaluation mode, on a few examples: twice, and cut in two.
    """
    inputs, targets, count = next(objective.batches(split))
    few = min(count, EXAMPLES)
    of_batches = _batch_loss_warnings(objective, inputs, targets, count)
    if any(t.ndim == 0 or len(t) != count for t in tensors(inputs)):
        return of_batches  # not cut along the examples: nothing can be said

    outputs = _forward(objective)

    def part(start: int, stop: int) -> Nested:
        return map_tensors(lambda t: t[start:stop], inputs)

    with torch.no_grad():
        first, again = outputs(part(0, few)), outputs(part(0, few))
        in_two = few > 1 and objective.batchnorm != "batch"  # there the batch's statistics are what was asked for
        halves = [outputs(part(0, few // 2)), outputs(part(few // 2, few))] if in_two else []
    messages = []
    if any(_differ(a, b) for a, b in zip(first, again, strict=True)):
        messages.append(
            "two passes over the same inputs give different outputs (dropout or another random layer that is active in "
            "evaluation mode); the loss and all that is derived from it are then random"
        )
    elif halves and all(a.shape[:1] == (few,) for a in first):
        joined = [torch.cat(pair) for pair in zip(*halves, strict=True)]
        if any(a.shape != b.shape or _differ(a, b) for a, b in zip(first, joined, strict=True)):
            messages.append(
                "an example's output depends on the others in its batch (batch statistics); the loss then depends on "
                "batch_size and on the order of the examples"
            )
    return (*messages, *of_batches)


def _batch_loss_warnings(objective: Objective, inputs: Nested, targets: Nested, count: int) -> tuple[str, ...]:
    """Return a warning if a scalar loss of a batch is not the weighted mean of the losses of its parts.

    The parts are of a third and two thirds: halves can agree by chance, as where equally many labels are ignored.
    """
    if objective.has_per_example_loss or count < 2 or objective.batchnorm == "batch":
        return ()
    if any(t.ndim == 0 or len(t) != count for t in tensors((inputs, targets))):
        return ()
    network, cut = objective.network, max(1, count // 3)

    def part(nested: Nested, start: int, stop: int) -> Nested:
        return map_tensors(lambda t: t[start:stop], nested)

    def loss(start: int, stop: int) -> tuple[float, float]:
        """Return sum and weight of the examples from `start` to `stop`."""
        outputs = run(part(inputs, start, stop)) if whole is None else part(whole, start, stop)
        batch_sums = example_sums(objective.loss_function(outputs, part(targets, start, stop)), stop - start)
        weights = stop - start if batch_sums.weights is None else float(batch_sums.weights.double().sum())
        return float(batch_sums.sums.double().sum()), weights

    run = partial(network.outputs, *network.point(None))
    with torch.no_grad():
        whole = None if objective.is_joint else run(inputs)
        if whole is not None and any(t.ndim == 0 or len(t) != count for t in tensors(whole)):
            return ()
        pairs = [loss(0, count), loss(0, cut), loss(cut, count)]
    (total, weight), *parts = pairs
    joined, joined_weight = (sum(values) for values in zip(*parts, strict=True))
    if not (weight > 0 and joined_weight > 0 and math.isfinite(total) and math.isfinite(joined)):
        return ()
    a, b = total / weight, joined / joined_weight
    if abs(a - b) <= LOSS_DIFFERENT * max(abs(a), abs(b)):
        return ()
    return (
        f"the loss {objective.loss_name} of a batch is not the mean of its examples' ({a:.6g} for {count} examples, "
        f"{b:.6g} for the same in two parts): it depends on batch_size; return one value per example, (B,), or a pair "
        "(sum, weight)",
    )


def _forward(objective: Objective) -> Callable[[Nested], list[torch.Tensor]]:
    """Return the floating-point outputs as a function of inputs, in the objective's BatchNorm mode."""
    network = objective.network
    if objective.batchnorm == "batch":
        run = network.forward(None, None, objective.dtype)
    else:
        run = partial(network.outputs, *network.point(None))
    return lambda inputs: [t for t in tensors(run(inputs)) if t.is_floating_point()]


def _differ(a: torch.Tensor, b: torch.Tensor) -> bool:
    largest = float(a.abs().max()) if a.numel() else 0.0
    return bool(largest > 0 and not float((a - b).abs().max()) <= DIFFERENT * largest)
