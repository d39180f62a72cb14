"""Surfaces measured in parts, as a resumed measurement does."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from numpy.typing import NDArray

from landscape.analysis.objective.objective import Objective
from landscape.analysis.planes import Plane
from landscape.analysis.surfaces.evaluation import EvaluationSettings
from landscape.analysis.surfaces.grids.axes import Axes
from landscape.analysis.surfaces.surface import begin_surface, measure_points
from landscape.results import LineResult, SurfaceResult


def surface_in_parts(
    objective: Objective,
    plane: Plane,
    axes: Axes,
    settings: EvaluationSettings,
    *,
    done: NDArray[Any] | None = None,
    on_point: Callable[[NDArray[Any]], None] | None = None,
    **options: Any,
) -> SurfaceResult | LineResult:
    """Return the surface with the points in `done` and those that they lack."""
    begun = begin_surface(objective, plane, axes.on(plane), settings)
    if done is not None:
        begun = replace(begun, points=done)
    return measure_points(objective, plane, begun, on_point=on_point, **options)
