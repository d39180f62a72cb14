"""Paired differences over seeds, with Student's t confidence interval: second − first, everywhere."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from landscape.stats import number_format

LEVEL = 0.95
ROUNDING = 1e-12  # of the values' magnitude: smaller differences and deviations are rounding errors


@dataclass(frozen=True)
class PairedDifference:
    """Mean of second − first over pairs that share a seed, with Student's t confidence interval."""

    mean: float
    half: float  # half the width of the interval; NaN for fewer than two pairs
    count: int  # pairs whose values are both finite
    excluded: int = 0  # pairs with a value that is not finite
    level: float = LEVEL

    @property
    def low(self) -> float:
        """Lower end of the interval."""
        return self.mean - self.half

    @property
    def high(self) -> float:
        """Upper end of the interval."""
        return self.mean + self.half

    @property
    def clear(self) -> bool:
        """True if the interval excludes 0; False without an interval."""
        return abs(self.mean) > self.half


def paired_difference(first: Sequence[float], second: Sequence[float], *, level: float = LEVEL) -> PairedDifference:
    """Return the mean of second − first over pairs, with its Student-t interval.

    Equal differences have an interval without width. Pairs with a value that is not finite are excluded and counted.

    Args:
        first: the reference's values, one per seed.
        second: the other's, in the same order.
        level: confidence of the interval.

    >>> paired_difference([1.0, 2.0, 3.0], [2.0, 3.0, 4.0])
    PairedDifference(mean=1.0, half=0.0, count=3, excluded=0, level=0.95)
    """
    pairs = np.array([first, second], dtype=np.float64).reshape(2, -1)
    finite = pairs[:, np.isfinite(pairs).all(axis=0)]
    count = finite.shape[1]
    excluded = pairs.shape[1] - count
    if count == 0:
        return PairedDifference(math.nan, math.nan, 0, excluded, level)
    rounding = ROUNDING * float(np.abs(finite).max())
    differences = finite[1] - finite[0]
    differences[np.abs(differences) <= rounding] = 0.0
    mean = float(differences.mean())
    if count < 2:
        return PairedDifference(mean, math.nan, count, excluded, level)
    deviation = float(differences.std(ddof=1))
    if deviation <= rounding:
        return PairedDifference(mean, 0.0, count, excluded, level)
    from scipy.special import stdtrit  # lazy: most reports have no seeds to compare

    half = float(stdtrit(count - 1, (1 + level) / 2)) * deviation / math.sqrt(count)
    return PairedDifference(mean, half, count, excluded, level)


def accuracy_claim(first: str, second: str, difference: PairedDifference) -> str:
    """Return a sentence on a paired difference of test accuracies, second − first.

    Args:
        first: name of the reference.
        second: name of the other.
        difference: of their test accuracies, as fractions.
    """
    if difference.count == 0:
        return f"No seed has a finite test accuracy of both {first} and {second}."
    leader, other = (second, first) if difference.mean >= 0 else (first, second)
    lead = number_format.points(abs(difference.mean)).removeprefix("+")
    if difference.count < 2:
        return f"{leader} is ahead of {other} by {lead} of test accuracy in one run: an observation, not a claim."
    apart = (
        f"{second} − {first}: {number_format.points(difference.mean, difference.half)}, {difference.level:.0%} interval"
    )
    if difference.clear:
        return f"{leader} beats {other} by {lead} of test accuracy over {difference.count} seeds ({apart})."
    return (
        f"Undecided: {leader} is ahead of {other} by {lead} of test accuracy on average over {difference.count} seeds, "
        f"but the interval includes 0 ({apart})."
    )
