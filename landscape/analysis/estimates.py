"""Means over examples with their standard errors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Estimate:
    """A mean over examples with its standard error."""

    value: float
    stderr: float  # over the examples; NaN where only batch means are known
    n: int


def estimate(total: float, squares: float, count: float) -> Estimate:
    """Return mean and standard error from a sum, a sum of squares and a count."""
    n = int(count)
    mean = float(total) / n
    if n < 2 or not np.isfinite(mean):
        return Estimate(mean, float("nan"), n)
    variance = max(float(squares) / n - mean**2, 0.0) * n / (n - 1) if np.isfinite(squares) else float("nan")
    return Estimate(mean, float(np.sqrt(variance / n)), n)


def estimate_of(values: NDArray[np.float64], *, single: bool) -> Estimate:
    """Return mean and standard error of per-example values, (N,); no error where they only repeat batch means."""
    n = len(values)
    with np.errstate(invalid="ignore"):  # of inf and NaN
        stderr = float(values.std(ddof=1) / np.sqrt(n)) if single and n > 1 else float("nan")
        return Estimate(float(values.mean()), stderr, n)
