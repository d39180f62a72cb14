"""Means of groups of values: what is stored of many per-example values, so that two checkpoints can be paired."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from landscape.results import Floats
from landscape.seeding import seeded_generator

MAX_GROUPS = 128  # means stored of one measure


def group_means(values: Floats) -> Floats:
    """Return the means of at most `MAX_GROUPS` groups of the values, (N,) → (G,), each of `group_sizes`.

    The group of a value depends on its index and N alone, so that two checkpoints have the same groups.
    """
    sizes = group_sizes(len(values))
    if len(sizes) == len(values):
        return values
    order = seeded_generator("groups", len(values)).permutation(len(values))
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int64)
    means: Floats = np.add.reduceat(values[order], starts) / sizes
    return means


def group_sizes(count: int) -> Floats:
    """Return the number of values in each group of `count` values: one, or about count / `MAX_GROUPS`.

    >>> group_sizes(3).tolist(), group_sizes(300)[:2].tolist()
    ([1.0, 1.0, 1.0], [3.0, 3.0])
    """
    groups = min(count, MAX_GROUPS)
    sizes: Floats = count // groups + (np.arange(groups) < count % groups).astype(np.float64)
    return sizes


def paired_stderr(first: Sequence[float], second: Sequence[float], count: int) -> float:
    """Return the standard error of the mean of second − first from the `group_means` of `count` values each.

    NaN for a single group, or if a difference is not finite.
    """
    with np.errstate(invalid="ignore"):  # inf − inf
        differences = np.asarray(second, dtype=np.float64) - np.asarray(first, dtype=np.float64)
    groups = len(differences)
    if groups < 2 or not np.isfinite(differences).all():
        return math.nan
    weights = group_sizes(count) / count
    mean = weights @ differences
    return math.sqrt(groups / (groups - 1) * float(((weights * (differences - mean)) ** 2).sum()))
