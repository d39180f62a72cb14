"""Multilevel estimates of a metric: levels linked by corrections, each a random field over the plane."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from landscape.analysis.surfaces.multilevel.field import Field, Kernel
from landscape.analysis.surfaces.multilevel.observations import Observations
from landscape.results import Floats

MIN_AMPLITUDE = 0.3  # of the median, added in quadrature: examples outside the subset may differ from their class


class MultilevelEstimator:
    """Estimates a metric of a split on all the examples from its values on nested subsets.

    log f₁ = log f_K + Σ_k log(f_k / f_{k+1}), the last level K known everywhere and each correction k at some points
    (multilevel Monte Carlo: Giles 2008, section 3). If values are not all positive, differences replace the logarithms.
    The amplitude of a correction is known beforehand from the spread of the examples within their classes,
    σ(x) √(1/n_{k+1} − 1/n_k); its covariance over the plane is fitted to the correction between the two cheapest
    levels, which are known everywhere.

    Args:
        observations: measured values of all metrics and splits.
        split: index of the split.
        metric: index of the metric.
        sizes: number of examples of each level.
        positions: (P, d) points in units of the axes, in [0, 1].
        ratios: estimate logarithms if all values are positive.
        kernel: used if the cheapest levels determine none.
    """

    def __init__(
        self,
        observations: Observations,
        split: int,
        metric: int,
        sizes: Sequence[int],
        positions: Floats,
        *,
        ratios: bool,
        kernel: Kernel | None = None,
    ) -> None:
        self._observations, self._split, self._metric = observations, split, metric
        base = len(sizes) - 2  # index of the cheapest level; the last one is half of it
        cheap, half = (self._values(level) for level in (base, base + 1))
        known = np.concatenate([cheap, half])
        self.is_log = ratios and bool((known[np.isfinite(known)] > 0).all())
        spread = observations.stderr[base, :, split, metric] * np.sqrt(sizes[base])
        with np.errstate(all="ignore"):
            relative = _floored(spread / np.abs(cheap) if self.is_log else spread)
            noise = [np.sqrt(max(1 / n - 1 / m, 0.0)) for m, n in pairwise(sizes)]
            steps = (self._transformed(cheap) - self._transformed(half)) / (relative * noise[-1])
            self.kernel = (
                Kernel.fit(positions, steps) or kernel or Kernel(positions, np.full(positions.shape[1], 0.1), 0.01)
            )
        certain = np.where(
            np.isfinite(cheap), relative, 0.0
        )  # a loss that diverges on a subset diverges on all the examples
        self.fields = [Field(self.kernel, certain * factor) for factor in noise[:base]]
        self.scales = np.ones(base)

    def _values(self, level: int) -> Floats:
        values: Floats = self._observations.value[level, :, self._split, self._metric]
        return values

    def _transformed(self, values: Floats) -> Floats:
        with np.errstate(all="ignore"):
            return np.log(values) if self.is_log else values

    def learn(self, fit: Sequence[Sequence[int]]) -> None:
        """Condition the fields on corrections: `fit[k]` lists the points known at both levels k and k + 1 (indices)."""
        for level, (field, points) in enumerate(zip(self.fields, fit, strict=True)):
            correction = self._correction(level)
            for point in points:
                if point not in field and np.isfinite(correction[point]):
                    field.add(point)
            self.scales[level] = field.posterior(correction)[1]

    def _correction(self, level: int) -> Floats:
        with np.errstate(all="ignore"):
            correction: Floats = self._transformed(self._values(level)) - self._transformed(self._values(level + 1))
        return correction

    def factors(self, hidden: NDArray[np.intp]) -> Floats:
        """Return (K − 1, P) factors from the variances of the fields to those of the estimate's relative error."""
        squares = np.square(self.scales)[:, None] * np.ones((1, self._observations.known.shape[1]))
        if self.is_log:
            return squares
        estimate, _ = self.estimate(hidden)
        with np.errstate(all="ignore"):
            relative = squares / np.square(estimate)
        return np.where(np.isfinite(relative), relative, 0.0)

    def estimate(self, hidden: NDArray[np.intp]) -> tuple[Floats, Floats]:
        """Return estimates of the metric on all the examples and their standard deviations, both (P,).

        Args:
            hidden: points whose values on all the examples are not used.
        """
        known = self._observations.known[: len(self.fields) + 1].copy()
        known[0, hidden] = False
        finest = np.argmax(known, axis=0)
        total = self._transformed(self._observations.value[finest, np.arange(len(finest)), self._split, self._metric])
        variance = np.zeros(len(finest))
        for level, field in enumerate(self.fields):
            coarser = finest > level
            mean, scale = field.posterior(self._correction(level))
            total = total + np.where(coarser, mean, 0.0)
            variance += np.where(coarser, scale**2 * field.variance, 0.0)
        raw = self._observations.value[finest, np.arange(len(finest)), self._split, self._metric]
        with np.errstate(all="ignore"):
            estimate = np.exp(total) if self.is_log else total
        estimate = np.where((finest > 0) & np.isfinite(raw), estimate, raw)
        deviation = np.sqrt(variance) * (np.abs(estimate) if self.is_log else 1.0)
        return estimate, np.where(np.isfinite(estimate), deviation, 0.0)

    def scratch(self) -> list[Field]:
        """Return copies of the fields, to condition on further points on trial."""
        return [field.copy() for field in self.fields]


def _floored(amplitude: Floats) -> Floats:
    """Return amplitudes with a floor; the median takes the place of values that are not finite."""
    median = np.median(amplitude[np.isfinite(amplitude)]) if np.isfinite(amplitude).any() else 0.0
    median = float(median) or 1.0
    return np.hypot(np.where(np.isfinite(amplitude), amplitude, median), MIN_AMPLITUDE * median)
