"""Float32 curvature products checked against float64."""

from __future__ import annotations

import copy
from collections.abc import Sequence

from torch import Tensor

from landscape.analysis.batches import map_tensors, tensors
from landscape.analysis.objective import Objective, Precision

EXAMPLES = 8  # float64 convolutions take some twenty times as long as float32 ones


def product_error(
    objective: Objective,
    vector: Tensor,
    operator: str = "hessian",
    split: str | None = None,
    *,
    names: Sequence[str] | None = None,
) -> float:
    """Return ‖A₆₄ v − A₃₂ v‖ for a unit vector v, (n,), measured on the first few examples of the split.

    With `names`, A is the diagonal block of these parameters.

    The rounding error of the mean loss's products is at most of this size: each example has its own, of the same
    origin, and in the mean they partly cancel. 0 where the objective is in float64 itself; NaN on devices without
    float64 (MPS).
    """
    if objective.precision == "float64":
        return 0.0
    if objective.device.type == "mps":
        return float("nan")
    v = vector.double() / vector.double().norm()
    exact, rounded = (
        _first_examples(objective, name, split).product(operator, names=names)(v) for name in ("float64", "float32")
    )
    return float((exact - rounded).norm())


def _first_examples(objective: Objective, precision: Precision, split: str | None) -> Objective:
    """Return the same loss at the same weights on a few examples, in another precision."""
    model = copy.deepcopy(objective.network.module)
    _, buffers = objective.network.point(None)
    own = dict(model.named_buffers())
    for name, buffer in buffers.items():
        own[name].copy_(buffer)
    inputs, targets, count = next(objective.batches(split))
    batch = (inputs, targets)
    if all(t.ndim > 0 and len(t) == count for t in tensors(batch)):
        batch = map_tensors(lambda t: t[:EXAMPLES], batch)
    return Objective(
        model,
        objective.loss_function,
        [batch],
        params=objective.params,
        precision="float64" if precision == "float64" else "float32",
        device=objective.device,
        fold=objective.network.folded,
    )
