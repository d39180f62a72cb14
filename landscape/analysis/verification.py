"""Float32 curvature products checked against float64."""

from __future__ import annotations

import copy

from torch import Tensor

from landscape.analysis.objective import Objective, Precision


def product_error(objective: Objective, vector: Tensor, operator: str = "hessian", split: str | None = None) -> float:
    """Return ‖A₆₄ v − A₃₂ v‖ for a unit vector v, (n,), measured on the first batch of the split.

    The rounding error of the mean loss's products is of this size: every batch has its own, of the same origin. 0 where
    the objective is in float64 itself; NaN on devices without float64 (MPS).
    """
    if objective.precision == "float64":
        return 0.0
    if objective.device.type == "mps":
        return float("nan")
    v = vector.double() / vector.double().norm()
    exact, rounded = (_first_batch(objective, name, split).product(operator)(v) for name in ("float64", "float32"))
    return float((exact - rounded).norm())


def _first_batch(objective: Objective, precision: Precision, split: str | None) -> Objective:
    """Return the same loss at the same weights on one batch, in another precision."""
    model = copy.deepcopy(objective.network.module)
    _, buffers = objective.network.point(None)
    own = dict(model.named_buffers())
    for name, buffer in buffers.items():
        own[name].copy_(buffer)
    inputs, targets, _ = next(objective.batches(split))
    return Objective(
        model,
        objective.loss_function,
        [(inputs, targets)],
        params=objective.params,
        precision="float64" if precision == "float64" else "float32",
        device=objective.device,
        fold=objective.network.folded,
    )
