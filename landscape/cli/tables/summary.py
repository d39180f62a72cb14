"""Results as JSON: their fields by name."""

from __future__ import annotations

import dataclasses
from typing import Any

from landscape.results import Result, Sampled, SampledPlane, SpectrumResult


def summary(result: Result) -> dict[str, Any]:
    """Return a result's numbers and provenance by name, JSON-able; grids of surfaces and lines are [split][y][x]."""
    attributes = dict(result.attributes)
    if isinstance(result, Sampled):
        return {
            "kind": result.kind,
            "splits": result.splits,
            "alpha": result.alpha,
            **({"beta": result.beta} if isinstance(result, SampledPlane) else {}),
            **{metric: result.grid(metric) for metric in result.metrics},
            **{f"{metric}_{result.error}": result.grid(metric, column=result.error) for metric in result.metrics},
            "attributes": attributes,
        }
    assert dataclasses.is_dataclass(result)
    values = {field.name: getattr(result, field.name) for field in dataclasses.fields(result)}
    del values["finished"]
    if isinstance(result, SpectrumResult):
        values["ends"] = ["top" if end > 0 else "bottom" for end in result.ends]
    return {**values, "attributes": attributes}
