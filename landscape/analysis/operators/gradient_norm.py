"""The norm of the loss's gradient, with its standard error over the examples."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.func import jvp

from landscape.analysis.objective import derivatives
from landscape.analysis.objective.data.nested import Nested
from landscape.analysis.objective.objective import Objective
from landscape.analysis.objective.weights import Weights, norm
from landscape.stats.mean import Mean, mean_of_sums


def gradient_norm(
    objective: Objective,
    weights: Mapping[str, Tensor],
    *,
    buffers: Mapping[str, Tensor] | None = None,
    split: str | None = None,
) -> Mean:
    """Return ‖g‖, g the gradient of the mean loss at `weights`, in the objective's precision.

    The standard error is that of the mean over the examples of ⟨∇loss_i, g/‖g‖⟩, whose value is ‖g‖ (delta method); NaN
    where g is zero or not finite, or where the loss gives batch means only.
    """
    point, still = _point(objective, weights, buffers)
    split = split or objective.splits[0]
    total, n = {name: torch.zeros_like(w) for name, w in point.items()}, 0
    with derivatives.twice_differentiable():
        for inputs, targets, count in objective.batches(split):
            values = _losses(objective, still, (inputs, targets, count), split)
            _, gradient = derivatives.gradient(lambda moving, values=values: values(moving).sum(), point)  # type: ignore[misc]
            derivatives.add(total, gradient)
            n += count
    length = norm(total)
    without_stderr = Mean(length / n, float("nan"), n)
    if not (objective.has_per_example_loss and 0 < length < float("inf")):
        return without_stderr
    unit = {name: g / length for name, g in total.items()}
    sums = torch.zeros(2, dtype=objective.evaluation.exact, device=objective.device)
    with derivatives.twice_differentiable():
        for inputs, targets, count in objective.batches(split):
            slopes = _along(_losses(objective, still, (inputs, targets, count), split), point, unit).to(sums.dtype)
            sums += torch.stack([slopes.sum(), slopes.square().sum()])
    slope, squares = sums.tolist()
    return Mean(without_stderr.value, mean_of_sums(slope, squares, n).stderr, n)


def _point(
    objective: Objective, weights: Mapping[str, Tensor], buffers: Mapping[str, Tensor] | None
) -> tuple[Weights, Weights]:
    """Return the moving parameters, and the buffers that the loss has there: `buffers`, or re-estimated from them."""
    network = objective.network
    if network.batchnorm == "recalibrated":
        return {name: weights.get(name, w) for name, w in network.origin.items()}, network.recalibrated(
            weights, buffers
        )
    point, fixed = network.point(weights)
    return point, {**fixed, **(buffers or {})}


def _losses(
    objective: Objective, buffers: Weights, batch: tuple[Nested, Nested, int], split: str
) -> Callable[[Weights], Tensor]:
    """Return a batch's losses, (B,), as a function of the moving parameters."""
    inputs, targets, count = batch

    def values(moving: Weights) -> Tensor:
        outputs = objective.network.outputs(moving, buffers, inputs)
        return objective.loss_values(outputs, targets, count, split)

    return values


def _along(values: Callable[[Weights], Tensor], point: Weights, vector: Weights) -> Tensor:
    """Return each value's derivative along a vector: forward mode, or where an operator lacks it, twice reverse."""
    try:
        slopes: Tensor = jvp(values, (point,), (vector,))[1]
        return slopes
    except (NotImplementedError, RuntimeError):
        leaves = {name: w.detach().requires_grad_() for name, w in point.items()}
    with torch.enable_grad():
        outputs = values(leaves)
        seed = torch.zeros_like(outputs).requires_grad_()
        parameters = list(leaves.values())
        pulled = torch.autograd.grad(outputs, parameters, seed, create_graph=True, materialize_grads=True)
        inner = torch.stack([(p * vector[name]).sum() for name, p in zip(leaves, pulled, strict=True)]).sum()
        return torch.autograd.grad(inner, seed)[0]
