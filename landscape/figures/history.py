"""Training curves: loss and accuracy, train and test, per epoch, per gradient evaluation or per second."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from landscape.errors import LandscapeError
from landscape.figures import theme
from landscape.figures.line import value_axis
from landscape.figures.scale import choose_scale
from landscape.results import History

AXES = {"epoch": "epoch", "gradient_evaluations": "gradient evaluations (examples)", "seconds": "seconds"}


def history_figure(
    histories: Mapping[str, History],
    *,
    metrics: Sequence[str] | None = None,
    x: str = "epoch",
    log: bool | None = None,
    colours: Mapping[str, int] | None = None,
    title: str | None = None,
    dark: bool = False,
) -> go.Figure:
    """Return training curves, one panel per metric: a colour per checkpoint, a dash per split.

    Args:
        histories: The histories by label.
        metrics: Of "loss" and "accuracy"; by default those recorded.
        x: The column along x: "epoch", "gradient_evaluations" or "seconds".
        log: Logarithmic losses; by default where they span a factor of 30 or more.
        colours: The index of each label's colour; by default its place among the histories.
        title: A heading.
        dark: Dark paper.
    """
    if not histories:
        raise LandscapeError("expected at least one history to draw, got none")
    if x not in AXES:
        raise LandscapeError(f"expected x to be one of {', '.join(AXES)}, got {x!r}")
    metrics = list(metrics or recorded(histories))
    figure = make_subplots(cols=max(len(metrics), 1), horizontal_spacing=0.12)
    for column, metric in enumerate(metrics, start=1):
        for index, (label, history) in enumerate(histories.items()):
            series = colours[label] if colours else index
            for trace in _curves(label, history, metric, x, series, legend=column == 1):
                figure.add_trace(trace, row=1, col=column)
        figure.update_yaxes(**curve_axis(histories, metric, log=log), col=column)
    figure.update_xaxes(title_text=AXES[x], rangemode="tozero")
    return theme.dress(figure, title=title, dark=dark)


def recorded(histories: Mapping[str, History]) -> list[str]:
    """Return which of loss and accuracy any of the histories has."""
    names = {name for history in histories.values() for name in history.columns}
    return [metric for metric in ("loss", "accuracy") if {f"train_{metric}", f"test_{metric}"} & names]


def curve_axis(histories: Mapping[str, History], metric: str, *, log: bool | None = None) -> dict[str, Any]:
    """Return the layout of the axis of a metric's values over all curves."""
    arrays = [
        np.asarray(history.columns[name], dtype=np.float64)
        for history in histories.values()
        for name in (f"train_{metric}", f"test_{metric}")
        if name in history.columns
    ]
    accuracy = metric == "accuracy"
    scale = choose_scale(arrays, log=False if accuracy else log, automatic=False, percent=accuracy)
    return value_axis(metric, scale)


def column(history: History, x: str) -> Any:
    """Return the x values of a history; its row numbers where it lacks the column."""
    rows = len(next(iter(history.columns.values()), ()))
    return history.columns.get(x, np.arange(1.0, rows + 1))


def _curves(label: str, history: History, metric: str, x: str, series: int, *, legend: bool) -> list[go.Scatter]:
    traces = []
    for index, split in enumerate(("train", "test")):
        values = history.columns.get(f"{split}_{metric}")
        if values is None:
            continue
        name = f"{theme.text(label)} · {split}"
        traces.append(
            go.Scatter(
                x=column(history, x),
                y=np.where(np.isfinite(values), values, np.nan),
                mode="lines" if len(values) > 1 else "markers",
                line={"color": theme.series_colour(series), "width": 2, "dash": theme.DASHES[index]},
                name=name,
                legendgroup=name,
                showlegend=legend,
                meta={"series": series, "label": label},
            )
        )
    return traces
