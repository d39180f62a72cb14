"""Loss barriers on lines between two models."""

from __future__ import annotations

from typing import Any

import numpy as np

from landscape.analysis.objective.objective import Objective
from landscape.analysis.planes import Plane
from landscape.errors import LandscapeError
from landscape.results import LineResult, SurfaceResult
from landscape.stats.mean import mean_of


def barriers(
    objective: Objective, plane: Plane, line: LineResult | SurfaceResult
) -> dict[str, dict[str, dict[str, float]]]:
    """Return the loss barrier of each split, `[split]["loss"]` → value, stderr, at.

    The barrier is the maximum over the line's points t in [0, 1] of L(w_t) − (1−t) L(w_0) − t L(w_1), which is 0 on a
    convex line (Frankle et al. 2020, arXiv:1912.05671, section 2). Its standard error is that of this paired difference
    over the examples, computed in the objective's precision. If the loss diverges on the line, it is inf or NaN.

    Args:
        objective: loss, data and the model at t = 0.
        plane: line or curve between the models.
        line: losses measured on it.

    Raises:
        LandscapeError: if the line lacks a point at 0 or 1.
    """
    inside = (line.alpha >= 0) & (line.alpha <= 1)
    if isinstance(line, SurfaceResult) or not {0.0, 1.0} <= set(line.alpha[inside & line.computed()].tolist()):
        raise LandscapeError("a barrier needs the losses at both ends; expected a line with measured points at 0 and 1")
    inside &= line.computed()
    t = line.alpha[inside]
    result: dict[str, dict[str, dict[str, float]]] = {}
    for s, split in enumerate(line.splits):
        loss = line.grid("loss")[s][inside]
        with np.errstate(invalid="ignore"):  # of inf and NaN
            at = float(t[np.argmax(loss - (1 - t) * loss[0] - t * loss[-1])])  # argmax prefers NaN
            first, middle, last = (_per_example(objective, plane, x, split) for x in (0.0, at, 1.0))
            rise = mean_of(middle - (1 - at) * first - at * last, per_example=objective.has_per_example_loss)
        result[split] = {"loss": {"value": rise.value, "stderr": rise.stderr, "at": at}}
    return result


def _per_example(objective: Objective, plane: Plane, t: float, split: str) -> Any:
    return objective.per_example(plane.at(t), buffers=plane.buffers_at(t), split=split)
