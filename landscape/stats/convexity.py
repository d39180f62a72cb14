"""The threshold of |λ_min / λ_max| that tables and figures count points by."""

from __future__ import annotations

import math

import numpy as np

from landscape.results import Floats

CONVEX = 0.1  # a ratio below this is called mostly convex


def convex_share(ratio: Floats) -> float:
    """Return the share of the known ratios below `CONVEX`; NaN if none is known.

    >>> convex_share(np.array([0.05, 0.2, np.nan]))
    0.5
    """
    known = ratio[~np.isnan(ratio)]
    return float((known < CONVEX).mean()) if len(known) else math.nan
