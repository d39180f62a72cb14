"""Training curves: loss and accuracy of every split, per epoch, per gradient evaluation or per second."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from landscape.errors import LandscapeError
from landscape.figures.grouping.families import seeds
from landscape.figures.plots.line import value_axis
from landscape.figures.style import bands, theme
from landscape.figures.style.scale import choose_scale
from landscape.figures.style.small_multiples import legend_once, panels
from landscape.results import Floats, HistoryResult

AXES = {"epoch": "epoch", "gradient_evaluations": "gradient evaluations (examples)", "seconds": "seconds"}
SPLITS = ("train", "validation", "test")
_DASHES = {"train": "solid", "validation": "dot", "test": "dash"}


def history_figure(
    histories: Mapping[str, HistoryResult | Sequence[HistoryResult]],
    *,
    metrics: Sequence[str] | None = None,
    x: str = "epoch",
    log: bool | None = None,
    stacked: bool = False,
    colours: Mapping[str, int] | None = None,
    title: str | None = None,
    dark: bool = False,
) -> go.Figure:
    """Return training curves, one panel per metric: a colour per label, a dash per split.

    Several runs under one label are the median over them epoch by epoch, and a band from quartile to quartile and,
    fainter, from the least to the most.

    Args:
        histories: The histories by label, such as those of `by_recipe`; a sequence is drawn as one.
        metrics: Of "loss" and "accuracy"; by default those recorded.
        x: The column along x: "epoch", "gradient_evaluations" or "seconds".
        log: Logarithmic losses; by default where they span a factor of 30 or more.
        stacked: Put the panels one below the other.
        colours: The index of each label's colour; by default its place among the labels.
        title: A heading.
        dark: Dark paper.
    """
    if not histories:
        raise LandscapeError("expected at least one history to draw, got none")
    if x not in AXES:
        raise LandscapeError(f"expected x to be one of {', '.join(AXES)}, got {x!r}")
    groups = {label: [one] if isinstance(one, HistoryResult) else list(one) for label, one in histories.items()}
    everything = [run for runs in groups.values() for run in runs]
    metrics = list(metrics or recorded(everything))
    figure = panels(len(metrics), stacked=stacked)
    for number, metric in enumerate(metrics, start=1):
        panel = {"row": number, "col": 1} if stacked else {"row": 1, "col": number}
        axis = curve_axis(everything, metric, log=log)
        for index, (label, runs) in enumerate(groups.items()):
            series = colours.get(label, index) if colours else index
            for trace in _curves(label, runs, metric, x, series, log=axis["type"] == "log"):
                figure.add_trace(trace, **panel)
        figure.update_yaxes(**axis, **panel)
    legend_once(figure)
    figure.update_xaxes(rangemode="tozero")
    figure.update_xaxes(title_text=AXES[x], row=len(metrics) if stacked else None)
    return theme.apply_theme(figure, title=title, dark=dark)


def by_recipe(histories: Mapping[str, HistoryResult]) -> dict[str, list[HistoryResult]]:
    """Return the histories of runs that differ in their seed alone together, by recipe."""
    return {recipe: [histories[label] for label in labels] for recipe, labels in seeds(histories).items()}


def recorded(histories: Iterable[HistoryResult]) -> list[str]:
    """Return those of loss and accuracy that any of the histories has."""
    names = {name for history in histories for name in history.columns}
    return [metric for metric in ("loss", "accuracy") if {f"{split}_{metric}" for split in SPLITS} & names]


def curve_axis(histories: Iterable[HistoryResult], metric: str, *, log: bool | None = None) -> dict[str, Any]:
    """Return the layout of the axis of a metric's values over all curves."""
    arrays = [
        np.asarray(history.columns[name], dtype=np.float64)
        for history in histories
        for name in (f"{split}_{metric}" for split in SPLITS)
        if name in history.columns
    ]
    accuracy = metric == "accuracy"
    scale = choose_scale(arrays, log=False if accuracy else log, automatic=False, percent=accuracy)
    return value_axis(metric, scale)


def column(history: HistoryResult, x: str) -> Any:
    """Return the x values of a history; its row numbers where it lacks the column."""
    rows = len(next(iter(history.columns.values()), ()))
    return history.columns.get(x, np.arange(1.0, rows + 1))


def _curves(
    label: str, runs: Sequence[HistoryResult], metric: str, x: str, series: int, *, log: bool
) -> list[go.Scatter]:
    """Return for each split the curve of one run, or the bands and the median of several, row by row."""
    traces = []
    for split in SPLITS:
        recorded_runs = [run for run in runs if f"{split}_{metric}" in run.columns]
        if not recorded_runs:
            continue
        name = f"{theme.text(label)} · {split}"
        values = [np.asarray(run.columns[f"{split}_{metric}"], dtype=np.float64) for run in recorded_runs]
        along, middle = np.asarray(column(recorded_runs[0], x), dtype=np.float64), values[0]
        if len(recorded_runs) > 1:
            name += f" (median of {len(recorded_runs)})"
            along = bands.spread(_padded([np.asarray(column(run, x), dtype=np.float64) for run in recorded_runs]))[2]
            shadows, middle = bands.family(along, _padded(values), series=series, log=log)
            traces += shadows
        traces.append(
            go.Scatter(
                x=along,
                y=np.where(np.isfinite(middle), middle, np.nan),
                mode="lines" if len(middle) > 1 else "markers",
                line={"color": theme.series_colour(series), "width": 2, "dash": _DASHES[split]},
                name=name,
                legendgroup=name,
                meta={"series": series, "label": label},
            )
        )
    return traces


def _padded(curves: Sequence[Floats]) -> list[Floats]:
    """Return curves of one length: those that end earlier are NaN from there on."""
    rows = max(map(len, curves))
    return [np.concatenate([curve, np.full(rows - len(curve), np.nan)]) for curve in curves]
