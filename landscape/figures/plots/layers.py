"""Curvature of each layer's own block: bars of the largest eigenvalue and of the trace, down the network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from landscape.errors import LandscapeError
from landscape.figures.style import theme
from landscape.results import LayersResult
from landscape.stats.number_format import uncertain

Column = Literal["top", "trace"]
WORDS: dict[Column, str] = {"top": "largest eigenvalue", "trace": "trace"}


def layers_figure(
    layers: Mapping[str, LayersResult],
    *,
    columns: Sequence[Column] | None = None,
    colours: Mapping[str, int] | None = None,
    title: str | None = None,
    dark: bool = False,
) -> go.Figure:
    """Return bars for each layer, the first layer on top, with bars of bounds (eigenvalue) and standard errors (trace).

    Hatched bars did not converge.

    Args:
        layers: The curvature of the layers by label of the checkpoint.
        columns: Of "top" and "trace"; by default both, and what is not a number everywhere is left out.
        colours: The index of each label's colour; by default its place among the labels.
        title: A heading.
        dark: Dark paper.
    """
    if not layers:
        raise LandscapeError("expected the layers of at least one checkpoint to draw, got none")
    names = list(dict.fromkeys(name for result in layers.values() for name in result.names))
    shown = list(columns or [c for c in WORDS if any(np.isfinite(getattr(f, c)).any() for f in layers.values())])
    figure = make_subplots(cols=len(shown), shared_yaxes=True, horizontal_spacing=0.05)
    for panel, column in enumerate(shown, start=1):
        for index, (label, result) in enumerate(layers.items()):
            series = colours.get(label, index) if colours else index
            figure.add_trace(_bars(label, result, column, series, legend=panel == 1), row=1, col=panel)
        figure.update_xaxes(title_text=WORDS[column], rangemode="tozero", exponentformat="power", nticks=7, col=panel)
    order = [theme.text(name) for name in names]
    figure.update_yaxes(categoryorder="array", categoryarray=order, ticks="", tickfont={"size": 11}, showline=False)
    figure.update_yaxes(range=[len(names) - 0.4, -0.6])  # downwards
    figure.update_xaxes(zeroline=True, zerolinecolor=theme.LIGHT.muted)
    thick = 9 + 9 * len(layers)
    figure.update_layout(
        barmode="group",
        bargap=0.25,
        height=max(150 + thick * len(names), 300),
        showlegend=len(layers) > 1,
        legend={"traceorder": "normal"},
    )
    return theme.apply_theme(figure, title=title, dark=dark)


def _bars(label: str, result: LayersResult, column: Column, series: int, *, legend: bool) -> go.Bar:
    values = result.top if column == "top" else result.trace
    errors = result.bounds if column == "top" else result.trace_stderr
    settled = result.converged if column == "top" else np.ones(len(values), dtype=bool)
    colour = theme.series_colour(series)
    hatch: dict[str, Any] = {
        "shape": np.where(settled, "", "/").tolist(),
        "fgcolor": colour,
        "bgcolor": "rgba(0,0,0,0)",
    }
    texts = [
        f"{uncertain(float(value), float(error))}{'' if done else ' (not converged)'}"
        for value, error, done in zip(values, errors, settled, strict=True)
    ]
    return go.Bar(
        y=[theme.text(name) for name in result.names],
        x=np.where(np.isfinite(values), values, np.nan),
        orientation="h",
        error_x={"type": "data", "array": np.nan_to_num(errors, posinf=0.0), "color": theme.LIGHT.ink, "thickness": 1}
        | {"width": 2},
        marker={"color": colour, "pattern": hatch, "line": {"width": 0}},
        customdata=result.parameters,
        text=texts,
        textposition="none",
        name=theme.text(label),
        legendgroup=theme.text(label),
        showlegend=legend,
        hovertemplate="%{y}: %{text}<br>%{customdata:,} parameters",
        meta={"series": series, "label": label},
    )
