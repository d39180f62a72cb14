"""Runs of several seeds: mean and spread of each recipe, and the paired difference with its confidence interval."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats


@dataclass(frozen=True)
class Spread:
    """Values of one quantity over seeds."""

    mean: float
    deviation: float  # sample standard deviation; NaN for one value
    count: int


@dataclass(frozen=True)
class PairedDifference:
    """Mean of first − second over seeds, with Student's t confidence interval."""

    mean: float
    low: float  # NaN for one pair
    high: float
    count: int
    level: float = 0.95

    @property
    def decided(self) -> bool:
        """Whether the interval leaves out 0."""
        return self.low > 0 or self.high < 0


def spread(values: Sequence[float]) -> Spread:
    """Return mean and sample standard deviation of values over seeds."""
    array = np.asarray(values, dtype=np.float64)
    return Spread(float(array.mean()), float(array.std(ddof=1)) if len(array) > 1 else math.nan, len(array))


def paired_difference(first: Sequence[float], second: Sequence[float], *, level: float = 0.95) -> PairedDifference:
    """Return the mean of the differences of values that share a seed, with its Student-t confidence interval.

    With one pair there is no interval; with equal differences it has no width.
    """
    differences = np.asarray(first, dtype=np.float64) - np.asarray(second, dtype=np.float64)
    count, mean = len(differences), float(differences.mean())
    if count < 2:
        return PairedDifference(mean, math.nan, math.nan, count, level)
    half = float(stats.t.ppf(0.5 + level / 2, count - 1) * differences.std(ddof=1) / math.sqrt(count))
    return PairedDifference(mean, mean - half, mean + half, count, level)


def verdict(first: str, second: str, difference: PairedDifference) -> str:
    """Return in words what a difference of test accuracies (first − second) says."""
    points, seeds = f"{abs(difference.mean):.2%}", f"{difference.count} seed{'s' if difference.count > 1 else ''}"
    leader, other = (first, second) if difference.mean >= 0 else (second, first)
    if difference.count < 2:
        return f"{leader} is ahead of {other} by {points} of test accuracy in one run: an observation, not a claim."
    interval = f"{difference.level:.0%} interval {difference.low:+.2%} to {difference.high:+.2%}"
    if difference.decided:
        claim = f"{leader} beats {other} by {points} of test accuracy"
        return f"{claim} (paired over {seeds}; {first} − {second}: {interval})."
    return (
        f"Undecided: {leader} is ahead of {other} by {points} of test accuracy on average over {seeds}, but the "
        f"{interval} of {first} − {second} includes 0."
    )
