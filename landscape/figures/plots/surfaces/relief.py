"""Surfaces as 3-D reliefs: one in its measured colours, or several in one scene to see which lies inside which."""

from __future__ import annotations

from typing import Any

import numpy as np
import plotly.graph_objects as go

from landscape.figures.plots.surfaces import grids
from landscape.figures.style import theme
from landscape.figures.style.scale import Scale
from landscape.results import Floats, SampledPlane

# Close enough that the surface fills its panel, high enough to look into the basin.
CAMERA: dict[str, Any] = {"eye": {"x": 1.0, "y": -1.43, "z": 0.9}, "center": {"x": 0, "y": 0, "z": -0.21}}
LIFT = 0.02  # how far above the surface marks float, as a share of the height shown
OPACITY = 0.6  # of every surface but the first in an overlay
LIGHT = {"ambient": 0.72, "diffuse": 0.5, "specular": 0.06, "roughness": 0.9, "fresnel": 0.05}
# One colour per surface leaves its shape to the light alone.
SHAPING = {"ambient": 0.45, "diffuse": 0.75, "specular": 0.1, "roughness": 0.8, "fresnel": 0.05}
_LAMP = {"x": -600, "y": -900, "z": 1500}

Traces = list[go.Surface | go.Scatter3d]


def scene(metric: str, split: str, scale: Scale, x: list[float], y: list[float], axes: tuple[str, str]) -> Any:
    """Return the layout of a 3-D scene: axes, ranges, camera."""
    return {
        "xaxis": {"title": {"text": theme.text(axes[0])}, "range": x, "nticks": 6},
        "yaxis": {"title": {"text": theme.text(axes[1])}, "range": y, "nticks": 6},
        "zaxis": {
            "title": {"text": theme.text(grids.name(metric, split))},
            "range": list(scale.frame),
            "tickmode": "array",
            "tickvals": list(scale.ticks),
            "ticktext": list(scale.labels),
        },
        "aspectmode": "manual",
        "aspectratio": {"x": 1, "y": 1, "z": 0.75},
        "camera": CAMERA,
        "dragmode": "turntable",
    }


def relief(
    surface: SampledPlane,
    array: Floats,
    metric: str,
    split: str,
    scale: Scale,
    *,
    colorbar: dict[str, Any] | None = None,
    wireframe: bool = False,
) -> Traces:
    """Return the traces of one surface: the relief in its colours, and a pin for each mark."""
    heights = scale.heights(array)
    trace = go.Surface(
        x=surface.alpha,
        y=surface.beta,
        z=heights,
        customdata=grids.details(surface),
        cmin=scale.bottom,
        cmax=scale.top,
        colorscale=grids.colours(metric, split),
        showscale=colorbar is not None,
        colorbar=colorbar,
        lighting=LIGHT,
        lightposition=_LAMP,
        contours={"z": _levels(scale), "x": {"highlight": False}, "y": {"highlight": False}},
        hovertemplate=grids.hover(surface),
        meta={"role": "surface"},
    )
    if wireframe:
        trace.update(hidesurface=True, contours={"z": {"show": False}, **wires(surface)})
    marks = grids.marks(surface, array, metric)
    return [trace, *(pin(m, grids.height_at(surface, heights, m.alpha, m.beta), scale) for m in marks)]


def overlay(surfaces: dict[str, SampledPlane], arrays: list[Floats], scale: Scale, *, dark: bool) -> Traces:
    """Return surfaces in one scene, each in its own colour, all but the first translucent."""
    look = theme.DARK if dark else theme.LIGHT
    traces: Traces = []
    for index, ((label, surface), array) in enumerate(zip(surfaces.items(), arrays, strict=True)):
        colour = theme.series_colour(index, look)
        trace = go.Surface(
            x=surface.alpha,
            y=surface.beta,
            z=scale.heights(array),
            customdata=grids.details(surface),
            cmin=scale.bottom,
            cmax=scale.top,
            colorscale=theme.shades(colour),
            showscale=False,
            opacity=1.0 if index == 0 else OPACITY,
            lighting=SHAPING,
            lightposition=_LAMP,
            contours={"z": _levels(scale), "x": {"highlight": False}, "y": {"highlight": False}},
            name=theme.text(label),
            showlegend=True,
            hovertemplate=f"<b>{theme.text(label)}</b><br>{grids.hover(surface)}",
            meta={"role": "surface", "series": index},
        )
        traces.append(trace)
    return traces


def wires(surface: SampledPlane) -> dict[str, Any]:
    """Return the contours that draw a surface as the lines of its grid, coloured by height."""
    return {"x": _grid_lines(surface.alpha), "y": _grid_lines(surface.beta)}


def pin(mark: grids.Mark, foot: float, scale: Scale) -> go.Scatter3d:
    """Return a pin from the surface up to the ceiling, so that a narrow basin does not hide what it marks."""
    shown = bool(np.isfinite(foot))
    label = theme.text(mark.text)
    trace = go.Scatter3d(
        x=[mark.alpha] * 2 if shown else [],
        y=[mark.beta] * 2 if shown else [],
        z=[foot + LIFT * (scale.top - scale.bottom), scale.frame[1]] if shown else [],
        mode="lines+markers",
        name=label,
        showlegend=False,
        line={"color": theme.LIGHT.muted, "width": 2},
        marker={"symbol": mark.symbol, "size": [6, 4], "color": theme.MARK, "opacity": 1},
        hovertemplate=f"{label}<br>α %{{x:.3f}}, β %{{y:.3f}}<extra></extra>",
        meta={"role": mark.role, "at": [mark.alpha, mark.beta]},
    )
    trace.marker.line = {"color": theme.OUTLINE, "width": 2}
    if mark.role == "mark":
        font = {"size": 11, "color": theme.LIGHT.ink}
        trace.update(mode="lines+markers+text", text=["", label], textposition="top center", textfont=font)
    return trace


def _levels(scale: Scale) -> dict[str, Any]:
    return {
        "show": True,
        "start": scale.start,
        "end": scale.top,
        "size": scale.step,
        "color": theme.CONTOUR_LINE,
        "width": 1,
        "highlight": False,
    }


def _grid_lines(axis: Floats) -> dict[str, Any]:
    """Return the contour lines at the points of an axis, at most about 30; the outermost a hair inside, to be drawn."""
    first, last = float(axis[0]), float(axis[-1])
    hair = 1e-4 * (last - first)
    steps = len(axis) - 1
    steps //= max(n for n in range(1, 11) if n == 1 or (steps % n == 0 and steps // n >= 15))
    size = (last - first - 2 * hair) / max(steps, 1)
    lines = {"show": True, "start": first + hair, "end": last - 0.5 * hair, "size": size or 1.0}
    return lines | {"usecolormap": True, "width": 1, "highlight": False}
