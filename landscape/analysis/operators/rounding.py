"""The rounding error of float32 curvature products, measured against float64 and against other roundings."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from landscape.analysis.objective.objective import Objective
from landscape.analysis.objective.weights import Weights
from landscape.analysis.operators.first_examples import first_examples

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
        first_examples(objective, name, split, EXAMPLES).product(operator, names=names)(v)
        for name in ("float64", "float32")
    )
    more = first_examples(objective, "float32", split, BENT_EXAMPLES)
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
