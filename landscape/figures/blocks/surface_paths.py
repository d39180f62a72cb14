"""Trajectories and curves drawn on every surface of their plane."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import plotly.graph_objects as go

from landscape.figures.blocks.json_payload import figure_json
from landscape.figures.plots.surfaces.trajectory import (
    belongs,
    positions,
    relief_traces,
    trajectory_note,
    trajectory_traces,
)
from landscape.figures.style import theme
from landscape.figures.style.scale import choose_scale
from landscape.results import SurfaceResult, TrajectoryResult


@dataclass(frozen=True)
class SurfacePath:
    """One trajectory and the surfaces it is drawn on."""

    key: str
    label: str
    series: int | None  # index of its colour; None for the only one
    note: str  # the share of variance and the off-plane residual
    data: dict[str, Any] = field(repr=False)


def surface_paths(
    trajectories: Mapping[str, TrajectoryResult], surfaces: Sequence[SurfaceResult], colours: Mapping[str, int]
) -> list[SurfacePath]:
    """Return the trajectories (by result key) that lie on any of these surfaces."""
    on_plane = {key: t for key, t in trajectories.items() if any(belongs(t, surface) for surface in surfaces)}
    paths = []
    for index, (key, trajectory) in enumerate(on_plane.items()):
        label = key.rpartition("/")[0]
        series = colours.get(label, len(colours) + index) if len(on_plane) > 1 else None
        panels = [panel for panel, surface in enumerate(surfaces) if belongs(trajectory, surface)]
        solid, flat = _figures(trajectory, surfaces[panels[0]], label, series)
        data = {
            "label": label,
            "panels": panels,
            "position": positions(trajectory)[0],
            "at": trajectory.position.tolist(),
            "words": positions(trajectory)[1],
            "alpha": trajectory.alpha.tolist(),
            "beta": trajectory.beta.tolist(),
            "residuals": trajectory.residuals.tolist(),
            "distances": trajectory.distances.tolist(),
            "relief": solid,
            "contour": flat,
        }
        paths.append(SurfacePath(key, label, series, trajectory_note(trajectory), data))
    return paths


def _figures(
    trajectory: TrajectoryResult, surface: SurfaceResult, label: str, series: int | None
) -> tuple[list[Any], list[Any]]:
    """Return the whole path's traces in 3-D and on contours; the script shows a part of them."""
    scale = choose_scale([surface.grid(surface.metrics[0])])  # replaced by the script
    solid = relief_traces(trajectory, surface, surface.metrics[0], surface.splits[0], scale, label=label)
    colour = theme.series_colour(1 if series is None else series)  # ink would not show in a dark basin
    for trace in solid:
        trace.update(line={"color": colour}, marker={"color": colour})
    flat = trajectory_traces(trajectory, label=label, series=series)
    for trace in flat:
        trace.update(showlegend=False)  # the page has its own
    return figure_json(go.Figure(solid))["data"], figure_json(go.Figure(flat))["data"]
