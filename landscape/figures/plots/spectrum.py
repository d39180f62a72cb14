"""Eigenvalues from both ends of a curvature operator, with their error bounds; unconverged ones stand out."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from landscape.errors import LandscapeError
from landscape.figures.style import theme
from landscape.figures.style.small_multiples import legend_once
from landscape.results import SpectrumResult

SMALL = 0.05  # where the bottom end is smaller than this share of the top, it gets an axis of its at_end
_SUBSCRIPT = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")


def spectrum_figure(
    spectra: Mapping[str, SpectrumResult],
    *,
    colours: Mapping[str, int] | None = None,
    title: str | None = None,
    dark: bool = False,
) -> go.Figure:
    """Return the eigenvalues by rank, largest to the left, with bars of their bounds; open marks did not converge.

    The two ends share an axis where both can be seen on it.

    Args:
        spectra: The spectra by label.
        colours: The index of each label's colour; by default its place among the spectra.
        title: A heading.
        dark: Dark paper.
    """
    if not spectra:
        raise LandscapeError("expected at least one spectrum to draw, got none")
    tops, bottoms = (max(int(np.sum(s.ends == end)) for s in spectra.values()) for end in (1, -1))
    names = [rank_name(rank) for rank in range(1, tops + 1)] + [rank_name(-rank) for rank in range(bottoms, 0, -1)]
    places = [*range(1, tops + 1), *range(tops + 2, tops + 2 + bottoms)]
    ends = (1, -1) if _apart(spectra) else (0,)
    widths = [tops + 0.2, bottoms + 0.2] if len(ends) == 2 else None
    figure = make_subplots(cols=len(ends), column_widths=widths, horizontal_spacing=0.1)
    for column, end in enumerate(ends, start=1):
        for index, (label, spectrum) in enumerate(spectra.items()):
            series = colours.get(label, index) if colours else index
            shift = 0.36 * ((index + 0.5) / len(spectra) - 0.5) * 2 if len(spectra) > 1 else 0.0
            x = ranks(spectrum, tops, bottoms) + shift
            figure.add_trace(_eigenvalues(label, spectrum, series, x, end), row=1, col=column)
        shown = places[:tops] if end == 1 else places[tops:] if end == -1 else places or [1]
        figure.update_xaxes(range=[shown[0] - 0.6, shown[-1] + 0.6], col=column)
    legend_once(figure)
    figure.update_xaxes(tickvals=places, ticktext=names, showgrid=False)
    figure.update_yaxes(zeroline=True, rangemode="tozero", hoverformat=".4g", exponentformat="power")
    figure.update_yaxes(title_text="eigenvalue", col=1)
    figure.update_layout(showlegend=len(spectra) > 1)
    return theme.apply_theme(figure, title=title, dark=dark)


def _apart(spectra: Mapping[str, SpectrumResult]) -> bool:
    """Return True if the bottom end would look like zero on the axis of the top end."""
    most = [
        max((float(np.max(np.abs(s.eigenvalues[s.ends == end]), initial=0.0)) for s in spectra.values()), default=0.0)
        for end in (1, -1)
    ]
    return 0 < most[1] < SMALL * most[0]


def ranks(spectrum: SpectrumResult, tops: int, bottoms: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Return the x coordinate of each eigenvalue: the top end from 1 on, then a gap, then the bottom end."""
    is_top = spectrum.ends == 1
    places = np.empty(len(spectrum.ends))
    places[is_top] = np.arange(1, np.sum(is_top) + 1)
    count = int(np.sum(~is_top))
    places[~is_top] = tops + 2 + bottoms - count + np.arange(count)
    return places


def rank_name(rank: int) -> str:
    """Return λ₁, λ₂, … from the top, λₙ, λₙ₋₁, … from the bottom (rank −1, −2, …)."""
    if rank > 0:
        return f"λ{rank}".translate(_SUBSCRIPT)
    return f"λₙ₋{-rank - 1}".translate(_SUBSCRIPT) if rank < -1 else "λₙ"


def _eigenvalues(
    label: str, spectrum: SpectrumResult, series: int, x: np.ndarray[tuple[int], np.dtype[np.float64]], end: int
) -> go.Scatter:
    """Return the marks of one end of a spectrum, or with end 0 of both."""
    colour = theme.series_colour(series)
    at_end = spectrum.ends == end if end else np.ones(len(spectrum.ends), dtype=bool)
    converged = spectrum.converged[at_end]
    return go.Scatter(
        x=x[at_end],
        y=spectrum.eigenvalues[at_end],
        error_y={"type": "data", "array": spectrum.bounds[at_end], "thickness": 1.5, "width": 5, "color": colour},
        mode="markers",
        marker={
            "color": colour,
            "opacity": 1,
            "size": np.where(converged, 9, 10),
            "symbol": np.where(converged, "circle", "circle-open"),
            "line": {"width": np.where(converged, 0, 2), "color": colour},
        },
        customdata=np.stack([spectrum.bounds, spectrum.residuals], axis=-1)[at_end],
        text=np.where(converged, "converged", "NOT CONVERGED"),
        name=theme.text(label),
        legendgroup=theme.text(label),
        meta={"series": series},
        hovertemplate="%{y:.5g} ± %{customdata[0]:.2g}<br>residual %{customdata[1]:.2g}, %{text}",
    )
