"""Surfaces as 3-D landscapes and as filled contours, any number of them on one height and colour scale."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from landscape.errors import LandscapeError
from landscape.figures import theme
from landscape.figures.scale import Scale, choose_scale
from landscape.results import Floats, Surface

CAMERA: dict[str, Any] = {"eye": {"x": 1.17, "y": -1.66, "z": 0.99}, "center": {"x": 0, "y": 0, "z": -0.14}}
GAP = "gap"  # the pseudo-split test − train (for accuracy train − test): what is lost by generalizing

LIFT = 0.02  # how far above the surface marks float, as a share of the height shown

View = Literal["3d", "contour"]


def surface_figure(
    surfaces: Mapping[str, Surface],
    *,
    view: View = "3d",
    metric: str = "loss",
    split: str | None = None,
    log: bool | None = None,
    clip: float | None = None,
    scale: Scale | None = None,
    title: str | None = None,
    dark: bool = False,
) -> go.Figure:
    """Return surfaces side by side on one scale, x along alpha and y along beta.

    Args:
        surfaces: The surfaces by label.
        view: "3d" or "contour".
        metric: What is drawn.
        split: On which split, or "gap" for the generalization gap; the first split by default.
        log: Logarithmic heights; by default where the values span a factor of 30 or more.
        clip: The largest value shown; by default one that keeps divergent corners from flattening the basin.
        scale: The scale to draw on, instead of one chosen for these surfaces.
        title: A heading; by default none for one surface and each one's label for several.
        dark: Dark paper.
    """
    if not surfaces:
        raise LandscapeError("expected at least one surface to draw, got none")
    chosen = split or next(iter(surfaces.values())).splits[0]
    arrays = [values(surface, metric, chosen) for surface in surfaces.values()]
    scale = scale or scale_of(arrays, metric, chosen, log=log, clip=clip)
    kind = "scene" if view == "3d" else "xy"
    labels = [theme.text(label) for label in surfaces]
    figure = make_subplots(
        cols=len(surfaces),
        specs=[[{"type": kind}] * len(surfaces)],
        subplot_titles=labels if len(surfaces) > 1 else None,
        horizontal_spacing=0.02 if view == "3d" else 0.2 / len(surfaces),
    )
    for column, (surface, array) in enumerate(zip(surfaces.values(), arrays, strict=True), start=1):
        last = column == len(surfaces)
        draw = _relief if view == "3d" else _contours
        for trace in draw(surface, array, metric, chosen, scale, colorbar=last):
            figure.add_trace(trace, row=1, col=column)
    x, y = extent(surfaces.values())
    if view == "3d":
        figure.update_scenes(**scene(metric, chosen, scale, x, y))
        figure.update_layout(margin={"l": 0, "r": 0, "t": 30, "b": 0})
    else:
        figure.update_xaxes(title_text="α", range=x, constrain="domain", showgrid=False)
        figure.update_yaxes(title_text="β", range=y, showgrid=False)
        for column in range(1, len(surfaces) + 1):
            figure.update_yaxes(scaleanchor=f"x{column if column > 1 else ''}", constrain="domain", col=column)
        figure.update_layout(margin={"t": 40})
    return theme.dress(figure, title=title, dark=dark)


def splits_of(surface: Surface) -> tuple[str, ...]:
    """Return the splits that can be drawn, the generalization gap among them where train and test were measured."""
    return (*surface.splits, GAP) if {"train", "test"} <= set(surface.splits) else surface.splits


def values(surface: Surface, metric: str, split: str) -> Floats:
    """Return the (Y, X) grid of a metric on a split or of its gap; NaN where it was not computed."""
    if metric not in surface.metrics:
        raise LandscapeError(f"expected a metric among {', '.join(surface.metrics)}, got {metric!r}")
    if split not in splits_of(surface):
        raise LandscapeError(f"expected a split among {', '.join(splits_of(surface))}, got {split!r}")
    grid: dict[str, Floats] = dict(zip(surface.splits, surface.grid(metric), strict=True))
    if split in grid:
        return grid[split]
    lost, kept = ("train", "test") if metric == "accuracy" else ("test", "train")
    with np.errstate(invalid="ignore"):
        return np.asarray(grid[lost] - grid[kept])


def scale_of(
    arrays: Sequence[Floats], metric: str, split: str, *, log: bool | None = None, clip: float | None = None
) -> Scale:
    """Return the scale on which grids of one metric and split are drawn together."""
    accuracy = metric == "accuracy"
    return choose_scale(
        arrays,
        log=False if accuracy else log,
        clip=clip,
        automatic=metric == "loss",
        signed=split == GAP,
        percent=accuracy,
    )


def colours(metric: str, split: str) -> theme.Colorscale:
    """Return the colour scale of a metric on a split; dark is good, and gaps diverge from zero."""
    if split == GAP:
        return theme.DIVERGING
    return theme.REVERSED if metric == "accuracy" else theme.SEQUENTIAL


def name(metric: str, split: str, *, log: bool = False) -> str:
    """Return what is drawn, in words: "train loss (log scale)"."""
    words = f"{metric} gap" if split == GAP else f"{split} {metric}"
    return f"{words} (log scale)" if log else words


def columns(surface: Surface) -> list[tuple[str, str]]:
    """Return (metric, split) of each number that hovering tells, in the order of `details`."""
    return [(metric, split) for metric in surface.metrics for split in surface.splits]


def details(surface: Surface) -> Floats:
    """Return all measured grids as (Y, X, M·S): what hovering over a point tells."""
    grids = np.concatenate([surface.grid(metric) for metric in surface.metrics])
    return np.moveaxis(grids, 0, -1)


def centre(surface: Surface) -> tuple[int, int] | None:
    """Return the grid index [y, x] of α = β = 0, where the checkpoint is."""
    found = np.flatnonzero(surface.beta == 0), np.flatnonzero(surface.alpha == 0)
    return (int(found[0][0]), int(found[1][0])) if len(found[0]) and len(found[1]) else None


def best(array: Floats, metric: str) -> tuple[int, int] | None:
    """Return the grid index [y, x] of the lowest value (of the highest accuracy)."""
    finite = np.where(np.isfinite(array), -array if metric == "accuracy" else array, np.inf)
    index = int(np.argmin(finite))
    return divmod(index, array.shape[1]) if np.isfinite(finite.flat[index]) else None


def extent(surfaces: Iterable[Surface]) -> tuple[list[float], list[float]]:
    """Return the ranges of α and β that show all surfaces whole."""
    corners = [(s.alpha[0], s.beta[0], s.alpha[-1], s.beta[-1]) for s in surfaces]
    left, below, right, above = (np.array(ends, dtype=np.float64) for ends in zip(*corners, strict=True))
    return [float(left.min()), float(right.max())], [float(below.min()), float(above.max())]


def scene(metric: str, split: str, scale: Scale, x: list[float], y: list[float]) -> dict[str, Any]:
    """Return the layout of a 3-D scene: axes, ranges, camera."""
    return {
        "xaxis": {"title": {"text": "α"}, "range": x, "nticks": 6},
        "yaxis": {"title": {"text": "β"}, "range": y, "nticks": 6},
        "zaxis": {
            "title": {"text": theme.text(name(metric, split))},
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


def _relief(
    surface: Surface, array: Floats, metric: str, split: str, scale: Scale, *, colorbar: bool
) -> list[go.Surface | go.Scatter3d]:
    heights = scale.heights(array)
    relief = go.Surface(
        x=surface.alpha,
        y=surface.beta,
        z=heights,
        customdata=details(surface),
        cmin=scale.bottom,
        cmax=scale.top,
        colorscale=colours(metric, split),
        showscale=colorbar,
        colorbar=_colorbar(metric, split, scale),
        lighting={"ambient": 0.72, "diffuse": 0.5, "specular": 0.06, "roughness": 0.9, "fresnel": 0.05},
        lightposition={"x": -600, "y": -900, "z": 1500},
        contours={
            "z": {
                "show": True,
                "start": scale.start,
                "end": scale.top,
                "size": scale.step,
                "color": "rgba(255,255,255,0.55)",
                "width": 1,
                "highlight": False,
            },
            "x": {"highlight": False},
            "y": {"highlight": False},
        },
        hovertemplate=_hover(surface),
    )
    marks: list[go.Surface | go.Scatter3d] = [relief]
    lift = LIFT * (scale.top - scale.bottom)
    for what, symbol, place in _marks(surface, array, metric):
        x, y, z = ([], [], [])
        if place:  # a pin from the mark up to the ceiling, so that a narrow basin does not hide it
            x, y = [surface.alpha[place[1]]] * 2, [surface.beta[place[0]]] * 2
            z = [heights[place] + lift, scale.frame[1]]
        pin = go.Scatter3d(x=x, y=y, z=z, mode="lines+markers", name=what, showlegend=False)
        pin.line = {"color": theme.LIGHT.muted, "width": 2}
        outline = {"color": theme.LIGHT.ink, "width": 2}
        pin.marker = {"symbol": symbol, "size": [6, 4], "color": "#ffffff", "opacity": 1, "line": outline}
        pin.hovertemplate = f"{what}<br>α %{{x:.3f}}, β %{{y:.3f}}<extra></extra>"
        marks.append(pin)
    return marks


def _contours(
    surface: Surface, array: Floats, metric: str, split: str, scale: Scale, *, colorbar: bool
) -> list[go.Contour | go.Scatter]:
    contours = go.Contour(
        x=surface.alpha,
        y=surface.beta,
        z=scale.heights(array),
        customdata=details(surface),
        zmin=scale.bottom,
        zmax=scale.top,
        colorscale=colours(metric, split),
        showscale=colorbar,
        colorbar=_colorbar(metric, split, scale),
        contours={"coloring": "fill", "start": scale.start, "end": scale.top, "size": scale.step},
        line={"width": 0.7, "color": "rgba(255,255,255,0.55)"},
        hovertemplate=_hover(surface),
    )
    marks: list[go.Contour | go.Scatter] = [contours]
    for what, symbol, place in _marks(surface, array, metric):
        at = ([surface.alpha[place[1]]], [surface.beta[place[0]]]) if place else ([], [])
        marker = {"symbol": symbol, "size": 9, "color": "#ffffff", "line": {"color": "#1a1d21", "width": 1.5}}
        marks.append(go.Scatter(x=at[0], y=at[1], mode="markers", marker=marker, name=what, showlegend=False))
        marks[-1].hovertemplate = f"{what}<br>α %{{x:.3f}}, β %{{y:.3f}}<extra></extra>"
    return marks


def _marks(surface: Surface, array: Floats, metric: str) -> list[tuple[str, str, tuple[int, int] | None]]:
    """Return the checkpoint and the best grid point, as (what, symbol, grid index); no second mark in one place."""
    origin, extreme = centre(surface), best(array, metric)
    word = "highest" if metric == "accuracy" else "lowest"
    return [
        ("the checkpoint", "circle", origin),
        (f"{word} on the grid", "diamond", None if extreme == origin else extreme),
    ]


def _hover(surface: Surface) -> str:
    lines = ["α %{x:.3f}, β %{y:.3f}"]
    for index, (metric, split) in enumerate(columns(surface)):
        form = ".2%" if metric == "accuracy" else ".4g"
        lines.append(f"{theme.text(name(metric, split))} <b>%{{customdata[{index}]:{form}}}</b>")
    return "<br>".join(lines) + "<extra></extra>"


def _colorbar(metric: str, split: str, scale: Scale) -> dict[str, Any]:
    return {
        "title": {"text": theme.text(name(metric, split)), "side": "right"},
        "tickvals": list(scale.ticks),
        "ticktext": list(scale.labels),
        "thickness": 14,
        "outlinewidth": 0,
        "len": 0.8,
    }
