"""Surfaces over a training run as an animation: frames over the epochs, with a slider and a play button."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from landscape.errors import LandscapeError
from landscape.figures.plots.surfaces import grids
from landscape.figures.plots.surfaces.relief import LIGHT, scene
from landscape.figures.style import theme
from landscape.figures.style.scale import Scale
from landscape.results import Floats, SurfaceSeriesResult

FRAME = 400  # milliseconds
View = Literal["contour", "3d"]


def series_figure(
    results: Mapping[str, SurfaceSeriesResult],
    *,
    view: View = "contour",
    metric: str | None = None,
    split: str | None = None,
    log: bool | None = None,
    clip: float | None = None,
    title: str | None = None,
    dark: bool = False,
) -> go.Figure:
    """Return an animation of surfaces over the epochs, a panel per run, all on one scale of values.

    It opens with the last epoch.

    Args:
        results: The series by label.
        view: "contour" or "3d".
        metric: "loss" by default.
        split: The first by default.
        log: Logarithmic heights; by default where the values span a factor of 30 or more.
        clip: The largest value shown; by default chosen so that the basins show.
        title: A heading.
        dark: Dark paper.

    Raises:
        LandscapeError: There is nothing to draw, or no such view.
    """
    shown = {label: result for label, result in results.items() if len(result.position)}
    if not shown:
        raise LandscapeError("expected at least one series of surfaces with a snapshot to draw, got none")
    if view not in ("contour", "3d"):
        raise LandscapeError(f"expected a view among contour, 3d, got {view!r}")
    first = next(iter(shown.values()))
    metric, split = metric or first.metrics[0], split or first.splits[0]
    arrays = {label: result.grids(metric, split) for label, result in shown.items()}
    scale = grids.scale_of(list(arrays.values()), metric, split, log=log, clip=clip)
    figure = _panels(shown, view)
    positions = sorted({float(at) for result in shown.values() for at in result.position})

    def traces(at: float) -> list[Any]:
        drawn = []
        for index, (label, result) in enumerate(shown.items()):
            latest = max(int(np.searchsorted(result.position, at, side="right")) - 1, 0)
            name = grids.name(metric, split, log=scale.log) if index == len(shown) - 1 else ""
            drawn.append(_trace(result, arrays[label][latest], scale, grids.colours(metric, split), name, view=view))
        return drawn

    for index, trace in enumerate(traces(positions[-1]), start=1):
        figure.add_trace(trace, row=1, col=index)
    unit = str(first.attributes.get("position") or "position")
    figure.frames = [go.Frame(name=f"{at:g}", data=traces(at)) for at in positions]
    figure.update_layout(**_controls(positions, unit), height=520)
    for index, result in enumerate(shown.values(), start=1):
        if view == "contour":
            figure.update_xaxes(title_text="α", row=1, col=index, range=[result.alpha[0], result.alpha[-1]])
            figure.update_yaxes(title_text="β", row=1, col=index, range=[result.beta[0], result.beta[-1]])
        else:
            x, y = ([float(axis[0]), float(axis[-1])] for axis in (result.alpha, result.beta))
            name = "scene" if index == 1 else f"scene{index}"
            figure.update_layout({name: scene(metric, split, scale, x, y, ("α", "β"))})
    return theme.apply_theme(figure, title=title, dark=dark)


def _panels(results: Mapping[str, SurfaceSeriesResult], view: View) -> go.Figure:
    kind = "xy" if view == "contour" else "scene"
    titles = [theme.text(label) for label in results] if len(results) > 1 else None
    return make_subplots(cols=len(results), specs=[[{"type": kind}] * len(results)], subplot_titles=titles)


def _trace(
    result: SurfaceSeriesResult,
    array: Floats,
    scale: Scale,
    colours: theme.Colorscale,
    name: str,
    *,
    view: View,
) -> Any:
    """Return one surface; a name of its values gives it a colour bar."""
    colorbar = {"title": {"text": theme.text(name)}, "tickvals": list(scale.ticks), "ticktext": list(scale.labels)}
    shared = {"x": result.alpha, "y": result.beta, "z": scale.heights(array), "colorscale": colours}
    values = {"customdata": array, "hovertemplate": "α %{x:.3f}, β %{y:.3f}<br>%{customdata:.4g}<extra></extra>"}
    shown = {"showscale": bool(name), "colorbar": colorbar if name else None}
    if view == "3d":
        return go.Surface(**shared, **values, **shown, cmin=scale.bottom, cmax=scale.top, lighting=LIGHT)
    levels = {"coloring": "fill", "start": scale.start, "end": scale.top, "size": scale.step}
    line = {"width": 0.7, "color": theme.CONTOUR_LINE}
    return go.Contour(**shared, **values, **shown, zmin=scale.bottom, zmax=scale.top, contours=levels, line=line)


def _controls(positions: list[float], unit: str) -> dict[str, Any]:
    """Return the layout of the slider over the positions, and of the buttons that play and stop."""

    def animate(frames: Any, duration: int) -> list[Any]:
        how = {"frame": {"duration": duration, "redraw": True}, "transition": {"duration": 0}, "fromcurrent": True}
        return [frames, {**how, "mode": "immediate"}]

    steps = [{"label": f"{at:g}", "method": "animate", "args": animate([f"{at:g}"], 0)} for at in positions]
    slider = {
        "active": len(positions) - 1,
        "currentvalue": {"prefix": f"{unit} ", "font": {"size": 13}},
        "steps": steps,
        "x": 0.22,
        "len": 0.78,
        "pad": {"t": 44},
    }
    buttons = [
        {"label": "Play", "method": "animate", "args": animate(None, FRAME)},
        {"label": "Pause", "method": "animate", "args": animate([None], 0)},
    ]
    menu = {"type": "buttons", "direction": "left", "buttons": buttons, "showactive": False}
    position = {"x": 0, "y": 0, "xanchor": "left", "yanchor": "top", "pad": {"t": 52}}
    return {"sliders": [slider], "updatemenus": [{**menu, **position}], "margin": {"b": 110}}
