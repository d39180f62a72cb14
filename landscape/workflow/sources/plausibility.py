"""Plausibility of a model with its weights and data: the accuracy at the origin."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor

from landscape.analysis.objective.objective import Objective

CLEAR = 3.0  # standard errors
FAR = 0.05  # below the recorded accuracy


def origin_accuracy(objective: Objective, split: str, labels: Tensor, recorded: float | None) -> dict[str, Any]:
    """Return the accuracy at the origin with its standard error, the accuracy of chance, and warnings; JSON-able.

    Args:
        objective: of a classification.
        split: of its data.
        labels: (N,) of the whole split; the share of the most frequent one is the accuracy of a constant answer.
        recorded: the accuracy on the whole split that training recorded, if it did.
    """
    mean = objective.evaluate(splits=(split,))[split]["accuracy"]
    _, counts = np.unique(labels.numpy(), return_counts=True)
    chance = float(counts.max()) / labels.numel()
    warnings = []
    error = CLEAR * mean.stderr
    if mean.value - error <= chance:
        warnings.append(
            f"the accuracy on {mean.n} {split} examples is {mean.value:.1%}, and {chance:.1%} is what one constant "
            "answer gives; check weights, normalization and the order of classes"
        )
    if recorded is not None and mean.value + max(error, FAR) < recorded:
        warnings.append(
            f"the accuracy on {mean.n} {split} examples is {mean.value:.1%}, far below the recorded {recorded:.1%}; "
            "check data, normalization and model"
        )
    return {"accuracy": mean.value, "stderr": mean.stderr, "n": mean.n, "chance": chance, "warnings": warnings}
