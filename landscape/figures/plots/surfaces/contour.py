"""Surfaces as filled contours with the places that matter marked."""

from __future__ import annotations

from typing import Any

import plotly.graph_objects as go

from landscape.figures.plots.surfaces import grids
from landscape.figures.style import theme
from landscape.figures.style.scale import Scale
from landscape.results import Floats, SampledPlane


def contours(
    surface: SampledPlane,
    array: Floats,
    metric: str,
    split: str,
    scale: Scale,
    *,
    colorbar: dict[str, Any] | None = None,
) -> list[go.Contour | go.Scatter]:
    """Return the traces of one surface: filled contours at the scale's levels, and its marks."""
    filled = go.Contour(
        x=surface.alpha,
        y=surface.beta,
        z=scale.heights(array),
        customdata=grids.details(surface),
        zmin=scale.bottom,
        zmax=scale.top,
        colorscale=grids.colours(metric, split),
        showscale=colorbar is not None,
        colorbar=colorbar,
        contours={"coloring": "fill", "start": scale.start, "end": scale.top, "size": scale.step},
        line={"width": 0.7, "color": theme.CONTOUR_LINE},
        hovertemplate=grids.hover(surface),
        meta={"role": "surface"},
    )
    return [filled, *(symbol(mark) for mark in grids.marks(surface, array, metric))]


def symbol(mark: grids.Mark) -> go.Scatter:
    """Return a mark: white with a dark outline, which shows on every colour of the contours in light and dark."""
    named = mark.role == "mark"
    trace = go.Scatter(
        x=[mark.alpha],
        y=[mark.beta],
        mode="markers+text" if named else "markers",
        marker={"symbol": mark.symbol, "size": 9, "color": theme.MARK, "line": {"color": theme.OUTLINE, "width": 1.5}},
        name=theme.text(mark.text),
        showlegend=False,
        hovertemplate=f"{theme.text(mark.text)}<br>α %{{x:.3f}}, β %{{y:.3f}}<extra></extra>",
        meta={"role": mark.role, "at": [mark.alpha, mark.beta]},
    )
    if named:
        shadow = f"0 0 3px {theme.OUTLINE}, 0 0 3px {theme.OUTLINE}"
        font = {"color": theme.MARK, "size": 12, "shadow": shadow}
        trace.update(text=[theme.text(mark.text)], textposition="top center", textfont=font, cliponaxis=False)
    return trace


def square(figure: go.Figure, count: int, x: list[float], y: list[float], axes: tuple[str, str]) -> None:
    """Give contour plots side by side their axes, both at one scale."""
    figure.update_xaxes(title_text=theme.text(axes[0]), range=x, constrain="domain", showgrid=False)
    figure.update_yaxes(title_text=theme.text(axes[1]), range=y, constrain="domain", showgrid=False)
    for column in range(1, count + 1):
        suffix = str(column) if column > 1 else ""
        figure.layout[f"yaxis{suffix}"].update(scaleanchor=f"x{suffix}")
