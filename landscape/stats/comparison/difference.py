"""The difference of two estimates: paired if both are means over the same examples, independent otherwise."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from landscape.stats.comparison.grouped_mean import paired_stderr

CLEAR = 2.0  # standard errors above which a difference is clear
NOT_STORED = "not paired: no per-example values"
NOT_ALIKE = "not paired: other examples or settings"


@dataclass(frozen=True)
class Samples:
    """Group means whose weighted mean is an estimate (see `stats.comparison.grouped_mean`)."""

    means: Sequence[float]
    count: int  # values in all groups together
    key: str  # what they are over: samples of one key and count are of the same examples and random numbers

    def matches(self, other: Samples) -> bool:
        """Return True if both are over the same examples, so that their differences can be paired."""
        return (self.key, self.count, len(self.means)) == (other.key, other.count, len(other.means))


@dataclass(frozen=True)
class Estimate:
    """One measured number with its uncertainty: a standard error, or a bound on its error."""

    value: float
    stderr: float = math.nan
    bound: float = math.nan  # |value − exact| ≤ bound
    samples: Samples | None = field(default=None, repr=False)

    @property
    def uncertainty(self) -> float:
        """The bound if there is one, else the standard error; NaN if neither is known."""
        return self.bound if math.isfinite(self.bound) else self.stderr


@dataclass(frozen=True)
class Difference:
    """Second − first: the other minus the reference."""

    value: float
    stderr: float = math.nan  # NaN if either has none
    bound: float = math.nan  # sum of both bounds; NaN if either has none
    paired: bool = False  # the standard error is that of paired differences
    reason: str = NOT_STORED  # why it is not paired

    @property
    def uncertainty(self) -> float:
        """The bound if there is one, else the standard error; NaN if neither is known."""
        return self.bound if math.isfinite(self.bound) else self.stderr

    @property
    def clear(self) -> bool:
        """True if the difference exceeds the bound, or `CLEAR` standard errors.

        Never if its uncertainty is unknown: two lower bounds of maxima prove no order.
        """
        return abs(self.value) > (self.bound if math.isfinite(self.bound) else CLEAR * self.stderr)

    @property
    def unpaired(self) -> str:
        """The reason why the standard error is not a paired one; empty if it is, or if there is none."""
        return "" if self.paired or not math.isfinite(self.stderr) or math.isfinite(self.bound) else self.reason


def difference(first: Estimate, second: Estimate) -> Difference:
    """Return second − first with its uncertainty.

    Estimates over the same examples get the standard error of the paired differences; others that of independent
    ones, √(s₁² + s₂²). Bounds add.

    >>> difference(Estimate(1.0, 0.3), Estimate(3.0, 0.4))
    Difference(value=2.0, stderr=0.5, bound=nan, paired=False, reason='not paired: no per-example values')
    """
    with np.errstate(invalid="ignore", over="ignore"):  # inf − inf is NaN, and 1e308 + 1e308 inf
        value = float(np.float64(second.value) - first.value)
    bound = first.bound + second.bound
    if first.samples is None or second.samples is None:
        return Difference(value, math.hypot(first.stderr, second.stderr), bound, reason=NOT_STORED)
    if not first.samples.matches(second.samples):
        return Difference(value, math.hypot(first.stderr, second.stderr), bound, reason=NOT_ALIKE)
    stderr = paired_stderr(first.samples.means, second.samples.means, first.samples.count)
    return Difference(value, stderr, bound, paired=True, reason="")
