"""Lines: loss and accuracy along one direction for any number of checkpoints, and the way between two of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from landscape.errors import LandscapeError
from landscape.figures import theme
from landscape.figures.numbers import uncertain
from landscape.figures.scale import Scale, choose_scale
from landscape.results import Floats, Line


def line_figure(
    lines: Mapping[str, Line],
    *,
    metrics: Sequence[str] | None = None,
    log: bool | None = None,
    colours: Mapping[str, int] | None = None,
    title: str | None = None,
    dark: bool = False,
) -> go.Figure:
    """Return profiles along a line, one panel per metric: a colour per checkpoint, a dash per split, bands of stderr.

    Args:
        lines: The lines by label.
        metrics: The metrics to draw; by default all of the first line.
        log: Logarithmic losses; by default where they span a factor of 30 or more.
        colours: The index of each label's colour; by default its place among the lines.
        title: A heading.
        dark: Dark paper.
    """
    if not lines:
        raise LandscapeError("expected at least one line to draw, got none")
    metrics = list(metrics or next(iter(lines.values())).metrics)
    figure = make_subplots(cols=len(metrics), horizontal_spacing=0.12)
    for column, metric in enumerate(metrics, start=1):
        scale = scale_of(lines, metric, log=log)
        for index, (label, line) in enumerate(lines.items()):
            if metric in line.metrics:
                series = colours[label] if colours else index
                for trace in _profile(label, line, metric, series, scale, legend=column == 1):
                    figure.add_trace(trace, row=1, col=column)
        figure.update_yaxes(**value_axis(metric, scale), col=column)
    between = next((line for line in lines.values() if is_between(line)), None)
    figure.update_xaxes(title_text="position" if between else "α")
    if between:
        for column, metric in enumerate(metrics, start=1):
            _endpoints(figure, *endpoints(between), column)
            _barrier(figure, between, metric, column)
    return theme.dress(figure, title=title, dark=dark)


def is_between(line: Line) -> bool:
    """Return whether the line runs from one checkpoint to another."""
    return bool((line.attributes.get("directions") or {}).get("kind") == "between")


def endpoints(line: Line) -> tuple[str, str]:
    """Return the labels of the two checkpoints that the line runs between."""
    labels = [str(entry.get("label", "")) for entry in line.attributes.get("checkpoints") or ()]
    if len(labels) < 2:
        labels = str(line.attributes.get("checkpoint", "")).split("..", 1)
    return (labels[0], labels[1]) if len(labels) > 1 else ("first", "second")


def barrier(line: Line, metric: str) -> dict[str, Any] | None:
    """Return the barrier of a metric ("value", "stderr", "at") where it was measured, of the first split with one."""
    found = (line.attributes.get("barrier") or {}).get(metric)
    if isinstance(found, Mapping) and "value" not in found:  # one per split
        found = next((found[split] for split in line.splits if split in found), None)
    return dict(found) if isinstance(found, Mapping) and "value" in found else None


def scale_of(lines: Mapping[str, Line], metric: str, *, log: bool | None = None) -> Scale:
    """Return the scale on which all lines of a metric are drawn; a few diverging points do not set it."""
    arrays = [line.grid(metric) for line in lines.values() if metric in line.metrics]
    accuracy = metric == "accuracy"
    return choose_scale(arrays, log=False if accuracy else log, automatic=metric == "loss", percent=accuracy)


def value_axis(metric: str, scale: Scale) -> dict[str, Any]:
    """Return the layout of the axis of values, over the scale with a little room."""
    room = 0.04 * (scale.top - scale.bottom)
    form = {"tickformat": ".0%", "hoverformat": ".2%"} if metric == "accuracy" else {"hoverformat": ".4g"}
    ticks = {"tickmode": "array", "tickvals": [scale.value(at) for at in scale.ticks], "ticktext": list(scale.labels)}
    return {
        "title": {"text": theme.text(metric)},
        "type": "log" if scale.log else "linear",
        "range": [scale.bottom - room, scale.top + room],
        **form,
        **(ticks if scale.log else {"tickmode": "auto"}),
    }


def _profile(label: str, line: Line, metric: str, series: int, scale: Scale, *, legend: bool) -> list[go.Scatter]:
    grid, stderr = line.grid(metric), line.grid(metric, column="stderr")
    colour = theme.series_colour(series)
    traces = []
    for index, split in enumerate(line.splits):
        name = theme.text(split) if is_between(line) else f"{theme.text(label)} · {theme.text(split)}"
        if np.isfinite(stderr[index]).any():
            traces.append(_band(line.alpha, grid[index], stderr[index], colour, series, scale))
        traces.append(
            go.Scatter(
                x=line.alpha,
                y=np.where(np.isfinite(grid[index]), grid[index], np.nan),
                mode="lines" if len(line.alpha) > 1 else "markers",
                line={"color": colour, "width": 2, "dash": theme.DASHES[index % len(theme.DASHES)]},
                name=name,
                legendgroup=name,
                showlegend=legend,
                meta={"series": series},
            )
        )
    return traces


def _band(x: Floats, y: Floats, error: Floats, colour: str, series: int, scale: Scale) -> go.Scatter:
    """Return ±1 standard error as one closed outline; on a log axis it stays above zero."""
    known = np.isfinite(y) & np.isfinite(error)
    x, y, error = x[known], y[known], error[known]
    low = np.maximum(y - error, y / 10) if scale.log else y - error
    return go.Scatter(
        x=np.concatenate([x, x[::-1]]),
        y=np.concatenate([y + error, low[::-1]]),
        fill="toself",
        fillcolor=theme.faded(colour),
        line={"width": 0},
        mode="lines",
        hoverinfo="skip",
        showlegend=False,
        meta={"series": series, "band": True},
    )


def _endpoints(figure: go.Figure, first: str, second: str, column: int) -> None:
    muted = theme.LIGHT.muted
    for at, label, anchor in ((0, first, "left"), (1, second, "right")):
        figure.add_vline(x=at, line={"color": muted, "width": 1, "dash": "dot"}, row=1, col=column)
        shown = theme.text(label if len(label) <= 28 else f"{label[:27]}…")
        place = {"x": at, "y": 1, "yref": "y domain" if column == 1 else f"y{column} domain"}
        figure.add_annotation(text=shown, showarrow=False, row=1, col=column)
        figure.layout.annotations[-1].update(
            **place, xanchor=anchor, yanchor="bottom", yshift=2, font={"size": 12, "color": muted}
        )
    figure.update_layout(legend={"y": 1.1}, margin={"t": 48})


def _barrier(figure: go.Figure, line: Line, metric: str, column: int) -> None:
    """Mark the barrier: from the straight line between the ends up to the loss, at its highest place."""
    found = barrier(line, metric)
    if found is None or not np.isfinite(found["value"]):
        return
    at, height = float(found.get("at", 0.5)), float(found["value"])
    ends = line.grid(metric)[0][[0, -1]]
    base = float((1 - at) * ends[0] + at * ends[1])
    words = f"barrier {uncertain(height, float(found.get('stderr') or np.nan))}"
    ink = theme.LIGHT.ink
    figure.add_trace(
        go.Scatter(
            x=[at, at],
            y=[base, base + height],
            mode="lines+markers",
            line={"color": ink, "width": 1.5},
            marker={"symbol": "line-ew", "size": 9, "line": {"color": ink, "width": 1.5}},
            name=words,
            showlegend=False,
            hovertemplate=f"{words}<extra></extra>",
            meta={"mark": "barrier"},
        ),
        row=1,
        col=column,
    )
    log = figure.layout["yaxis" if column == 1 else f"yaxis{column}"].type == "log"
    middle = 0.5 * np.log10(base * (base + height)) if log else base + height / 2
    figure.add_annotation(x=at, y=middle, text=words, showarrow=False, row=1, col=column)
    figure.layout.annotations[-1].update(xanchor="left", xshift=8, font={"color": ink})
