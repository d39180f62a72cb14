"""Paths through weight space, alone or on contours: trajectories of training, or curves between minima."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from landscape.errors import LandscapeError
from landscape.figures.plots.surfaces import grids
from landscape.figures.plots.surfaces.relief import LIFT
from landscape.figures.plots.surfaces.surface import surface_figure
from landscape.figures.style import theme
from landscape.figures.style.scale import Scale
from landscape.results import Floats, SurfaceResult, TrajectoryResult
from landscape.stats.number_format import number

OFF = 1e-4  # of the distances: residuals below are rounding, and not drawn


@dataclass(frozen=True)
class Ground:
    """A surface drawn below paths as filled contours."""

    surface: SurfaceResult
    metric: str | None = None  # the surface's first
    split: str | None = None  # the surface's first
    log: bool | None = None  # logarithmic where the values span a factor of 30 or more


def trajectory_figure(
    trajectories: Mapping[str, TrajectoryResult],
    *,
    on: SurfaceResult | Ground | None = None,
    stacked: bool = False,
    colours: Mapping[str, int] | None = None,
    title: str | None = None,
    dark: bool = False,
) -> go.Figure:
    """Return paths on their plane, and beside it how far off the plane each snapshot lies.

    Args:
        trajectories: The trajectories by label, all of one plane where they share a surface.
        on: A surface of that plane, drawn below them as filled contours.
        stacked: Put the distances below the plane instead of beside it.
        colours: The index of each label's colour; by default its place among the labels.
        title: A heading.
        dark: Dark paper.

    Raises:
        LandscapeError: There is nothing to draw, or the surface is of another plane.
    """
    if not trajectories:
        raise LandscapeError("expected at least one trajectory to draw, got none")
    ground = Ground(on) if isinstance(on, SurfaceResult) else on
    surface = ground.surface if ground is not None else None
    elsewhere = [label for label, path in trajectories.items() if surface is not None and not belongs(path, surface)]
    if elsewhere:
        raise LandscapeError(f"the surface is not on the plane of {elsewhere[0]}: their directions' hashes differ")
    beside = any(_is_off(path) for path in trajectories.values())
    figure = _panels(beside, stacked=stacked)
    second = {"row": 2, "col": 1} if stacked else {"row": 1, "col": 2}
    first = next(iter(trajectories.values()))
    if ground is not None:
        figure.add_traces(_contours(ground, stacked=stacked, alone=not beside), rows=1, cols=1)
    for index, (label, path) in enumerate(trajectories.items()):
        series = colours.get(label, index) if colours else index
        colour = series if len(trajectories) > 1 or ground is None else None
        traces = trajectory_traces(path, label=label, series=colour)
        for trace in traces:
            figure.add_trace(trace, row=1, col=1)
        if len(trajectories) == 1:
            figure.data[-3].showlegend = False
            figure.data[-2].showlegend = figure.data[-1].showlegend = True
        if beside:
            for trace in _distances(label, path, series, legend=len(trajectories) > 1):
                figure.add_trace(trace, **second)
    x, y = _ranges(trajectories, surface)
    names = axis_titles(first)
    figure.update_xaxes(title_text=names[0], range=x, constrain="domain", showgrid=ground is None, row=1, col=1)
    figure.update_yaxes(title_text=names[1], range=y, constrain="domain", showgrid=ground is None, row=1, col=1)
    figure.update_yaxes(scaleanchor="x", row=1, col=1)
    if beside:
        figure.update_xaxes(title_text=positions(first)[0], rangemode="tozero", **second)
        figure.update_yaxes(title_text="distance in weight space", rangemode="tozero", hoverformat=".4g", **second)
    return theme.apply_theme(figure, title=title, dark=dark)


def belongs(trajectory: TrajectoryResult, surface: SurfaceResult) -> bool:
    """Return True if a trajectory lies on the plane of a surface: the hashes of their directions are equal."""
    hashes, other = (list((r.attributes.get("directions") or {}).get("hashes") or ()) for r in (trajectory, surface))
    return bool(hashes) and hashes == other


def positions(trajectory: TrajectoryResult) -> tuple[str, list[str]]:
    """Return the name of the position ("epoch", "t") and its text for each snapshot."""
    return str(trajectory.attributes.get("position") or "position"), [f"{at:.4g}" for at in trajectory.position]


def axis_titles(trajectory: TrajectoryResult) -> tuple[str, str]:
    """Return the titles of the plane's axes, with the share of the variance that each explains where there is one."""
    shares = [f"PC {index} ({100 * share:.3g}% of the variance)" for index, share in enumerate(trajectory.explained, 1)]
    return (shares[0], shares[1]) if len(shares) > 1 else ("α", "β")


