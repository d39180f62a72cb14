"""Warnings of surfaces that show less of the loss than they seem to."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import Any

import numpy as np

from landscape.analysis.objective.objective import Objective
from landscape.analysis.operators.determinism import DeterminismWarning, determinism_warnings
from landscape.analysis.planes.plane import Plane
from landscape.results import LineResult, SurfaceResult

MIN_SHARE = 0.01  # of zeros in a direction, for a warning


class SurfaceWarning(DeterminismWarning):
    """A surface shows less of the loss than it seems to: parameters that stay fixed, or a flat loss."""


def surface_warnings(objective: Objective, plane: Plane, splits: Iterable[str]) -> tuple[str, ...]:
    """Return warnings of a random or batch-dependent loss, and of parameters that directions leave fixed."""
    messages = [message for split in splits for message in determinism_warnings(objective, split)]
    provenances: list[dict[str, Any]] = [dict(plane.provenance), *map(dict, plane.provenance.get("parts", ()))]
    for provenance in provenances:
        fixed, share = provenance.get("zero_parameters", []), provenance.get("zero_share", 0.0)
        if fixed or share >= MIN_SHARE:
            names = f", all of {', '.join(fixed[:3])}" if fixed else ""
            more = f" and {len(fixed) - 3} more" if len(fixed) > 3 else ""
            messages.append(
                f"{share:.2g} of the entries of a random direction are zero, like the weights there{names}{more}: "
                f"these stay still with normalization={provenance['normalization']!r}; choose 'none', or other params"
            )
    return tuple(dict.fromkeys(messages))


def flatness_warnings(result: SurfaceResult | LineResult) -> tuple[str, ...]:
    """Return a warning for each split whose loss is the same at every point."""
    messages = []
    chosen = result.points[(result.points["metric"] == 0) & (result.points["level"] == 0)]
    for number, split in enumerate(result.splits):
        values = chosen["value"][chosen["split"] == number]
        if len(values) > 1 and np.isfinite(values).all() and (values == values[0]).all():
            messages.append(
                f"the {split} loss is exactly {values[0]:.6g} at all {len(values)} points: the directions move nothing "
                "that it depends on"
            )
    return tuple(messages)


def issue_warnings(messages: Iterable[str]) -> None:
    """Issue each message as a `SurfaceWarning`."""
    for message in messages:
        warnings.warn(message, SurfaceWarning, stacklevel=4)
