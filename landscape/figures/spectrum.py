"""Eigenvalues from both ends of a curvature operator, with their error bounds; unconverged ones stand out."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import plotly.graph_objects as go

from landscape.errors import LandscapeError
from landscape.figures import theme
from landscape.results import Spectrum

_SUBSCRIPT = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")


def spectrum_figure(
    spectra: Mapping[str, Spectrum],
    *,
    colours: Mapping[str, int] | None = None,
    title: str | None = None,
    dark: bool = False,
) -> go.Figure:
    """Return the eigenvalues by rank, largest to the left, with bars of their bounds; open marks did not converge.

    Args:
        spectra: The spectra by label.
        colours: The index of each label's colour; by default its place among the spectra.
        title: A heading.
        dark: Dark paper.
    """
    if not spectra:
        raise LandscapeError("expected at least one spectrum to draw, got none")
    figure = go.Figure()
    tops, bottoms = (max(int(np.sum(s.ends == end)) for s in spectra.values()) for end in (1, -1))
    for index, (label, spectrum) in enumerate(spectra.items()):
        series = colours[label] if colours else index
        shift = 0.36 * ((index + 0.5) / len(spectra) - 0.5) * 2 if len(spectra) > 1 else 0.0
        figure.add_trace(_eigenvalues(label, spectrum, series, ranks(spectrum, tops, bottoms) + shift))
    names = [rank_name(rank) for rank in range(1, tops + 1)] + [rank_name(-rank) for rank in range(bottoms, 0, -1)]
    places = [*range(1, tops + 1), *range(tops + 2, tops + 2 + bottoms)]
    figure.update_xaxes(
        tickvals=places, ticktext=names, range=[0.4, (places[-1] if places else 1) + 0.6], showgrid=False
    )
    figure.update_yaxes(title_text="eigenvalue", zeroline=True, hoverformat=".4g", exponentformat="power")
    figure.update_layout(showlegend=len(spectra) > 1)
    return theme.dress(figure, title=title, dark=dark)


def ranks(spectrum: Spectrum, tops: int, bottoms: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Return where each eigenvalue stands along x: the top end from 1 on, then a gap, then the bottom end."""
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
    label: str, spectrum: Spectrum, series: int, x: np.ndarray[tuple[int], np.dtype[np.float64]]
) -> go.Scatter:
    colour = theme.series_colour(series)
    remark = np.where(spectrum.converged, "converged", "NOT CONVERGED")
    return go.Scatter(
        x=x,
        y=spectrum.eigenvalues,
        error_y={"type": "data", "array": spectrum.bounds, "thickness": 1.5, "width": 5, "color": colour},
        mode="markers",
        marker={
            "color": colour,
            "size": np.where(spectrum.converged, 9, 10),
            "symbol": np.where(spectrum.converged, "circle", "circle-open"),
            "line": {"width": np.where(spectrum.converged, 0, 2), "color": colour},
        },
        customdata=np.stack([spectrum.bounds, spectrum.residuals], axis=-1),
        text=remark,
        name=theme.text(label),
        meta={"series": series},
        hovertemplate="%{y:.5g} ± %{customdata[0]:.2g}<br>residual %{customdata[1]:.2g}, %{text}",
    )
