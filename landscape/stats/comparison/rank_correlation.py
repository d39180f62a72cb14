"""Rank correlations over checkpoints: of each sharpness measure with the generalization gap."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.stats

from landscape.errors import LandscapeError
from landscape.results import Floats, SharpnessResult, StudyResult
from landscape.seeding import seeded_generator

MIN_CHECKPOINTS = 3
RESAMPLES = 2000
CONFIDENCE = 0.95


def study(
    results: Mapping[str, SharpnessResult], gap: Mapping[str, float], *, resamples: int = RESAMPLES, seed: int = 0
) -> StudyResult:
    """Return Kendall's τ-b of every shared measure with the generalization gap, over checkpoints.

    Each τ comes with a 95% percentile interval of the bootstrap over checkpoints, and in `attributes["p_values"]` with
    the two-sided p value of no association (exact for few checkpoints). A checkpoint whose measure or gap is NaN is
    left out of that measure's τ.

    Args:
        results: measures of each checkpoint, by its label.
        gap: test loss − train loss by the same labels.
        resamples: number of bootstrap samples.
        seed: of the bootstrap's draws.

    Raises:
        LandscapeError: for fewer than three checkpoints, or if they share no measure.
    """
    if len(results) < MIN_CHECKPOINTS:
        raise LandscapeError(f"got {len(results)} checkpoints for a study; expected at least {MIN_CHECKPOINTS}")
    by_label = {name: {m.label: m for m in result.measures} for name, result in results.items()}
    shared = [
        label for label in next(iter(by_label.values())) if all(label in measures for measures in by_label.values())
    ]
    if not shared:
        raise LandscapeError("the checkpoints share no measure; measure all of them with the same options")
    names, gaps = tuple(results), np.array([gap[name] for name in results], dtype=np.float64)
    values = np.array([[by_label[name][label].value for name in names] for label in shared])
    stderrs = np.array([[by_label[name][label].stderr for name in names] for label in shared])
    correlations = [rank_correlation(row, gaps, resamples=resamples, seed=seed) for row in values]
    tau, low, high, p = np.array([(c.tau, c.low, c.high, c.p_value) for c in correlations]).T
    attributes: dict[str, Any] = {
        "statistic": "Kendall's tau-b",
        "interval": f"{CONFIDENCE:.0%} percentile bootstrap over checkpoints",
        "resamples": resamples,
        "seed": seed,
        "p_values": dict(zip(shared, p.tolist(), strict=True)),
    }
    return StudyResult(names, gaps, tuple(shared), values, stderrs, tau, low, high, attributes)


@dataclass(frozen=True)
class RankCorrelation:
    """Kendall's τ-b with its bootstrap interval; all NaN if either variable has fewer than two distinct values."""

    tau: float
    low: float
    high: float
    p_value: float  # two-sided, of no association


def rank_correlation(x: Floats, y: Floats, *, resamples: int = RESAMPLES, seed: int = 0) -> RankCorrelation:
    """Return Kendall's τ-b of x and y, (C,), over the pairs without NaN, with its 95% bootstrap interval.

    A checkpoint drawn twice is tied with itself, which says nothing of the association: in a resample such pairs,
    1 / C of all, are made up for instead of counted as ties.

    >>> rank_correlation(np.array([1.0, 2.0, 3.0]), np.array([1.0, 3.0, 2.0])).tau
    0.33333333333333337
    """
    known = ~(np.isnan(x) | np.isnan(y))
    x, y = scipy.stats.rankdata(x[known]), scipy.stats.rankdata(y[known])  # ranks: inf minus inf is no order
    if len(np.unique(x)) < 2 or len(np.unique(y)) < 2:
        return RankCorrelation(np.nan, np.nan, np.nan, np.nan)
    kendall: Any = scipy.stats.kendalltau(x, y)
    signs_x, signs_y = np.sign(x[:, None] - x), np.sign(y[:, None] - y)
    concordance = signs_x * signs_y / np.sqrt(np.abs(signs_x).sum() * np.abs(signs_y).sum())
    count = len(x)
    draws = seeded_generator("study", seed).integers(count, size=(resamples, count))
    taus = [concordance[np.ix_(drawn, drawn)].sum() * count / (count - 1) for drawn in draws]
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(np.clip(taus, -1.0, 1.0), [tail, 1 - tail])
    return RankCorrelation(float(kendall.statistic), float(low), float(high), float(kendall.pvalue))
