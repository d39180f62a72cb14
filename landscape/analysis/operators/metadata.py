"""Metadata of curvature results: time, derivative mode and warnings."""

from __future__ import annotations

import time
from typing import Any

from landscape.analysis.objective.objective import Objective
from landscape.analysis.objective.provenance import describe
from landscape.analysis.operators.derivative_mode import derivative_modes
from landscape.analysis.operators.reliability import warn_of_unreliable_derivatives


class MeasurementMetadata:
    """Metadata of one curvature measurement: timing, derivative mode, determinism warnings."""

    def __init__(self, objective: Objective, operator: str, split: str | None, seed: int) -> None:
        self._objective, self._operator, self._seed = objective, operator, seed
        self._split = split or objective.splits[0]
        self._started = time.perf_counter()
        self._warnings = warn_of_unreliable_derivatives(objective, split, second=operator == "hessian")

    def attributes(self) -> dict[str, Any]:
        """Return the attributes of the result, JSON-able, after the first product."""
        mode = derivative_modes(self._objective)[self._operator]
        return {
            **describe(self._objective, (self._split,)),
            "operator": self._operator,
            "seed": self._seed,
            "derivative_mode": mode.order + (", torch's plain recurrent kernels" if mode.plain_kernels else ""),
            "derivative_reason": mode.reason,
            "warnings": list(self._warnings),
            "seconds": time.perf_counter() - self._started,
        }
