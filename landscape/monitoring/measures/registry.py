"""Measures of the monitor by name, for strings and the command line."""

from __future__ import annotations

from collections.abc import Sequence

from landscape.errors import LandscapeError
from landscape.monitoring.measures.critical_step import CriticalStep
from landscape.monitoring.measures.gradient_norm import GradientNorm
from landscape.monitoring.measures.lambda_max import LambdaMax
from landscape.monitoring.measures.preconditioned import PreconditionedLambdaMax
from landscape.monitoring.measures.protocol import MonitorMeasure
from landscape.monitoring.measures.sam_doctor import SamDoctor
from landscape.monitoring.measures.sam_rise import SamRise

MEASURES: dict[str, MonitorMeasure] = {
    measure.name: measure
    for measure in (LambdaMax(), SamRise(), GradientNorm(), CriticalStep(), PreconditionedLambdaMax(), SamDoctor())
}
USUAL = ("lambda_max", "sam", "gradient_norm", "critical_step", "sam_doctor")  # without a choice


def chosen_measures(measures: Sequence[str | MonitorMeasure] | None) -> tuple[MonitorMeasure, ...]:
    """Return measures given by name or as objects; the usual ones by default.

    >>> [measure.name for measure in chosen_measures(["sam", LambdaMax(tolerance=0.1)])]
    ['sam', 'lambda_max']

    Raises:
        LandscapeError: for an unknown name, naming the known ones.
    """
    chosen: list[MonitorMeasure] = []
    for measure in USUAL if measures is None else measures:
        if isinstance(measure, str):
            if measure not in MEASURES:
                raise LandscapeError(f"expected a measure among {', '.join(MEASURES)}, got {measure!r}")
            measure = MEASURES[measure]
        chosen.append(measure)
    return tuple(chosen)
