"""Basin widths: how far from a checkpoint its loss rises by a stated amount, as brackets and in words."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from landscape.figures.style import theme
from landscape.results import LineResult
from landscape.stats.basin_width import BasinWidth, width_quartiles
from landscape.stats.number_format import number


def width_texts(lines: LineResult | Sequence[LineResult]) -> list[tuple[float, str]]:
    """Return for each rise of the loss the median radius (its quartiles) over the directions and both their sides.

    A radius beyond the end of its line counts as larger than all others.
    """
    lines = [lines] if isinstance(lines, LineResult) else list(lines)
    span = max(float(np.abs(line.alpha).max()) for line in lines)
    texts = []
    for width in _widths(lines):
        if not width.reached:
            texts.append((width.rise, "not reached"))
            continue
        low, middle, high = (_radius(value, span) for value in (width.lower, width.median, width.upper))
        missed = width.radii - width.reached
        beyond = f", not reached by {missed} of {width.radii}" if missed else ""
        texts.append((width.rise, f"{middle} ({low} to {high}){beyond}"))
    return texts


def width_traces(lines: Sequence[LineResult], *, series: int, alone: bool) -> list[go.Scatter]:
    """Return for each rise of the loss its median radius to both sides, as ticks on the curve's own height.

    Args:
        lines: The lines of one checkpoint.
        series: The index of its colour.
        alone: Whether nothing else is drawn: then the ticks become a bracket that tells the rise.
    """
    split = lines[0].splits[0]  # the one that widths are measured on
    centres = [_centre(line, split) for line in lines]
    if not np.isfinite(centres).any():
        return []
    colour, height = theme.series_colour(series), float(np.nanmedian(centres))
    traces = []
    for width, (rise, radius) in zip(_widths(lines), width_texts(lines), strict=True):
        x = [at for at in (-width.left, width.right) if np.isfinite(at)]
        if not x:
            continue
        label = theme.text(f"{split} loss + {rise:g}: radius {radius}")
        trace = go.Scatter(
            x=x if len(x) == 2 else [0.0, *x],
            y=[height + rise] * 2,
            mode="lines+markers+text" if alone else "markers",
            line={"color": colour, "width": 1, "dash": "dot"},
            marker={"symbol": "line-ns", "size": 13, "line": {"color": colour, "width": 2}, "opacity": 1},
            name=label,
            showlegend=False,
            hovertemplate=f"{label}<extra></extra>",
            meta={"series": series, "mark": "width"},
        )
        if alone:
            side = "right" if x[-1] > 0 else "left"
            font = {"color": colour, "size": 11}
            trace.update(text=["", f"  +{rise:g}  "], textposition=f"middle {side}", textfont=font)
        traces.append(trace)
    return traces


def _widths(lines: Sequence[LineResult]) -> list[BasinWidth]:
    return width_quartiles(line.attributes.get("width") or () for line in lines)


def _radius(value: float, span: float) -> str:
    return number(value, 3) if np.isfinite(value) else f"> {span:g}"


def _centre(line: LineResult, split: str) -> float:
    """Return the loss at the checkpoint."""
    at = np.flatnonzero(line.alpha == 0)
    known = len(at) and "loss" in line.metrics
    return float(line.grid("loss")[line.splits.index(split), at[0]]) if known else np.nan
