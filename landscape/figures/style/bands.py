"""Bands: several curves over one axis as their median, quartiles and extremes, or one curve with its standard error."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from landscape.figures.style import theme
from landscape.results import Floats
from landscape.stats.quantiles import quantiles


def outline(
    x: Floats, low: Floats, high: Floats, *, series: int, floor: Floats | None = None, **options: Any
) -> go.Scatter:
    """Return the area between two curves as one closed outline; gaps where either is not finite are bridged.

    Args:
        x: Where the curves are known.
        low: The lower one.
        high: The upper one.
        series: The index of the colour.
        floor: What the lower one does not fall below: on a log axis nothing at or below zero can be drawn.
        options: More of `go.Scatter`.
    """
    low = low if floor is None else np.maximum(low, floor)
    known = np.isfinite(low) & np.isfinite(high)
    x, low, high = x[known], low[known], high[known]
    return go.Scatter(
        x=np.concatenate([x, x[::-1]]),
        y=np.concatenate([high, low[::-1]]),
        fill="toself",
        fillcolor=theme.faded(theme.series_colour(series)),
        line={"width": 0},
        mode="lines",
        hoverinfo="skip",
        showlegend=False,
        meta={"series": series, "band": True},
        **options,
    )


def spread(curves: Sequence[Floats]) -> tuple[Floats, Floats, Floats, Floats, Floats]:
    """Return least, lower quartile, median, upper quartile and most of curves at each place; NaN is left out."""
    least, lower, middle, upper, most = quantiles(np.stack(list(curves)), [0, 0.25, 0.5, 0.75, 1])
    return least, lower, middle, upper, most


def family(x: Floats, curves: Sequence[Floats], *, series: int, log: bool) -> tuple[list[go.Scatter], Floats]:
    """Return the bands of a family of curves (all of them faint, its quartiles less so) and its median."""
    least, lower, middle, upper, most = spread(curves)
    floor = middle / 100 if log else None
    extremes = outline(x, least, most, series=series, floor=floor, opacity=0.5)
    return [extremes, outline(x, lower, upper, series=series, floor=floor)], middle
