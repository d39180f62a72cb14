"""Registry of result kinds, in the order of the page."""

from __future__ import annotations

from typing import Any

from landscape.errors import LandscapeError
from landscape.figures.kinds import (
    convexity,
    density,
    dynamics,
    history,
    layers,
    line,
    sharpness,
    spectrum,
    study,
    surface,
    surface_series,
    trajectory,
)
from landscape.figures.kinds.result_kind import ResultKind
from landscape.results import Result
from landscape.storage.hdf5 import register_layout

SECTIONS = ("Surfaces", "Lines", "Curvature", "Sharpness", "Training")  # of the page; others follow
KINDS: list[ResultKind[Any]] = [
    surface.KIND,
    surface_series.KIND,
    trajectory.KIND,
    line.KIND,
    spectrum.KIND,
    density.KIND,
    layers.KIND,
    convexity.KIND,
    sharpness.KIND,
    study.KIND,
    history.KIND,
    dynamics.KIND,
]


def register(kind: ResultKind[Any]) -> None:
    """Add a kind of result to figures, reports, exports and files; a kind of the same name is replaced.

    Raises:
        TypeError: for a dataclass that cannot be stored.
    """
    register_layout(kind.result)
    KINDS[:] = [known for known in KINDS if known.result.kind != kind.result.kind]
    KINDS.append(kind)


def kind_of(result: Result) -> ResultKind[Any]:
    """Return the kind of a result.

    Raises:
        LandscapeError: The result is of no registered kind.
    """
    for kind in KINDS:
        if isinstance(result, kind.result):
            return kind
    known = ", ".join(kind.result.kind for kind in KINDS)
    raise LandscapeError(f"expected a result ({known}), got {type(result).__name__}; register its kind first")
