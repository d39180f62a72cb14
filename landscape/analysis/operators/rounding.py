"""The rounding error of float32 curvature products, measured against float64 and against other roundings."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from landscape.analysis.objective.batches import map_tensors, tensors
from landscape.analysis.objective.model_copy import deep_copy
from landscape.analysis.objective.objective import Objective, Precision
from landscape.analysis.objective.weights import Weights

EXAMPLES = 8  # float64 convolutions take some twenty times as long as float32 ones
BENT_EXAMPLES = 250  # activations that rounding moves over relu's bend are too rare to be found in fewer


def product_error(
    objective: Objective,
    vector: Tensor,
    operator: str = "hessian",
    split: str | None = None,
    *,
    names: Sequence[str] | None = None,
) -> float:
    """Return the size of the rounding error of a float32 product A v with a unit vector v, (n,).

    The larger of two: ‖A₆₄ v − A₃₂ v‖ on the first few examples of the split; and, on a few hundred, by how much A₃₂ v
    moves where the weights move by half a unit in their last place. At relu's bend a rounded activation falls on the
    other side, which changes an example's second derivatives by a jump: rare enough for a few examples not to show it,
    and in ResNet-20 fifty times as large as all the rest. With `names`, A is the diagonal block of these parameters.

    The error of the mean loss's products is at most of this size: each example has its own, of the same origin, and in
    the mean they partly cancel. 0 where the objective is in float64 itself; NaN on devices without float64 (MPS).
    """
    if objective.precision == "float64":
        return 0.0
    if objective.device.type == "mps":
        return float("nan")
    v = vector.double() / vector.double().norm()
    exact, rounded = (
        _first_examples(objective, name, split, EXAMPLES).product(operator, names=names)(v)
        for name in ("float64", "float32")
    )
    more = _first_examples(objective, "float32", split, BENT_EXAMPLES)
    beside = more.product(operator, names=names, weights=_rounded_otherwise(more.origin))(v)
    return max(float((exact - rounded).norm()), float((more.product(operator, names=names)(v) - beside).norm()))


def _rounded_otherwise(weights: Weights) -> Weights:
    """Return weights moved at random by half a unit in their last place."""
    generator = torch.Generator().manual_seed(0)
    half = torch.finfo(torch.float32).eps / 2
    moved = {}
    for name, w in weights.items():
        noise = torch.randn(w.shape, generator=generator, dtype=torch.float64).to(w.device)
        moved[name] = (w.double() * (1 + half * noise)).to(w.dtype)
    return moved


def _first_examples(objective: Objective, precision: Precision, split: str | None, examples: int) -> Objective:
    """Return the same loss at the same weights on a few examples, in another precision."""
    model = deep_copy(objective.network.module)
    _, buffers = objective.network.point(None)
    own = dict(model.named_buffers())
    for name, buffer in buffers.items():
        own[name].copy_(buffer)
    inputs, targets, count = next(objective.batches(split))
    batch = inputs if objective.is_joint else (inputs, targets)
    divisible = all(t.ndim > 0 and len(t) == count for t in tensors(batch))
    if divisible:
        batch = map_tensors(lambda t: t[:examples], batch)
    return Objective(
        model,
        objective.given_loss,
        {"train": batch if divisible else [batch]},
        params=objective.params,
        precision="float64" if precision == "float64" else "float32",
        device=objective.device,
        fold=objective.network.folded,
    )
