"""Spectral densities on a logarithmic scale, of one width σ, with the side of negative curvature shaded."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import plotly.graph_objects as go

from landscape.errors import LandscapeError
from landscape.figures.style import bands, theme
from landscape.results import DensityResult, Floats
from landscape.stats.number_format import percent, tick
from landscape.stats.spectra import density_grid, negative_share, smeared

Axis = Literal["linear", "symlog"]
NARROW = 0.05  # where the negative side would take less than this share of the width, the axis becomes symlog
MOST = 8192  # points of a curve, about
DECADES = 10.0  # how far below the highest density the axis reaches where nothing says how small one eigenvalue is


def density_figure(
    densities: Mapping[str, DensityResult],
    *,
    axis: Axis | None = None,
    sigma: float | None = None,
    colours: Mapping[str, int] | None = None,
    title: str | None = None,
    dark: bool = False,
) -> go.Figure:
    """Return spectral densities over the eigenvalue, logarithmic in height; bands of one standard error.

    The height is a density per unit of eigenvalue on either axis. It is shown down to a tenth of the height of a single
    eigenvalue where the number of parameters is known. Where widths differ, all are drawn again from their Ritz values
    at the largest, since curves of different σ do not compare.

    Args:
        densities: The densities by label.
        axis: "linear", or "symlog": logarithmic on both sides of zero, linear within ±10 σ; by default symlog where the
            negative side would be too narrow to be seen.
        sigma: The width to draw all with.
        colours: The index of each label's colour; by default its place among the densities.
        title: A heading.
        dark: Dark paper.
    """
    if not densities:
        raise LandscapeError("expected at least one spectral density to draw, got none")
    width = sigma if sigma is not None else max(density.sigma for density in densities.values())
    drawn = {label: d if _is_fine(d, width) else with_sigma(d, width) for label, d in densities.items()}
    bottom, top = _heights(drawn, densities)
    low, high = _ends(drawn, 10.0**bottom)
    if axis is None:
        axis = "symlog" if low < 0 < high and -low < NARROW * (high - low) else "linear"
    linear = 10 * width
    figure = go.Figure()
    for index, (label, density) in enumerate(drawn.items()):
        series = colours.get(label, index) if colours else index
        for trace in _curves(label, density, _place(density.eigenvalue, axis, linear), series, bottom):
            figure.add_trace(trace)
    left, right = (float(_place(np.array([end]), axis, linear)[0]) for end in (low, high))
    figure.update_xaxes(title_text="eigenvalue", range=[left, right], **_ticks(low, high, axis, linear))
    figure.update_yaxes(
        title_text=f"density (σ = {width:.3g})", type="log", range=[bottom, top], **_powers(bottom, top)
    )
    if low < 0:
        figure.add_vrect(x0=left, x1=0, fillcolor=theme.LIGHT.muted, opacity=0.1, line={"width": 0}, layer="below")
        figure.add_vline(x=0, line={"color": theme.LIGHT.muted, "width": 1}, layer="below")
    figure.update_layout(showlegend=len(densities) > 1)
    return theme.apply_theme(figure, title=title, dark=dark)


def with_sigma(density: DensityResult, sigma: float, grid: Floats | None = None) -> DensityResult:
    """Return the density of the same Ritz values with another width, on a grid that resolves it.

    Args:
        density: A density.
        sigma: The width of the Gaussian in place of each Ritz value.
        grid: Where to evaluate it; by default up to 8 σ around the Ritz values.
    """
    if not 0 < sigma < math.inf:
        raise LandscapeError(f"expected a sigma above 0, got {sigma:g}")
    if grid is None:
        grid = density_grid(density.nodes, sigma, max_points=MOST)
    curve, stderr = smeared(density.nodes, density.weights, sigma, grid)
    return dataclasses.replace(density, eigenvalue=grid, density=curve, stderr=stderr, sigma=sigma)


def density_note(densities: Mapping[str, DensityResult]) -> str:
    """Return in words the width, the number of vectors, and how much of the spectrum is negative."""
    widths = sorted({density.sigma for density in densities.values()})
    vectors = sorted({len(density.nodes) for density in densities.values()})
    drawn = f"Gaussians of width σ = {widths[-1]:.3g}"
    if len(widths) > 1:
        given = ", ".join(f"{width:.3g}" for width in widths)
        drawn += f" (measured with {given}; drawn again at the largest, since curves of different σ do not compare)"
    negative = {label: negative_share(density) for label, density in densities.items()}
    shares = [f"{percent(mean.value, mean.stderr)} of {label}'s" for label, mean in negative.items()]
    count = " or ".join(map(str, vectors))
    plural = "s" if vectors != [1] else ""
    return f"{drawn}, mean of {count} starting vector{plural}; eigenvalues below −σ: {', '.join(shares)}."


def _is_fine(density: DensityResult, sigma: float) -> bool:
    """Return True if the stored curve has this width, on a grid that resolves it."""
    return density.sigma == sigma and bool(np.diff(density.eigenvalue).max(initial=0.0) <= 0.5 * sigma)


def _ends(densities: Mapping[str, DensityResult], floor: float) -> tuple[float, float]:
    """Return the eigenvalues between which anything is to be seen above the lowest density shown."""
    seen = [d.eigenvalue[d.density >= floor] for d in densities.values()]
    return min(float(at[0]) for at in seen), max(float(at[-1]) for at in seen)


def _heights(drawn: Mapping[str, DensityResult], given: Mapping[str, DensityResult]) -> tuple[float, float]:
    """Return log10 of the least and the largest density shown."""
    most = max(float(np.nanmax(density.density)) for density in drawn.values())
    top = math.log10(most) + 0.3
    counts = [int(d.attributes["parameters"]) for d in given.values() if d.attributes.get("parameters")]
    if not counts:
        return top - DECADES, top
    one = 1 / (max(counts) * next(iter(drawn.values())).sigma * math.sqrt(2 * math.pi))  # the peak of one eigenvalue
    return min(math.log10(one) - 1, top - 2), top


def _place(values: Floats, axis: Axis, linear: float) -> Floats:
    """Return the x coordinates of eigenvalues: the values or their asinh, which is linear near zero."""
    return np.arcsinh(values / linear) if axis == "symlog" else values


def _ticks(low: float, high: float, axis: Axis, linear: float) -> dict[str, Any]:
    """Return the labels of a symlog axis: 0, and 1, 2 and 5 of each decade as far as they do not touch."""
    if axis == "linear":
        return {}
    most = max(high, -low)
    decades = range(math.floor(math.log10(linear / 5)), math.floor(math.log10(most)) + 1)
    mantissas = (1, 2, 5) if len(decades) < 4 else (1,)
    steps = [mantissa * 10.0**decade for decade in decades for mantissa in mantissas]
    gap = 0.045 * float(np.ptp(_place(np.array([low, high]), axis, linear)))
    shown: list[float] = [0.0]
    for value in [*steps, *(-step for step in steps)]:
        places = _place(np.array([value, *shown]), axis, linear)
        if low <= value <= high and float(np.min(np.abs(places[1:] - places[0]))) > gap:
            shown.append(value)
    shown.sort()
    return {"tickvals": _place(np.array(shown), axis, linear).tolist(), "ticktext": [tick(value) for value in shown]}


def _powers(bottom: float, top: float) -> dict[str, Any]:
    """Return labels at powers of ten, about eight of them."""
    step = next((step for step in (1, 2, 5) if (top - bottom) / step <= 8), 10)
    powers = [power for power in range(math.ceil(bottom), math.floor(top) + 1) if power % step == 0]
    labels = ["1" if power == 0 else tick(10.0**power) if abs(power) > 1 else f"{10.0**power:g}" for power in powers]
    return {"tickvals": [10.0**power for power in powers], "ticktext": labels, "hoverformat": ".3g"}


def _curves(label: str, density: DensityResult, x: Floats, series: int, bottom: float) -> list[go.Scatter]:
    floor = 10.0 ** (bottom - 1)  # log of zero cannot be drawn
    y = np.maximum(density.density, floor)
    colour, traces = theme.series_colour(series), []
    if np.isfinite(density.stderr).any():
        low, high = density.density - density.stderr, np.maximum(density.density + density.stderr, floor)
        traces.append(bands.outline(x, low, high, series=series, floor=np.full(len(x), floor)))
    traces.append(
        go.Scatter(
            x=x,
            y=y,
            mode="lines",
            line={"color": colour, "width": 1.8},
            customdata=density.eigenvalue,
            name=theme.text(label),
            hovertemplate="λ = %{customdata:.4g}: %{y:.3g}",
            meta={"series": series, "label": label},
        )
    )
    return traces
