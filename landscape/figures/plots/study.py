"""Sharpness against the generalization gap over many checkpoints: a scatter and a rank correlation for each measure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from landscape.errors import LandscapeError
from landscape.figures.style import theme
from landscape.figures.style.scale import WIDE
from landscape.figures.style.small_multiples import legend_once, multiples
from landscape.results import StudyResult

SYMBOLS = ("circle", "diamond", "square", "triangle-up", "x", "cross")  # with the colour, one per group


def study_figure(
    studies: Mapping[str, StudyResult],
    *,
    measures: Sequence[str] | None = None,
    columns: int = 3,
    width: int = 1000,
    colours: Mapping[str, int] | None = None,
    title: str | None = None,
    dark: bool = False,
) -> go.Figure:
    """Return a panel for each measure: the generalization gap over it, a point per checkpoint, Kendall's τ on top.

    Points differ by group (`attributes["groups"]`, one for each checkpoint, such as its recipe), or with several
    studies by study.

    Args:
        studies: The studies by label.
        measures: Labels of the measures to draw; by default all.
        columns: The most panels side by side.
        width: How wide it will be, in pixels: a narrow figure has fewer panels side by side.
        colours: The index of each group's colour; by default its place among the groups.
        title: A heading.
        dark: Dark paper.
    """
    names = list(measures or dict.fromkeys(name for study in studies.values() for name in study.measures))
    if not names:
        raise LandscapeError("expected at least one measure to draw, got none")
    figure, places = multiples([_title(name, studies) for name in names], width=width, columns=columns)
    groups = list(dict.fromkeys(group for label, study in studies.items() for group in _groups(label, study, studies)))
    for name, (row, column) in zip(names, places, strict=True):
        for label, study in studies.items():
            if name not in study.measures:
                continue
            for number, group in enumerate(groups):
                series = colours.get(group, number) if colours else number
                trace = _points(study, name, _groups(label, study, studies), group, series)
                if trace is not None:
                    figure.add_trace(trace, row=row, col=column)
        figure.update_xaxes(**_along(name, studies), row=row, col=column)
        if column == 1:
            figure.update_yaxes(title_text="gap (test − train loss)", row=row, col=column)
    legend_once(figure)
    figure.update_xaxes(exponentformat="power", nticks=6)
    figure.update_yaxes(nticks=6, hoverformat=".4g", matches="y")
    figure.update_layout(showlegend=len(groups) > 1, legend={"y": 1, "yref": "container", "yanchor": "top"})
    return theme.apply_theme(figure, title=title, dark=dark)


def tau_text(study: StudyResult, index: int) -> str:
    """Return Kendall's τ of a measure with its 95 % bootstrap interval: "τ = 0.62 [0.21, 0.85]"."""
    tau, low, high = (float(values[index]) for values in (study.tau, study.tau_low, study.tau_high))
    if math.isnan(tau):
        return "τ not defined"
    shown = [f"{value:.2f}".replace("-", "\N{MINUS SIGN}") for value in (tau, low, high)]
    return f"τ = {shown[0]}" + (f" [{shown[1]}, {shown[2]}]" if math.isfinite(low) and math.isfinite(high) else "")


def _title(name: str, studies: Mapping[str, StudyResult]) -> list[str]:
    """Return the lines of a panel's title: the measure, and its rank correlation."""
    taus = [tau_text(study, study.measures.index(name)) for study in studies.values() if name in study.measures]
    return [theme.text(name), "; ".join(taus)]


def _groups(label: str, study: StudyResult, studies: Mapping[str, StudyResult]) -> list[str]:
    """Return the group of each checkpoint."""
    if len(studies) > 1:
        return [label] * len(study.checkpoints)
    given = study.attributes.get("groups")
    if isinstance(given, Sequence) and not isinstance(given, str) and len(given) == len(study.checkpoints):
        return [str(group) for group in given]
    return [""] * len(study.checkpoints)


def _points(study: StudyResult, name: str, groups: Sequence[str], group: str, series: int) -> go.Scatter | None:
    index = study.measures.index(name)
    chosen = np.array([label == group for label in groups])
    if not chosen.any():
        return None
    colour, errors = theme.series_colour(series), study.stderrs[index][chosen]
    known = np.isfinite(errors).any()
    return go.Scatter(
        x=study.values[index][chosen],
        y=study.gap[chosen],
        error_x={"type": "data", "array": np.nan_to_num(errors), "color": colour, "thickness": 1, "width": 0}
        if known
        else None,
        mode="markers",
        marker={"color": colour, "size": 8, "symbol": SYMBOLS[series % len(SYMBOLS)], "opacity": 0.9},
        text=[theme.text(c) for c, is_in in zip(study.checkpoints, chosen, strict=True) if is_in],
        name=theme.text(group),
        legendgroup=theme.text(group),
        hovertemplate="%{text}<br>measure %{x:.4g}, gap %{y:.4g}<extra></extra>",
        meta={"series": series, "label": group},
    )


def _along(name: str, studies: Mapping[str, StudyResult]) -> dict[str, Any]:
    """Return the layout of a measure's axis: logarithmic where its values are positive and span a wide range."""
    arrays = [study.values[study.measures.index(name)] for study in studies.values() if name in study.measures]
    values = np.concatenate(arrays)
    finite = values[np.isfinite(values)]
    wide = len(finite) > 0 and finite.min() > 0 and finite.max() > WIDE * finite.min()
    return {"type": "log", "dtick": 1} if wide else {"type": "linear"}
