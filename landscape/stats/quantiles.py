"""Quantiles of values that may be infinite or unknown."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from landscape.results import Floats


def quantiles(values: Floats, levels: Sequence[float]) -> Floats:
    """Return quantiles over the first axis, (N, ...) → (Q, ...), linear between the two nearest values.

    NaN is left out; the quantiles are NaN if nothing is left. A quantile between a finite and an infinite value is
    infinite.

    >>> quantiles(np.array([1.0, 2.0, np.inf, np.inf]), [0.25, 0.5]).tolist()
    [1.75, inf]
    """
    empty = np.isnan(values).all(axis=0)
    filled = np.where(empty, 0.0, values)
    with np.errstate(invalid="ignore"):  # inf − inf
        linear, low, high = (
            np.nanquantile(filled, levels, axis=0, method=method) for method in ("linear", "lower", "higher")
        )
        infinite = low + high  # the infinite one of the two
    between = np.where(np.isfinite(low) & np.isfinite(high), linear, infinite)
    return np.asarray(np.where(empty, np.nan, np.where(low == high, low, between)), dtype=np.float64)
