"""Any result as a Plotly figure: alone, or several of one kind compared."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import plotly.graph_objects as go

from landscape.errors import LandscapeError
from landscape.figures.history import history_figure
from landscape.figures.line import line_figure
from landscape.figures.sharpness import sharpness_figure
from landscape.figures.spectrum import spectrum_figure
from landscape.figures.surface import surface_figure
from landscape.results import History, Line, Result, Sharpness, Spectrum, Surface

__all__ = [
    "compare",
    "figure",
    "history_figure",
    "line_figure",
    "sharpness_figure",
    "spectrum_figure",
    "surface_figure",
]

_BY_KIND: dict[type, Any] = {
    Surface: surface_figure,
    Line: line_figure,
    Spectrum: spectrum_figure,
    Sharpness: sharpness_figure,
    History: history_figure,
}


def figure(result: Result, **options: Any) -> go.Figure:
    """Return the figure of one result, titled with its checkpoint.

    Args:
        result: Any result.
        **options: Those of the kind's own function: `surface_figure`, `line_figure`, `spectrum_figure`,
            `sharpness_figure` or `history_figure`. `title` and `dark` work for all.
    """
    label = str(result.attributes.get("checkpoint", result.kind))
    return compare({label: result}, **({"title": label} | options))


def compare(results: Mapping[str, Result], **options: Any) -> go.Figure:
    """Return one figure of several results of one kind, by label: on one scale, in one colour each.

    Raises:
        LandscapeError: There is nothing to draw, or the results are of different kinds.
    """
    kinds = {type(result) for result in results.values()}
    if len(kinds) != 1:
        names = ", ".join(sorted(kind.kind for kind in kinds)) or "none"
        raise LandscapeError(f"expected results of one kind to compare, got {names}; compare each kind by itself")
    draw = _BY_KIND[kinds.pop()]
    drawn: go.Figure = draw(results, **options)
    return drawn
