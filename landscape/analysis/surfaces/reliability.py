"""Warnings of surfaces whose values mean less than they seem to."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import Any

import numpy as np

from landscape.analysis.objective.objective import Objective
from landscape.analysis.operators.determinism import DeterminismWarning, determinism_warnings
from landscape.analysis.planes.plane import Plane
from landscape.results import LineResult, SurfaceResult

LEAST_SHARE = 0.01  # of a direction's entries that is worth a warning


class SurfaceWarning(DeterminismWarning):
    """A surface shows less of the loss than it seems to."""


def surface_warnings(objective: Objective, plane: Plane, splits: Iterable[str]) -> tuple[str, ...]:
    """Return warnings of a random or batch-dependent loss, and of directions that leave parameters still."""
    found = [message for split in splits for message in determinism_warnings(objective, split)]
    provenances: list[dict[str, Any]] = [dict(plane.provenance), *map(dict, plane.provenance.get("parts", ()))]
    for provenance in provenances:
        still, share = provenance.get("zero_parameters", []), provenance.get("zero_share", 0.0)
        if still or share >= LEAST_SHARE:
            names = f", all of {', '.join(still[:3])}" if still else ""
            more = f" and {len(still) - 3} more" if len(still) > 3 else ""
            found.append(
                f"{share:.2g} of the entries of a random direction are zero, like the weights there{names}{more}: "
                f"these stay still with normalization={provenance['normalization']!r}; choose 'none', or other params"
            )
    return tuple(dict.fromkeys(found))


def flatness_warnings(result: SurfaceResult | LineResult) -> tuple[str, ...]:
    """Return a warning for each split whose loss is one and the same number at every point."""
    found = []
    chosen = result.points[(result.points["metric"] == 0) & (result.points["level"] == 0)]
    for number, split in enumerate(result.splits):
        values = chosen["value"][chosen["split"] == number]
        if len(values) > 1 and np.isfinite(values).all() and (values == values[0]).all():
            found.append(
                f"the {split} loss is exactly {values[0]:.6g} at all {len(values)} points: the directions move nothing "
                "that it depends on"
            )
    return tuple(found)


def warn_of(messages: Iterable[str]) -> None:
    """Issue each message as a `SurfaceWarning`."""
    for message in messages:
        warnings.warn(message, SurfaceWarning, stacklevel=3)
