"""Sharpness over the radius ρ (or over m): one panel for each measure that was taken at several."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import plotly.graph_objects as go

from landscape.errors import LandscapeError
from landscape.figures.plots.line import value_axis
from landscape.figures.style import bands, theme
from landscape.figures.style.scale import choose_scale
from landscape.figures.style.small_multiples import legend_once, multiples
from landscape.results import Floats, MeasureResult, SharpnessResult
from landscape.stats.number_format import uncertain

Over = Literal["rho", "m", "epsilon"]
SYMBOLS: dict[Over, str] = {"rho": "ρ", "m": "m", "epsilon": "ε"}
# Outcomes, not settings: shipped files hold them among a measure's parameters.
_OUTCOMES = ("converged", "evaluations", "gradient_norm", "starts", "bound", "residual")


def curves_figure(
    results: Mapping[str, SharpnessResult],
    *,
    over: Over = "rho",
    log: bool | None = None,
    columns: int = 3,
    width: int = 1000,
    colours: Mapping[str, int] | None = None,
    title: str | None = None,
    dark: bool = False,
) -> go.Figure:
    """Return each measure over ρ, a colour per checkpoint, with bands of one standard error.

    Args:
        results: The sharpness results by label.
        over: What runs along x: "rho", "m" or "epsilon".
        log: Logarithmic values; by default where they are positive and span a factor of 30 or more.
        columns: The most panels side by side.
        width: How wide it will be, in pixels: a narrow figure has fewer panels side by side.
        colours: The index of each label's colour; by default its place among the results.
        title: A heading.
        dark: Dark paper.

    Raises:
        LandscapeError: No measure was taken at two values or more.
    """
    by_measure = swept(results, over)
    if not by_measure:
        raise LandscapeError(
            f"no measure was taken at several {SYMBOLS[over]}; expected at least two, see sharpness --help"
        )
    figure, places = multiples([[theme.text(name)] for name in by_measure], width=width, columns=columns)
    order = list(results)
    for curves, (row, column) in zip(by_measure.values(), places, strict=True):
        for label, measures in curves.items():
            series = colours.get(label, order.index(label)) if colours else order.index(label)
            x = np.array([float(measure.parameters[over]) for measure in measures])
            for trace in _curve(label, x, measures, series, over):
                figure.add_trace(trace, row=row, col=column)
        figure.update_xaxes(**_along(curves, over), row=row, col=column)
        figure.update_yaxes(**_values(curves, log), row=row, col=column)
    legend_once(figure)
    figure.update_xaxes(title_text=SYMBOLS[over])
    figure.update_layout(showlegend=len(results) > 1, legend={"y": 1, "yref": "container", "yanchor": "top"})
    return theme.apply_theme(figure, title=title, dark=dark)


def swept(results: Mapping[str, SharpnessResult], over: Over = "rho") -> dict[str, dict[str, list[MeasureResult]]]:
    """Return the measures that were taken at several ρ (m, ε), by what they are, then by checkpoint, ascending."""
    groups: dict[str, dict[str, dict[str, list[MeasureResult]]]] = {}
    for label, result in results.items():
        for measure in result.measures:
            if _number(measure.parameters.get(over)):
                key = json.dumps([measure.name, _asked(measure.parameters, over)], sort_keys=True, default=str)
                groups.setdefault(_title(measure.label, over), {}).setdefault(key, {}).setdefault(label, []).append(
                    measure
                )
    curves: dict[str, dict[str, list[MeasureResult]]] = {}
    for name, alike in groups.items():
        number = 1
        for by_label in alike.values():
            several = {label: _ascending(measures, over) for label, measures in by_label.items()}
            several = {label: measures for label, measures in several.items() if len(measures) > 1}
            if several:
                curves[name if number == 1 else f"{name} ({number})"] = several
                number += 1
    return curves


def _ascending(measures: list[MeasureResult], over: Over) -> list[MeasureResult]:
    """Return one measure for each value, ascending."""
    by_value = {float(measure.parameters[over]): measure for measure in reversed(measures)}
    return [by_value[value] for value in sorted(by_value)]


def _title(label: str, over: Over) -> str:
    """Return the name of a measure without its ρ: "SAM sharpness" of "SAM sharpness, ρ = 0.05"."""
    return re.sub(rf"(, |\b){SYMBOLS[over]} = [^,;)]+", "", label).strip(" ,;") or label


def _asked(parameters: Mapping[str, Any], over: Over) -> dict[str, Any]:
    """Return the settings that two measures on one curve share."""
    return {name: value for name, value in parameters.items() if name != over and name not in _OUTCOMES}


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _curve(label: str, x: Floats, measures: list[MeasureResult], series: int, over: Over) -> list[go.Scatter]:
    y, stderr = np.array([m.value for m in measures]), np.array([m.stderr for m in measures])
    traces = []
    if np.isfinite(stderr).any():
        traces.append(bands.outline(x, y - stderr, y + stderr, series=series, floor=np.where(y > 0, y / 100, -np.inf)))
    colour = theme.series_colour(series)
    traces.append(
        go.Scatter(
            x=x,
            y=np.where(np.isfinite(y), y, np.nan),
            mode="lines+markers",
            line={"color": colour, "width": 2},
            marker={"color": colour, "size": 6},
            text=[uncertain(m.value, m.stderr) for m in measures],
            customdata=[m.meaning for m in measures],
            name=theme.text(label),
            legendgroup=theme.text(label),
            hovertemplate=f"{SYMBOLS[over]} = %{{x:g}}: %{{text}}",
            meta={"series": series, "label": label},
        )
    )
    return traces


def _along(curves: Mapping[str, list[MeasureResult]], over: Over) -> dict[str, Any]:
    """Return the layout of the axis of ρ: logarithmic where it was swept so, with a tick at each value."""
    values = sorted({float(measure.parameters[over]) for measures in curves.values() for measure in measures})
    log = values[0] > 0 and values[-1] / values[0] >= 8
    spread = math.log10(values[-1] / values[0]) if log else values[-1] - values[0]
    shown: list[float] = []
    for value in values:  # leave out the labels that would touch the one before
        gap = (math.log10(value / shown[-1]) if log else value - shown[-1]) if shown else math.inf
        if gap > 0.13 * spread:
            shown.append(value)
    return {"type": "log" if log else "linear", "tickvals": shown, "ticktext": [f"{value:g}" for value in shown]}


def _values(curves: Mapping[str, list[MeasureResult]], log: bool | None) -> dict[str, Any]:
    """Return the layout of the axis of values: from zero, or logarithmic."""
    values = np.array([measure.value for measures in curves.values() for measure in measures])
    scale = choose_scale([values], log=log, automatic=False)
    axis = value_axis("", scale)
    return axis if scale.log else {"rangemode": "tozero", "exponentformat": "power", "nticks": 6, "hoverformat": ".4g"}
