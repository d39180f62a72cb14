"""One metric of one split: its levels linked by corrections, each a random field over the plane."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from landscape.analysis.surfaces.field import Field, Shape
from landscape.analysis.surfaces.observations import Evidence
from landscape.results import Floats

LEAST_AMPLITUDE = 0.3  # of the median, in squares: where no example differs from its class, others still may


class Quantity:
    """Estimates a metric on all the examples from the levels it was measured at.

    log f₁ = log f_K + Σ_k log(f_k / f_{k+1}), the last level K known everywhere and each correction k at some points.
    Differences take the place of logarithms where values are not all positive. The amplitude of a correction is known
    beforehand: the spread of the examples within their classes, σ(x) √(1/n_{k+1} − 1/n_k), and how it varies over the
    plane from the correction between the two cheapest levels, which are known everywhere.
    """

    def __init__(
        self,
        evidence: Evidence,
        split: int,
        metric: int,
        sizes: Sequence[int],
        places: Floats,
        *,
        ratios: bool,
        shape: Shape | None = None,
    ) -> None:
        self._evidence, self._split, self._metric = evidence, split, metric
        base = len(sizes) - 2  # index of the cheapest level that estimates start from; the last is a half of it
        cheap, half = (self._values(level) for level in (base, base + 1))
        known = np.concatenate([cheap, half])
        self.is_log = ratios and bool((known[np.isfinite(known)] > 0).all())
        spread = evidence.stderr[base, :, split, metric] * np.sqrt(sizes[base])
        with np.errstate(all="ignore"):
            relative = _floored(spread / np.abs(cheap) if self.is_log else spread)
            noise = [np.sqrt(max(1 / n - 1 / m, 0.0)) for m, n in pairwise(sizes)]
            steps = (self._transformed(cheap) - self._transformed(half)) / (relative * noise[-1])
            self.shape = Shape.fitted(places, steps) or shape or Shape(places, np.full(places.shape[1], 0.1), 0.01)
        certain = np.where(np.isfinite(cheap), relative, 0.0)  # what diverges on a subset does on all the examples
        self.fields = [Field(self.shape, certain * factor) for factor in noise[:base]]
        self.scales = np.ones(base)

    def _values(self, level: int) -> Floats:
        found: Floats = self._evidence.value[level, :, self._split, self._metric]
        return found

    def _transformed(self, values: Floats) -> Floats:
        with np.errstate(all="ignore"):
            return np.log(values) if self.is_log else values

    def learn(self, fit: Sequence[Sequence[int]]) -> None:
        """Take in the corrections at points: `fit[k]` those where levels k and k + 1 (as indices) are both known."""
        for level, (field, places) in enumerate(zip(self.fields, fit, strict=True)):
            correction = self._correction(level)
            for place in places:
                if place not in field and np.isfinite(correction[place]):
                    field.add(place)
            self.scales[level] = field.posterior(correction)[1]

    def _correction(self, level: int) -> Floats:
        with np.errstate(all="ignore"):
            found: Floats = self._transformed(self._values(level)) - self._transformed(self._values(level + 1))
        return found

    def factors(self, hidden: NDArray[np.intp]) -> Floats:
        """Return (K − 1, P), what turns the fields' variances into those of the estimate's relative error."""
        squares = np.square(self.scales)[:, None] * np.ones((1, self._evidence.known.shape[1]))
        if self.is_log:
            return squares
        estimate, _ = self.estimate(hidden)
        with np.errstate(all="ignore"):
            relative = squares / np.square(estimate)
        return np.where(np.isfinite(relative), relative, 0.0)

    def estimate(self, hidden: NDArray[np.intp]) -> tuple[Floats, Floats]:
        """Return estimates of the metric on all the examples and their standard deviations, both (P,).

        Args:
            hidden: points whose values on all the examples are not to be looked at.
        """
        known = self._evidence.known[: len(self.fields) + 1].copy()
        known[0, hidden] = False
        finest = np.argmax(known, axis=0)
        total = self._transformed(self._evidence.value[finest, np.arange(len(finest)), self._split, self._metric])
        variance = np.zeros(len(finest))
        for level, field in enumerate(self.fields):
            coarser = finest > level
            mean, scale = field.posterior(self._correction(level))
            total = total + np.where(coarser, mean, 0.0)
            variance += np.where(coarser, scale**2 * field.variance, 0.0)
        raw = self._evidence.value[finest, np.arange(len(finest)), self._split, self._metric]
        with np.errstate(all="ignore"):
            found = np.exp(total) if self.is_log else total
        found = np.where((finest > 0) & np.isfinite(raw), found, raw)
        deviation = np.sqrt(variance) * (np.abs(found) if self.is_log else 1.0)
        return found, np.where(np.isfinite(found), deviation, 0.0)

    def scratch(self) -> list[Field]:
        """Return copies of the fields, to try out what knowing further points would do."""
        return [field.copy() for field in self.fields]


def _floored(amplitude: Floats) -> Floats:
    usual = np.median(amplitude[np.isfinite(amplitude)]) if np.isfinite(amplitude).any() else 0.0
    usual = float(usual) or 1.0
    return np.hypot(np.where(np.isfinite(amplitude), amplitude, usual), LEAST_AMPLITUDE * usual)
