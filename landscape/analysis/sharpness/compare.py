"""Several checkpoints by the same measures: their order, and paired differences from the flattest."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from landscape.analysis.sharpness.evidence import group_sizes
from landscape.results import Measure, SharpnessResult

CLEAR = 2.0  # standard errors above which a difference counts as clear


@dataclass(frozen=True)
class Place:
    """Where one checkpoint stands by one measure."""

    checkpoint: str
    measure: Measure
    rank: int  # 1 is the flattest
    above: float  # difference from the flattest
    stderr: float  # of that difference: paired where both were measured alike; NaN where it has none
    paired: bool
    bound: float  # on the error of that difference, where the measures have bounds; NaN where they have none
    own_bound: float  # on the error of the measure itself; NaN where it has none

    @property
    def clear(self) -> bool:
        """Whether the difference is larger than its uncertainty: the bounds, or `CLEAR` standard errors of it.

        Never where it has none: two lower bounds of maxima do not prove an order.
        """
        return self.above > (self.bound if math.isfinite(self.bound) else CLEAR * self.stderr)


def ranking(results: Mapping[str, SharpnessResult]) -> dict[str, list[Place]]:
    """Return the checkpoints from flattest to sharpest, by the label of every measure that any of them has."""
    labels = dict.fromkeys(measure.label for result in results.values() for measure in result.measures)
    return {label: _places(label, results) for label in labels}


def _places(label: str, results: Mapping[str, SharpnessResult]) -> list[Place]:
    found = {name: measure for name, result in results.items() for measure in result.measures if measure.label == label}
    order = sorted(found, key=lambda name: (math.isnan(found[name].value), found[name].value))
    evidence = {name: results[name].attributes.get("evidence", {}).get(label, {}) for name in order}
    first = order[0]
    places = []
    for rank, name in enumerate(order, start=1):
        stderr, paired = _stderr(found[name], found[first], evidence[name], evidence[first])
        own_bound = float(evidence[name].get("bound", math.nan))
        bound = own_bound + float(evidence[first].get("bound", math.nan))
        itself = name == first
        with np.errstate(invalid="ignore"):
            above = 0.0 if itself else float(np.float64(found[name].value) - found[first].value)
        places.append(
            Place(
                name,
                found[name],
                rank,
                above,
                0.0 if itself else stderr,
                paired and not itself,
                0.0 if itself else bound,
                own_bound,
            )
        )
    return places


def _stderr(a: Measure, b: Measure, of_a: Mapping[str, Any], of_b: Mapping[str, Any]) -> tuple[float, bool]:
    """Return the standard error of a − b, and whether it is that of paired differences."""
    alike = dict(a.parameters) == dict(b.parameters) and of_a.get("unit") == of_b.get("unit")
    if alike and of_a.get("units") and of_a.get("count") == of_b.get("count"):
        return paired_stderr(of_a["units"], of_b["units"], of_a["count"]), True
    return math.hypot(a.stderr, b.stderr), False


def paired_stderr(a: Any, b: Any, count: int) -> float:
    """Return the standard error of the mean of a − b from the means of groups of `count` values (see `units_of`)."""
    with np.errstate(invalid="ignore"):  # inf − inf
        differences = np.asarray(a, dtype=np.float64) - np.asarray(b, dtype=np.float64)
    k = len(differences)
    if k < 2 or not np.isfinite(differences).all():
        return math.nan
    weights = group_sizes(count) / count
    mean = weights @ differences
    return math.sqrt(k / (k - 1) * float(((weights * (differences - mean)) ** 2).sum()))
