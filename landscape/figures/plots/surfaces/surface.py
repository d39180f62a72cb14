"""Surfaces side by side on one scale, as 3-D reliefs or filled contours, or overlaid in one scene."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from landscape.errors import LandscapeError
from landscape.figures.plots.surfaces.contour import contours, square
from landscape.figures.plots.surfaces.grids import (
    axis_names,
    extent,
    name,
    scale_of,
    values,
)
from landscape.figures.plots.surfaces.relief import overlay, relief, scene
from landscape.figures.style import theme
from landscape.figures.style.scale import Scale
from landscape.results import SampledPlane

View = Literal["3d", "wireframe", "contour", "overlay"]


def surface_figure(
    surfaces: Mapping[str, SampledPlane],
    *,
    view: View = "3d",
    metric: str | None = None,
    split: str | None = None,
    log: bool | None = None,
    clip: float | None = None,
    title: str | None = None,
    dark: bool = False,
) -> go.Figure:
    """Return surfaces on one scale chosen for them, x along alpha and y along beta.

    Args:
        surfaces: The surfaces by label.
        view: "3d", "wireframe" or "contour", side by side; "overlay" puts all into one 3-D scene, each in its own
            colour, all but the first translucent.
        metric: What is drawn: a metric that was measured, "error" for 1 − accuracy; the first one by default.
        split: On which split, or "gap" for the generalization gap; the first split by default.
        log: Logarithmic heights; by default where the values span a factor of 30 or more.
        clip: The largest value shown; by default one that keeps divergent corners from flattening the basin.
        title: A heading; by default none for one surface and each one's label for several.
        dark: Dark paper.

    Raises:
        LandscapeError: There is nothing to draw, or the metric or split was not measured.
    """
    if not surfaces:
        raise LandscapeError("expected at least one surface to draw, got none")
    first = next(iter(surfaces.values()))
    metric, chosen = metric or first.metrics[0], split or first.splits[0]
    arrays = [values(surface, metric, chosen) for surface in surfaces.values()]
    scale = scale_of(arrays, metric, chosen, log=log, clip=clip)
    return draw_on_scale(surfaces, scale, view=view, metric=metric, split=chosen, title=title, dark=dark)


def draw_on_scale(
    surfaces: Mapping[str, SampledPlane],
    scale: Scale,
    *,
    view: View,
    metric: str,
    split: str,
    title: str | None = None,
    dark: bool = False,
) -> go.Figure:
    """Return surfaces on a given scale, such as one that other figures share; arguments as in `surface_figure`."""
    arrays = [values(surface, metric, split) for surface in surfaces.values()]
    x, y = extent(surfaces.values())
    axes = axis_names(next(iter(surfaces.values())))
    room = scene(metric, split, scale, x, y, axes)
    if view == "overlay":
        figure = go.Figure(overlay(dict(surfaces), arrays, scale, dark=dark))
        figure.update_layout(scene=room, margin={"l": 0, "r": 0, "t": 40, "b": 0})
        return theme.apply_theme(figure, title=title, dark=dark)
    figure = _frames(list(surfaces), view)
    for column, (surface, array) in enumerate(zip(surfaces.values(), arrays, strict=True), start=1):
        bar = _colorbar(metric, split, scale) if column == len(surfaces) else None
        if view == "contour":
            traces = contours(surface, array, metric, split, scale, colorbar=bar)
        else:
            traces = relief(surface, array, metric, split, scale, colorbar=bar, wireframe=view == "wireframe")
        figure.add_traces(traces, rows=1, cols=column)
    if view == "contour":
        square(figure, len(surfaces), x, y, axes)
        figure.update_layout(margin={"t": 40})
    else:
        figure.update_scenes(**room)
        figure.update_layout(margin={"l": 0, "r": 0, "t": 30, "b": 0})
    return theme.apply_theme(figure, title=title, dark=dark)


def _frames(labels: list[str], view: View) -> go.Figure:
    """Return an empty figure with one frame per surface."""
    count = len(labels)
    return make_subplots(
        cols=count,
        specs=[[{"type": "xy" if view == "contour" else "scene"}] * count],
        subplot_titles=[theme.text(label) for label in labels] if count > 1 else None,
        horizontal_spacing=0.2 / count if view == "contour" else 0.02,
    )


def _colorbar(metric: str, split: str, scale: Scale) -> dict[str, Any]:
    return {
        "title": {"text": theme.text(name(metric, split)), "side": "right"},
        "tickvals": list(scale.ticks),
        "ticktext": list(scale.labels),
        "thickness": 14,
        "outlinewidth": 0,
        "len": 0.8,
    }
