"""Convexity maps (Li et al. 2018, section 6): |λ_min / λ_max| of the Hessian over a plane, dark where it is convex."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from landscape.errors import LandscapeError
from landscape.figures.plots.surfaces import grids
from landscape.figures.style import theme
from landscape.figures.style.scale import Scale, choose_scale
from landscape.results import ConvexityResult, Floats
from landscape.stats.number_format import number, share, tick
from landscape.stats.spectra import CONVEX, convex_share

METRIC = "convexity"


def convexity_figure(
    maps: Mapping[str, ConvexityResult], *, clip: float | None = None, title: str | None = None, dark: bool = False
) -> go.Figure:
    """Return convexity maps side by side on one colour scale from 0; hovering tells both eigenvalues.

    Args:
        maps: The maps by label.
        clip: The largest ratio that the colours tell apart; by default one that a few points far above do not set.
        title: A heading.
        dark: Dark paper.
    """
    if not maps:
        raise LandscapeError("expected at least one convexity map to draw, got none")
    scale = _scale([_ratios(surface) for surface in maps.values()], clip)
    figure = make_subplots(
        cols=len(maps),
        subplot_titles=[theme.text(label) for label in maps] if len(maps) > 1 else None,
        horizontal_spacing=0.2 / len(maps),
    )
    for column, surface in enumerate(maps.values(), start=1):
        figure.add_trace(_heatmap(surface, scale, colorbar=column == len(maps)), row=1, col=column)
        centre = grids.centre(surface)
        if centre is not None:
            figure.add_trace(_origin(), row=1, col=column)
        figure.update_yaxes(scaleanchor=f"x{column if column > 1 else ''}", constrain="domain", col=column)
    x, y = (_cells(maps, axis) for axis in ("alpha", "beta"))
    figure.update_xaxes(title_text="α", range=x, constrain="domain", showgrid=False)
    figure.update_yaxes(title_text="β", range=y, showgrid=False)
    figure.for_each_annotation(lambda note: note.update(font={"size": 13}))
    figure.update_layout(margin={"t": 40})
    return theme.apply_theme(figure, title=title, dark=dark)


def convexity_note(maps: Mapping[str, ConvexityResult]) -> str:
    """Return a note on the mostly convex share of each map, and on the points off the colour scale."""
    notes = []
    for label, one in maps.items():
        ratios = _ratios(one)
        known = ratios[~np.isnan(ratios)]
        if len(known):
            convex, largest = share(convex_share(ratios)), number(float(known.max()), 3)
            notes.append(f"{label}: {convex} of the points below {CONVEX:g}, largest {largest}")
    note = _scale([_ratios(one) for one in maps.values()], None).note([_ratios(one) for one in maps.values()])
    return " ".join(filter(None, ("; ".join(notes) + "." if notes else "", note)))


def _cells(maps: Mapping[str, ConvexityResult], axis: str) -> list[float]:
    """Return the range of an axis that shows all cells whole: half a step beyond the outer points."""
    axes = [getattr(surface, axis) for surface in maps.values()]
    steps = [(at[1] - at[0], at[-1] - at[-2]) if len(at) > 1 else (1.0, 1.0) for at in axes]
    low = min(float(at[0] - step[0] / 2) for at, step in zip(axes, steps, strict=True))
    return [low, max(float(at[-1] + step[1] / 2) for at, step in zip(axes, steps, strict=True))]


def _ratios(surface: ConvexityResult) -> Floats:
    ratios: Floats = surface.grid(METRIC)[0]
    return ratios


def _scale(arrays: list[Floats], clip: float | None) -> Scale:
    return choose_scale([*arrays, np.zeros(1)], log=False, clip=clip)  # from zero


def _heatmap(surface: ConvexityResult, scale: Scale, *, colorbar: bool) -> go.Heatmap:
    bottom, top = (_column(surface, metric) for metric in ("lambda_min", "lambda_max"))
    title = "|λ_min / λ_max|" + (f", cut at {tick(float(f'{scale.top:.3g}'))}" if scale.cut else "")
    bar: dict[str, Any] = {
        "title": {"text": title, "side": "right", "font": {"size": 13}},
        "thickness": 14,
        "outlinewidth": 0,
        "len": 0.8,
    }
    return go.Heatmap(
        x=surface.alpha,
        y=surface.beta,
        z=scale.heights(_ratios(surface)),
        zmin=0,
        zmax=scale.top,
        colorscale=theme.SEQUENTIAL,
        showscale=colorbar,
        colorbar=bar | {"tickvals": list(scale.ticks), "ticktext": list(scale.labels)},
        customdata=np.stack([_ratios(surface), *bottom, *top], axis=-1),
        hovertemplate="α %{x:.3f}, β %{y:.3f}<br>|λ_min / λ_max| <b>%{customdata[0]:.4g}</b>"
        "<br>λ_min %{customdata[1]:.4g} ± %{customdata[2]:.2g}"
        "<br>λ_max %{customdata[3]:.4g} ± %{customdata[4]:.2g}<extra></extra>",
        hoverongaps=False,
        meta={"map": METRIC},
    )


def _column(surface: ConvexityResult, metric: str) -> tuple[Floats, Floats]:
    """Return a metric and its bound over the plane; NaN where it was not stored."""
    if metric not in surface.metrics:
        missing = np.full(surface.shape, np.nan)
        return missing, missing
    return surface.grid(metric)[0], surface.grid(metric, column="bound")[0]


def _origin() -> go.Scatter:
    marker = {
        "symbol": "circle",
        "size": 9,
        "color": theme.LIGHT.paper,
        "line": {"color": theme.LIGHT.ink, "width": 1.5},
    }
    hover = "the checkpoint<extra></extra>"
    return go.Scatter(
        x=[0], y=[0], mode="markers", marker=marker, showlegend=False, hovertemplate=hover, name="checkpoint"
    )
