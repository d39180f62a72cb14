"""Lines: loss and accuracy along one direction or many, for any number of checkpoints, and between two of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from landscape.errors import LandscapeError
from landscape.figures.grouping.families import grouped, is_between
from landscape.figures.plots.barrier import mark_barrier, mark_ends
from landscape.figures.plots.basin_width import width_traces
from landscape.figures.style import bands, theme
from landscape.figures.style.scale import Scale, choose_scale
from landscape.figures.style.small_multiples import legend_once, panels
from landscape.results import LineResult


def line_figure(
    lines: Mapping[str, LineResult | Sequence[LineResult]],
    *,
    metrics: Sequence[str] | None = None,
    log: bool | None = None,
    colours: Mapping[str, int] | None = None,
    widths: bool = True,
    stacked: bool = False,
    title: str | None = None,
    dark: bool = False,
) -> go.Figure:
    """Return profiles along a line, one panel per metric: a colour per checkpoint, a dash per split.

    A line has a band of one standard error. Several lines under one label, or of one checkpoint and one family, are one
    curve: their median, with bands from quartile to quartile and, fainter, from the least to the most.

    Args:
        lines: The lines by label; a sequence of them is drawn as one family.
        metrics: The metrics to draw; by default all of the first line.
        log: Logarithmic losses; by default where they span a factor of 30 or more.
        colours: The index of each label's colour; by default its place among the labels.
        widths: Mark the basin's width where it was measured.
        stacked: Put the panels one below the other.
        title: A heading.
        dark: Dark paper.
    """
    groups = grouped(lines)
    everything = [line for members in groups.values() for line in members]
    if not everything:
        raise LandscapeError("expected at least one line to draw, got none")
    metrics = list(metrics or everything[0].metrics)
    figure = panels(len(metrics), stacked=stacked)
    between = [line for line in everything if is_between(line)]
    for number, metric in enumerate(metrics, start=1):
        panel = {"row": number, "col": 1} if stacked else {"row": 1, "col": number}
        scale = _scale(everything, metric, log=log)
        for index, (label, members) in enumerate(groups.items()):
            drawn = [line for line in members if metric in line.metrics]
            series = colours.get(label, index) if colours else index
            alone = bool(between) and len(groups) == 1
            for trace in _curves(None if alone else label, drawn, metric, series, scale):
                figure.add_trace(trace, **panel)
            if metric == "loss" and widths and drawn and not is_between(drawn[0]):
                for trace in width_traces(drawn, series=series, alone=len(groups) == 1):
                    figure.add_trace(trace, **panel)
        traces = [trace for trace in figure.data if trace.xaxis == f"x{number if number > 1 else ''}"]
        figure.update_yaxes(**_roomy(value_axis(metric, scale), traces, scale), **panel)
    legend_once(figure)
    ends = [float(end) for line in everything for end in (line.alpha[0], line.alpha[-1])]
    figure.update_xaxes(range=[min(ends), max(ends)] if min(ends) < max(ends) else None)
    figure.update_xaxes(title_text="position" if between else "α", row=len(metrics) if stacked else None)
    if between:
        for number, metric in enumerate(metrics, start=1):
            panel = {"row": number, "col": 1} if stacked else {"row": 1, "col": number}
            mark_ends(figure, between[0], panel)
            for index, line in enumerate(between):
                colour = theme.LIGHT.ink if len(between) == 1 else theme.series_colour(index)
                mark_barrier(figure, line, metric, panel, colour=colour, left=index % 2 == 1)
    return theme.apply_theme(figure, title=title, dark=dark)


def scale_of(lines: Mapping[str, LineResult | Sequence[LineResult]], metric: str, *, log: bool | None = None) -> Scale:
    """Return the scale on which all lines of a metric are drawn; a few diverging points do not set it."""
    return _scale([line for members in grouped(lines).values() for line in members], metric, log=log)


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


def _roomy(axis: dict[str, Any], traces: Sequence[go.Scatter], scale: Scale) -> dict[str, Any]:
    """Return the axis with room for bands that reach a little beyond the curves."""
    reached = [np.asarray(trace.y, dtype=np.float64) for trace in traces if trace.fill]
    if scale.cut or not reached:
        return axis
    with np.errstate(invalid="ignore", divide="ignore"):
        heights = scale.heights(np.concatenate(reached))
    heights = heights[np.isfinite(heights)]
    bottom, top = axis["range"]
    most = 0.2 * (scale.top - scale.bottom)
    low, high = (float(np.min(heights)), float(np.max(heights))) if len(heights) else (bottom, top)
    return axis | {"range": [min(bottom, max(low, scale.bottom - most)), max(top, min(high, scale.top + most))]}


def _scale(lines: Sequence[LineResult], metric: str, *, log: bool | None) -> Scale:
    arrays = [line.grid(metric) for line in lines if metric in line.metrics]
    accuracy = metric == "accuracy"
    return choose_scale(arrays, log=False if accuracy else log, automatic=metric == "loss", percent=accuracy)


def _curves(label: str | None, lines: Sequence[LineResult], metric: str, series: int, scale: Scale) -> list[go.Scatter]:
    """Return for each split the bands of one line or of a family, and its curve."""
    traces: list[go.Scatter] = []
    for index, split in enumerate(lines[0].splits if lines else ()):
        name = " · ".join(theme.text(part) for part in (label, split) if part is not None)
        x, values = lines[0].alpha, [line.grid(metric)[index] for line in lines]
        if len(lines) > 1:
            shadows, middle = bands.family(x, values, series=series, log=scale.log)
            traces += shadows
            name += f" (median of {len(lines)})"
        else:
            middle, stderr = values[0], lines[0].grid(metric, column="stderr")[index]
            if np.isfinite(stderr).any():
                floor = middle / 10 if scale.log else None
                traces.append(bands.outline(x, middle - stderr, middle + stderr, series=series, floor=floor))
        traces.append(
            go.Scatter(
                x=x,
                y=np.where(np.isfinite(middle), middle, np.nan),
                mode="lines" if len(x) > 1 else "markers",
                line={
                    "color": theme.series_colour(series),
                    "width": 2,
                    "dash": theme.DASHES[index % len(theme.DASHES)],
                },
                name=name,
                legendgroup=name,
                meta={"series": series},
            )
        )
    return traces
