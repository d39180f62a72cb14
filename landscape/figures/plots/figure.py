"""Any result as a Plotly figure: alone, or several of one kind compared."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import plotly.graph_objects as go

from landscape.errors import LandscapeError
from landscape.figures.plots.density import density_figure
from landscape.figures.plots.history import history_figure
from landscape.figures.plots.layers import layers_figure
from landscape.figures.plots.line import line_figure
from landscape.figures.plots.sharpness_bars import sharpness_figure
from landscape.figures.plots.sharpness_curves import curves_figure
from landscape.figures.plots.spectrum import spectrum_figure
from landscape.figures.plots.study import study_figure
from landscape.figures.plots.surfaces.convexity import convexity_figure, is_convexity
from landscape.figures.plots.surfaces.surface import surface_figure
from landscape.figures.plots.surfaces.trajectory import trajectory_figure
from landscape.figures.style.dark import darkened
from landscape.results import (
    DensityResult,
    HistoryResult,
    LayersResult,
    LineResult,
    Result,
    SharpnessResult,
    SpectrumResult,
    StudyResult,
    SurfaceResult,
    TrajectoryResult,
)

__all__ = [
    "compare",
    "convexity_figure",
    "curves_figure",
    "density_figure",
    "figure",
    "history_figure",
    "layers_figure",
    "line_figure",
    "sharpness_figure",
    "spectrum_figure",
    "study_figure",
    "surface_figure",
    "trajectory_figure",
]

_BY_KIND: dict[type, Any] = {
    SurfaceResult: surface_figure,
    LineResult: line_figure,
    TrajectoryResult: trajectory_figure,
    SpectrumResult: spectrum_figure,
    DensityResult: density_figure,
    LayersResult: layers_figure,
    SharpnessResult: sharpness_figure,
    StudyResult: study_figure,
    HistoryResult: history_figure,
}


def figure(result: Result, **options: Any) -> go.Figure:
    """Return the figure of one result, titled with its checkpoint.

    Args:
        result: Any result.
        **options: Those of the kind's own function: `surface_figure`, `line_figure`, `density_figure` and so on;
            `convexity_figure` for a convexity map drawn without a `metric`. `title` and `dark` work for all.
    """
    label = str(result.attributes.get("checkpoint", result.kind))
    return compare({label: result}, **({"title": label} | options))


def compare(results: Mapping[str, Result], **options: Any) -> go.Figure:
    """Return one figure of several results of one kind, by label: on one scale, in one colour each.

    Raises:
        LandscapeError: There is nothing to draw, or the results are of different kinds.
    """
    kinds = {type(result) for result in results.values()}
    if len(kinds) != 1:
        names = ", ".join(sorted(kind.kind for kind in kinds)) or "none"
        raise LandscapeError(f"expected results of one kind to compare, got {names}; compare each kind by itself")
    draw = _BY_KIND[kinds.pop()]
    maps = {label: r for label, r in results.items() if isinstance(r, SurfaceResult) and is_convexity(r)}
    if len(maps) == len(results) and not {"metric", "view"} & options.keys():
        draw = convexity_figure
    elif maps and len(maps) < len(results):
        raise LandscapeError("expected results of one kind to compare, got convexity maps beside other surfaces")
    drawn: go.Figure = draw(results, **options)
    return darkened(drawn) if options.get("dark") else drawn
