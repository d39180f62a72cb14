"""Lines between two checkpoints: their labels, and the barrier with its error."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import plotly.graph_objects as go

from landscape.figures.style import theme
from landscape.results import LineResult
from landscape.stats.number_format import uncertain

LOW = 0.12  # height of a barrier's label as a share of its height: the curves are far away there
SHORT = 28  # characters of a label that fit beside another


def endpoints(line: LineResult) -> tuple[str, str]:
    """Return the labels of the two checkpoints that the line runs between."""
    labels = [str(entry.get("label", "")) for entry in line.attributes.get("checkpoints") or ()]
    if len(labels) < 2:
        labels = str(line.attributes.get("checkpoint", "")).split("..", 1)
    return (labels[0], labels[1]) if len(labels) > 1 else ("first", "second")


def barrier(line: LineResult, metric: str) -> dict[str, Any] | None:
    """Return the barrier of a metric on the first split that has one, or None.

    Keys: "value", "stderr", "at" (position on the line) and "split", from `attributes["barrier"][split][metric]`.
    """
    heights = line.attributes.get("barrier") or {}
    for split in line.splits:
        if metric in heights.get(split, {}):
            return {**heights[split][metric], "split": split}
    return None


def mark_ends(figure: go.Figure, line: LineResult, panel: Mapping[str, int]) -> None:
    """Draw a vertical line at each end of one panel, with its checkpoint's name on top."""
    axis = _axis(panel)
    muted = theme.LIGHT.muted
    for at, label, anchor in ((0, endpoints(line)[0], "left"), (1, endpoints(line)[1], "right")):
        figure.add_vline(x=at, line={"color": muted, "width": 1, "dash": "dot"}, **panel)
        shown = theme.text(label if len(label) <= SHORT else f"{label[: SHORT - 1]}…")
        top = {"x": at, "y": 1, "yref": f"y{axis} domain"}
        figure.add_annotation(text=shown, showarrow=False, **panel)
        figure.layout.annotations[-1].update(
            **top, xanchor=anchor, yanchor="bottom", yshift=2, font={"size": 12, "color": muted}
        )
    figure.update_layout(legend={"y": 1.1}, margin={"t": 48})


def mark_barrier(
    figure: go.Figure, line: LineResult, metric: str, panel: Mapping[str, int], *, colour: str, left: bool = False
) -> None:
    """Mark the barrier: from the straight line between the ends' values up to its height, with its standard error."""
    measured = barrier(line, metric)
    if measured is None or not np.isfinite(measured["value"]) or not {0.0, 1.0} <= set(line.alpha.tolist()):
        return
    at, height, error = (
        float(measured.get("at", 0.5)),
        float(measured["value"]),
        float(measured.get("stderr") or np.nan),
    )
    values = line.grid(metric)[line.splits.index(measured["split"])]
    first, last = (float(values[line.alpha == end][0]) for end in (0.0, 1.0))
    base = (1 - at) * first + at * last
    label = f"barrier {uncertain(height, error)}"
    trace = go.Scatter(
        x=[at, at],
        y=[base, base + height],
        mode="lines+markers",
        line={"color": colour, "width": 1.5},
        marker={"symbol": "line-ew", "size": 9, "line": {"color": colour, "width": 1.5}},
        error_y={"type": "data", "array": [0, error if np.isfinite(error) else 0], "color": colour, "thickness": 1.2}
        | {"width": 3},
        name=label,
        showlegend=False,
        hovertemplate=f"{label}<extra></extra>",
        meta={"mark": "barrier"},
    )
    figure.add_trace(trace, **panel)
    log = figure.layout[f"yaxis{_axis(panel)}"].type == "log"
    foot, top = np.log10([base, base + height]) if log else (base, base + height)
    low = foot + LOW * (top - foot)
    figure.add_annotation(x=at, y=low, text=label, showarrow=False, **panel)
    side = {"xanchor": "right", "xshift": -8} if left else {"xanchor": "left", "xshift": 8}
    figure.layout.annotations[-1].update(**side, font={"color": colour}, bgcolor=theme.LIGHT.paper, borderpad=1)


def _axis(panel: Mapping[str, int]) -> str:
    """Return the number of a panel's axes, as Plotly writes it: none for the first."""
    number = max(panel["row"], panel["col"])  # panels lie in one row or one column
    return "" if number == 1 else str(number)
