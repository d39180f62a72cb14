"""Whether a model with its weights and data is plausibly the one that was trained: its accuracy at the origin."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor

from landscape.analysis.objective.objective import Objective

CLEAR = 3.0  # standard errors
FAR = 0.05  # below the recorded accuracy


def origin_accuracy(objective: Objective, split: str, labels: Tensor, recorded: float | None) -> dict[str, Any]:
    """Return the accuracy at the origin with its standard error, what chance gives, and warnings; JSON-able.

    Args:
        objective: of a classification.
        split: of its data.
        labels: (N,) of the whole split; the share of the most frequent one is the accuracy of a constant answer.
        recorded: the accuracy on the whole split that training recorded, if it did.
    """
    found = objective.evaluate(splits=(split,))[split]["accuracy"]
    _, counts = np.unique(labels.numpy(), return_counts=True)
    chance = float(counts.max()) / labels.numel()
    warnings = []
    error = CLEAR * found.stderr
    if found.value - error <= chance:
        warnings.append(
            f"the accuracy on {found.n} {split} examples is {found.value:.1%}, and {chance:.1%} is what one constant "
            "answer gives; check weights, normalization and the order of classes"
        )
    if recorded is not None and found.value + max(error, FAR) < recorded:
        warnings.append(
            f"the accuracy on {found.n} {split} examples is {found.value:.1%}, far below the recorded {recorded:.1%}; "
            "check data, normalization and model"
        )
    return {"accuracy": found.value, "stderr": found.stderr, "n": found.n, "chance": chance, "warnings": warnings}
