"""Standard error of the generalization gap, test loss − train loss."""

from __future__ import annotations

import math
from collections.abc import Iterable

from landscape.results import Result, Sampled


def gap_stderr(results: Iterable[Result]) -> float:
    """Return the standard error of test loss − train loss over the examples of both splits.

    It is √(s_train² + s_test²) with the standard errors at the checkpoint of a surface or a line, measured on all
    examples of both splits with the checkpoint's own BatchNorm statistics; NaN without one.

    Args:
        results: of one checkpoint.
    """
    for result in results:
        if isinstance(result, Sampled) and result.attributes.get("batchnorm") in (None, "fixed"):
            errors = [_stderr(result, split) for split in ("train", "test")]
            if all(map(math.isfinite, errors)):
                return math.hypot(*errors)
    return math.nan


def _stderr(result: Sampled, split: str) -> float:
    whole = ((result.attributes.get("data") or {}).get("examples") or {}).get(split)
    if split not in result.splits or "loss" not in result.metrics or not whole:
        return math.nan
    points = result.points
    chosen = points[
        (points["alpha"] == 0)
        & (points["beta"] == 0)
        & (points["split"] == result.splits.index(split))
        & (points["metric"] == result.metrics.index("loss"))
        & (points["level"] <= 1)
        & (points["n"] == whole)
    ]
    return float(chosen[result.error][0]) if len(chosen) else math.nan