def trajectory_note(trajectory: TrajectoryResult) -> str:
    """Return a sentence on the plane's share of variance and the residuals; empty for a curve in its plane."""
    held = 100 * float(trajectory.explained[:2].sum())
    notes = [f"the plane holds {held:.3g}% of the trajectory's variance"] if len(trajectory.explained) else []
    if _is_off(trajectory):
        far = int(np.nanargmax(trajectory.residuals))
        share = 100 * trajectory.residuals[far] / max(float(trajectory.distances[far]), 1e-300)
        name, at = positions(trajectory)
        notes.append(
            f"the snapshot farthest off it ({name} {at[far]}) lies {number(float(trajectory.residuals[far]), 3)} away, "
            f"{share:.2g}% of its distance from the plane's origin"
        )
    text = "; ".join(notes)
    return f"{text[:1].upper()}{text[1:]}." if text else ""


def trajectory_traces(
    trajectory: TrajectoryResult, *, label: str = "", series: int | None = None, upto: int | None = None
) -> list[go.Scatter]:
    """Return the four traces of a path over any contour plot: halo, path, start, end.

    Args:
        trajectory: The path.
        label: Its name.
        series: The index of its colour; without one it is drawn in ink, which contrasts with any contours.
        upto: The index of the last snapshot shown; by default all are.
    """
    shown = slice(None if upto is None else upto + 1)
    x, y = trajectory.alpha[shown], trajectory.beta[shown]
    name, texts = positions(trajectory)
    colour = theme.LIGHT.ink if series is None else theme.series_colour(series)
    meta = {"series": series, "mark": "trajectory"}
    halo = go.Scatter(x=x, y=y, mode="lines", line={"color": theme.LIGHT.paper, "width": 5}, hoverinfo="skip")
    path = go.Scatter(
        x=x,
        y=y,
        mode="lines+markers",
        line={"color": colour, "width": 2},
        marker={"color": colour, "size": 5, "line": {"color": theme.LIGHT.paper, "width": 1}},
        customdata=np.stack([trajectory.position, trajectory.residuals, trajectory.distances], axis=-1)[shown],
        hovertemplate=f"{theme.text(name)} %{{customdata[0]:.4g}}<br>%{{customdata[1]:.3g}} off the plane, "
        "%{customdata[2]:.3g} from its origin",
    )
    ends = [
        _end("start", texts[0], name, x[:1], y[:1], "square"),
        _end("end", texts[-1], name, x[-1:], y[-1:], "circle"),
    ]
    for trace in (halo, path, *ends):
        trace.update(meta=meta, showlegend=False)
    path.update(name=theme.text(label), showlegend=series is not None and bool(label))
    return [halo, path, *ends]


