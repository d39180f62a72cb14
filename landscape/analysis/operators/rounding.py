"""The rounding error of float32 curvature products, measured against float64 and against other roundings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from landscape.analysis.objective.objective import Objective
from landscape.analysis.objective.weights import Weights
from landscape.analysis.operators.operator import CurvatureOperator
from landscape.analysis.operators.sample import few_examples
from landscape.errors import LandscapeError

EXAMPLES = 8  # float64 convolutions take some twenty times as long as float32 ones
BENT_EXAMPLES = 250  # activations that rounding moves over relu's bend are too rare to be found in fewer


class MatvecRounding(NamedTuple):
    """Rounding error of a product A v with a unit vector v: its size, and the reference it was measured against."""

    size: float
    method: str


def matvec_rounding_error(
    objective: Objective,
    vector: Tensor,
    operator: str = "hessian",
    split: str | None = None,
    *,
    names: Sequence[str] | None = None,
) -> MatvecRounding:
    """Return the size of the rounding error of a float32 product A v with a unit vector v, (n,).

    The larger of two: ‖A₆₄ v − A₃₂ v‖ on a few random examples of the split; and, on a few hundred, by how much A₃₂ v
    moves where the weights move by half a unit in their last place. At relu's bend a rounded activation falls on the
    other side, which changes an example's second derivatives by a jump: rare enough for a few examples not to show it,
    and in ResNet-20 fifty times as large as all the rest. With `names`, A is the diagonal block of these parameters.

    The error of the mean loss's products is at most of this size: each example has its own, of the same origin, and in
    the mean they partly cancel. Models and losses that hold float32 constants do not run in float64: there the first is
    the difference between two orders of the examples, cut into other batches. 0 if the objective is in float64 itself;
    NaN on devices without float64 (MPS).
    """
    if objective.precision == "float64":
        return MatvecRounding(0.0, "float64 throughout")
    if objective.device.type == "mps":
        return MatvecRounding(float("nan"), "not measured: the device has no float64")
    v = vector.double() / vector.double().norm()
    rounded = few_examples(objective, "float32", split, EXAMPLES)
    product = CurvatureOperator(rounded, operator, names=names)(v)
    try:
        other, method = few_examples(objective, "float64", split, EXAMPLES), "float64"
        difference = float((CurvatureOperator(other, operator, names=names)(v) - product).norm())
    except (LandscapeError, RuntimeError, NotImplementedError) as error:
        if "memory" in str(error):
            raise
        other, method = _in_another_order(rounded), "another batch order, for the model or the loss needs float32"
        difference = float((CurvatureOperator(other, operator, names=names)(v) - product).norm())
    more = few_examples(objective, "float32", split, BENT_EXAMPLES)
    beside = CurvatureOperator(more, operator, names=names, weights=_rounded_otherwise(more.origin))(v)
    bent = float((CurvatureOperator(more, operator, names=names)(v) - beside).norm())
    return MatvecRounding(max(difference, bent), method)


def _in_another_order(objective: Objective) -> Objective:
    """Return the same mean loss with its examples in reverse order and in smaller batches."""
    if objective.has_per_example_loss and objective.data["train"].sizes_are_free:
        examples = objective.data["train"]
        reverse = examples.take(list(reversed(range(examples.examples))))
        objective = objective.variant(data={"train": reverse})
        objective.batch_size = max(1, examples.examples // 3)
    return objective


def _rounded_otherwise(weights: Weights) -> Weights:
    """Return weights moved at random by half a unit in their last place."""
    generator = torch.Generator().manual_seed(0)
    half = torch.finfo(torch.float32).eps / 2
    moved = {}
    for name, w in weights.items():
        noise = torch.randn(w.shape, generator=generator, dtype=torch.float64).to(w.device)
        moved[name] = (w.double() * (1 + half * noise)).to(w.dtype)
    return moved
