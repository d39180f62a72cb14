"""Sharpness measures of any number of checkpoints: one row per measure, each on its own axis from zero."""

from __future__ import annotations

import math
from collections.abc import Mapping

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from landscape.errors import LandscapeError
from landscape.figures.style import theme
from landscape.results import MeasureResult, SharpnessResult
from landscape.stats.number_format import uncertain


def sharpness_figure(
    results: Mapping[str, SharpnessResult],
    *,
    colours: Mapping[str, int] | None = None,
    title: str | None = None,
    dark: bool = False,
) -> go.Figure:
    """Return bars of every measure with standard errors; measures have different units, so each has its own axis.

    Args:
        results: The sharpness results by label.
        colours: The index of each label's colour; by default its place among the results.
        title: A heading.
        dark: Dark paper.
    """
    rows = measures(results)
    if not rows:
        raise LandscapeError("expected at least one sharpness measure to draw, got none")
    gap = min(0.5 / len(rows), 0.12)
    names = [theme.text(name) for name in rows]
    numbers: list[tuple[int, str, str]] = []
    figure = make_subplots(rows=len(rows), subplot_titles=names, vertical_spacing=gap if len(rows) > 1 else 0)
    for row, by_label in enumerate(rows.values(), start=1):
        for index, label in enumerate(results):
            measure = by_label.get(label)
            if measure is None:
                continue
            error = measure.stderr if math.isfinite(measure.stderr) else None
            colour = theme.series_colour(colours[label] if colours else index)
            bar = go.Bar(
                y=[theme.text(label)],
                x=[measure.value],
                orientation="h",
                error_x={"type": "data", "array": [error], "color": theme.LIGHT.ink, "thickness": 1.5, "width": 4}
                if error is not None
                else None,
                marker={"color": colour},
                text=uncertain(measure.value, measure.stderr),
                textposition="none",
                showlegend=False,
                hovertemplate="%{text}<extra></extra>",
            )
            figure.add_trace(bar, row=row, col=1)
            numbers.append((row, bar.y[0], bar.text))
    figure.update_yaxes(autorange="reversed", ticks="")
    figure.update_xaxes(rangemode="tozero", nticks=6, exponentformat="power")
    figure.for_each_annotation(lambda note: note.update(x=0, xanchor="left", font={"size": 13}))
    for row, label, text in numbers:  # beside the panel, where no bar and no error bar is in the way
        axis = "" if row == 1 else str(row)
        figure.add_annotation(
            x=1, xref=f"x{axis} domain", y=label, yref=f"y{axis}", text=text, xanchor="left", xshift=6, showarrow=False
        )
    room = 16 + 7 * max(len(text) for _, _, text in numbers)
    height = 120 + 70 * len(rows) + 26 * len(rows) * len(results)
    figure.update_layout(height=height, margin={"t": 48, "r": room})
    return theme.apply_theme(figure, title=title, dark=dark)


def measures(results: Mapping[str, SharpnessResult]) -> dict[str, dict[str, MeasureResult]]:
    """Return the measures by their label, then by checkpoint, in order of appearance."""
    rows: dict[str, dict[str, MeasureResult]] = {}
    for label, result in results.items():
        for measure in result.measures:
            rows.setdefault(measure.label, {}).setdefault(label, measure)
    return rows