def relief_traces(
    trajectory: TrajectoryResult,
    surface: SurfaceResult,
    metric: str,
    split: str,
    scale: Scale,
    *,
    label: str = "",
    upto: int | None = None,
) -> list[go.Scatter3d]:
    """Return the path on a 3-D surface: heights between the grid's points are interpolated, NaN off the grid."""
    heights = scale.heights(grids.values(surface, metric, split))
    places = zip(trajectory.alpha.tolist(), trajectory.beta.tolist(), strict=True)
    path_heights = np.array([grids.height_at(surface, heights, x, y) for x, y in places])
    z = np.minimum(path_heights, scale.top) + LIFT * (scale.top - scale.bottom)
    shown = slice(None if upto is None else upto + 1)
    name = positions(trajectory)[0]
    trace = go.Scatter3d(
        x=trajectory.alpha[shown],
        y=trajectory.beta[shown],
        z=z[shown],
        mode="lines+markers",
        line={"color": theme.LIGHT.ink, "width": 5},
        marker={"color": theme.LIGHT.ink, "size": 3},
        customdata=np.stack([trajectory.position, trajectory.residuals], axis=-1)[shown],
        name=theme.text(label),
        showlegend=False,
        hovertemplate=f"{theme.text(name)} %{{customdata[0]:.4g}}<br>%{{customdata[1]:.3g}} off the plane",
        meta={"mark": "trajectory"},
    )
    return [trace]


def _panels(beside: bool, *, stacked: bool) -> go.Figure:
    if not beside:
        return make_subplots()
    if stacked:
        return make_subplots(rows=2, row_heights=[0.62, 0.38], vertical_spacing=0.16)
    return make_subplots(cols=2, column_widths=[0.58, 0.42], horizontal_spacing=0.2)


def _end(what: str, word: str, name: str, x: Floats, y: Floats, symbol: str) -> go.Scatter:
    label = theme.text(f"{what}: {name} {word}")
    marker = {
        "symbol": symbol,
        "size": 10,
        "color": theme.LIGHT.paper,
        "line": {"color": theme.LIGHT.ink, "width": 1.8},
    }
    return go.Scatter(x=x, y=y, mode="markers", marker=marker, name=label, hovertemplate=f"{label}<extra></extra>")


def _is_off(trajectory: TrajectoryResult) -> bool:
    """Return True if any snapshot lies off the plane by more than rounding."""
    residuals = trajectory.residuals[np.isfinite(trajectory.residuals)]
    return bool(len(residuals)) and bool(residuals.max() > OFF * np.nanmax(trajectory.distances))


def _contours(ground: Ground, *, stacked: bool, alone: bool) -> list[Any]:
    """Return the surface's filled contours and marks, its colour bar beside them."""
    surface, metric, split, log = ground.surface, ground.metric, ground.split, ground.log
    contours, *marks = surface_figure({"": surface}, view="contour", metric=metric, split=split, log=log).data
    contours.colorbar.update(x=1.02 if alone or stacked else 0.48, thickness=12)
    if stacked and not alone:
        contours.colorbar.update(y=0.69, len=0.56)
    contours.colorbar.title.font.size = 13
    return [contours, *marks]


def _distances(label: str, path: TrajectoryResult, series: int, *, legend: bool) -> list[go.Scatter]:
    name = positions(path)[0]
    return [
        go.Scatter(
            x=path.position,
            y=values,
            mode="lines+markers",
            line={"color": theme.series_colour(series), "width": 2, "dash": dash},
            marker={"size": 4},
            name=f"{theme.text(label)} · {distance}" if legend else distance,
            hovertemplate=f"{theme.text(name)} %{{x:.4g}}: %{{y:.4g}} {distance}<extra></extra>",
            meta={"series": series},
        )
        for values, distance, dash in (
            (path.residuals, "from the plane", "solid"),
            (path.distances, "from the plane's origin", "dash"),
        )
    ]


def _ranges(trajectories: Mapping[str, TrajectoryResult], on: SurfaceResult | None) -> tuple[list[float], list[float]]:
    """Return the ranges of both axes that show all paths, and the surface, whole."""
    ranges = []
    for axis in ("alpha", "beta"):
        values = np.concatenate([getattr(path, axis) for path in trajectories.values()])
        low, high = float(np.nanmin(values)), float(np.nanmax(values))
        room = 0.06 * (high - low) or 0.1
        ground = getattr(on, axis) if on is not None else [np.inf, -np.inf]
        ranges.append([min(low - room, float(ground[0])), max(high + room, float(ground[-1]))])
    return ranges[0], ranges[1]
