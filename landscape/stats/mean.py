"""Means with their standard errors, and the spread of a quantity over seeds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from landscape.results import Floats


@dataclass(frozen=True)
class Mean:
    """A mean over examples with its standard error."""

    value: float
    stderr: float  # over the examples; NaN if only batch means are known
    n: int


@dataclass(frozen=True)
class Spread:
    """Mean and sample standard deviation of one quantity over seeds."""

    mean: float
    deviation: float  # NaN for one value
    count: int


def mean_of_sums(total: float, squares: float, count: float) -> Mean:
    """Return mean and standard error from a sum, a sum of squares and a count.

    >>> mean_of_sums(4.0, 16.0, 2)  # of 0 and 4
    Mean(value=2.0, stderr=2.0, n=2)
    """
    n = int(count)
    mean = float(total) / n
    if n < 2 or not np.isfinite(mean):
        return Mean(mean, math.nan, n)
    variance = max(float(squares) / n - mean**2, 0.0) * n / (n - 1) if np.isfinite(squares) else math.nan
    return Mean(mean, float(np.sqrt(variance / n)), n)


def mean_of(values: Floats, *, per_example: bool = True) -> Mean:
    """Return mean and standard error of independent values, (N,).

    Args:
        values: one per example, subset or probe.
        per_example: False if the values repeat the means of batches; the standard error is then NaN.

    >>> mean_of(np.array([0.0, 4.0]))
    Mean(value=2.0, stderr=2.0, n=2)
    """
    with np.errstate(invalid="ignore"):  # of inf and NaN
        stderr = float(standard_error(values)) if per_example else math.nan
        return Mean(float(values.mean()), stderr, len(values))


def standard_error(values: Floats) -> Floats:
    """Return the standard error of the mean over the first axis, (N, ...) → (...); NaN for a single value."""
    count = len(values)
    if count < 2:
        return np.full(values.shape[1:], np.nan)
    return np.asarray(values.std(axis=0, ddof=1) / math.sqrt(count))


def spread(values: Sequence[float]) -> Spread:
    """Return mean and sample standard deviation of values over seeds.

    >>> spread([1.0, 2.0, 3.0])
    Spread(mean=2.0, deviation=1.0, count=3)
    """
    array = np.asarray(values, dtype=np.float64)
    with np.errstate(invalid="ignore"):
        return Spread(float(array.mean()), float(array.std(ddof=1)) if len(array) > 1 else math.nan, len(array))
