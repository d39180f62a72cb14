"""Whether the loss is one function of the weights: no randomness, no influence of an example on another's output."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial

import torch

from landscape.analysis.objective.batches import Nested, map_tensors, tensors
from landscape.analysis.objective.objective import Objective

EXAMPLES = 8
DIFFERENT = 1e-3  # relative difference of outputs above which it is not rounding


class DeterminismWarning(UserWarning):
    """The loss is not one function of the weights, so that its derivatives mean less than they seem to."""


def reservations(objective: Objective, split: str | None = None) -> tuple[str, ...]:
    """Return in words what makes the loss other than one deterministic function of the weights; nothing if all is well.

    Found by running the model as it is differentiated, in evaluation mode, on a few examples: twice, and cut in two.
    """
    inputs, _, count = next(objective.batches(split))
    few = min(count, EXAMPLES)
    if any(t.ndim == 0 or len(t) != count for t in tensors(inputs)):
        return ()  # not cut along the examples: nothing can be said

    outputs = _forward(objective)

    def part(start: int, stop: int) -> Nested:
        return map_tensors(lambda t: t[start:stop], inputs)

    with torch.no_grad():
        first, again = outputs(part(0, few)), outputs(part(0, few))
        in_two = few > 1 and objective.batchnorm != "batch"  # there the batch's statistics are what was asked for
        halves = [outputs(part(0, few // 2)), outputs(part(few // 2, few))] if in_two else []
    found = []
    if any(_differ(a, b) for a, b in zip(first, again, strict=True)):
        found.append(
            "two passes over the same inputs give different outputs (dropout or another random layer that is active in "
            "evaluation mode); the loss and all that is derived from it are then random"
        )
    elif halves and all(a.shape[:1] == (few,) for a in first):
        joined = [torch.cat(pair) for pair in zip(*halves, strict=True)]
        if any(a.shape != b.shape or _differ(a, b) for a, b in zip(first, joined, strict=True)):
            found.append(
                "an example's output depends on the others in its batch (batch statistics); the loss then depends on "
                "batch_size and on the order of the examples"
            )
    return tuple(found)


def warn_of_reservations(objective: Objective, split: str | None = None) -> tuple[str, ...]:
    """Return the reservations, having warned of each (`DeterminismWarning`)."""
    found = reservations(objective, split)
    for message in found:
        warnings.warn(message, DeterminismWarning, stacklevel=3)
    return found


def _forward(objective: Objective) -> Callable[[Nested], list[torch.Tensor]]:
    """Return the floating-point outputs as a function of inputs, in the objective's BatchNorm mode."""
    network = objective.network
    if objective.batchnorm == "batch":
        run = partial(network.forward(None, None, objective.dtype), 0)
    else:
        run = partial(network.outputs, *network.point(None))
    return lambda inputs: [t for t in tensors(run(inputs)) if t.is_floating_point()]


def _differ(a: torch.Tensor, b: torch.Tensor) -> bool:
    largest = float(a.abs().max()) if a.numel() else 0.0
    return bool(largest > 0 and not float((a - b).abs().max()) <= DIFFERENT * largest)
