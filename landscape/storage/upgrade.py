"""Results of version 0.1.0 in their present form."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, TypeVar

from landscape.results import Result, SharpnessResult
from landscape.storage.hdf5_arrays import Group

R = TypeVar("R", bound=Result)


def is_finished(group: Group, attributes: Mapping[str, Any]) -> bool:
    """Return the stored mark; without one, False for a surface or line that a command left without its seconds."""
    if "finished" in group.attrs:
        return bool(group.attrs["finished"])
    return "computed" not in group or "seconds" in attributes or "settings" not in attributes


def with_diagnostics(result: R) -> R:
    """Return sharpness with the diagnostics of each measure, which once were an attribute called evidence."""
    if not isinstance(result, SharpnessResult) or "evidence" not in result.attributes:
        return result
    attributes = dict(result.attributes)
    evidence = attributes.pop("evidence")
    measures = tuple(
        dataclasses.replace(measure, diagnostics=measure.diagnostics or _renamed(evidence.get(measure.label, {})))
        for measure in result.measures
    )
    return dataclasses.replace(result, measures=measures, attributes=attributes)


def _renamed(evidence: Mapping[str, Any]) -> dict[str, Any]:
    return {"samples" if name == "units" else name: value for name, value in evidence.items()}
