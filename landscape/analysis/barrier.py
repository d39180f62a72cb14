"""The barrier on a line between two models."""

from __future__ import annotations

from typing import Any

import numpy as np

from landscape.analysis.directions import Plane
from landscape.analysis.objective import Objective
from landscape.results import Line, Surface


def barriers(objective: Objective, plane: Plane, line: Line | Surface) -> dict[str, dict[str, dict[str, float]]]:
    """Return the loss barrier of each split, `[split]["loss"]` → value, stderr, at.

    max over t of L(w_t) − (1−t) L(w_0) − t L(w_1) on the line's points within [0, 1] (so 0 where the line sags), with
    the standard error of that paired difference over the examples, in the objective's precision.
    """
    found: dict[str, dict[str, dict[str, float]]] = {}
    for s, split in enumerate(line.splits):
        inside = (line.alpha >= 0) & (line.alpha <= 1)
        t, loss = line.alpha[inside], line.grid("loss")[s][inside]
        rise = loss - (1 - t) * loss[0] - t * loss[-1]
        at = float(t[np.nanargmax(np.where(np.isnan(rise), -np.inf, rise))])
        first, middle, last = (_per_example(objective, plane, x, split) for x in (0.0, at, 1.0))
        difference = middle - (1 - at) * first - at * last
        stderr = float(difference.std(ddof=1) / np.sqrt(len(difference))) if len(difference) > 1 else float("nan")
        found[split] = {"loss": {"value": float(difference.mean()), "stderr": stderr, "at": at}}
    return found


def _per_example(objective: Objective, plane: Plane, t: float, split: str) -> Any:
    return objective.per_example(plane.at(t), buffers=plane.buffers_at(t), split=split)
