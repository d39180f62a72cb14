"""Basin widths: how far from a checkpoint its loss rises by a stated amount, as brackets and in words."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from landscape.figures.style import theme
from landscape.figures.style.bands import spread
from landscape.figures.style.number_format import number
from landscape.results import Floats, LineResult


def width_words(lines: LineResult | Sequence[LineResult]) -> list[tuple[float, str]]:
    """Return for each rise of the loss the median radius (its quartiles) over the directions and both their sides.

    A radius beyond the end of its line counts as larger than all others.
    """
    lines = [lines] if isinstance(lines, LineResult) else list(lines)
    words = []
    for rise in _rises(lines):
        radii = np.concatenate(_radii(lines, rise))
        missed = int(np.isinf(radii).sum())
        if missed == len(radii):
            words.append((rise, "not reached"))
            continue
        span = max(float(np.abs(line.alpha).max()) for line in lines)
        low, middle, high = (_radius(value, span) for value in _quartiles(radii))
        words.append(
            (rise, f"{middle} ({low} to {high})" + (f", not reached by {missed} of {len(radii)}" if missed else ""))
        )
    return words


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
    for rise, told in width_words(lines):
        left, right = (_quartiles(radii)[1] for radii in _radii(lines, rise))
        x = [at for at in (-left, right) if np.isfinite(at)]
        if not x:
            continue
        words = theme.text(f"{split} loss + {rise:g}: radius {told}")
        trace = go.Scatter(
            x=x if len(x) == 2 else [0.0, *x],
            y=[height + rise] * 2,
            mode="lines+markers+text" if alone else "markers",
            line={"color": colour, "width": 1, "dash": "dot"},
            marker={"symbol": "line-ns", "size": 13, "line": {"color": colour, "width": 2}, "opacity": 1},
            name=words,
            showlegend=False,
            hovertemplate=f"{words}<extra></extra>",
            meta={"series": series, "mark": "width"},
        )
        if alone:
            side = "right" if x[-1] > 0 else "left"
            font = {"color": colour, "size": 11}
            trace.update(text=["", f"  +{rise:g}  "], textposition=f"middle {side}", textfont=font)
        traces.append(trace)
    return traces


def _rises(lines: Sequence[LineResult]) -> list[float]:
    rises = {float(entry["rise"]) for line in lines for entry in line.attributes.get("width") or ()}
    return sorted(rises)


def _radii(lines: Sequence[LineResult], rise: float) -> tuple[Floats, Floats]:
    """Return the radii at which the lines rise by this much, to the left and to the right; inf where they do not."""
    entries = [e for line in lines for e in line.attributes.get("width") or () if float(e["rise"]) == rise]
    left, right = (np.array([float(entry[side]) for entry in entries]) for side in ("left", "right"))
    return np.where(np.isnan(left), np.inf, left), np.where(np.isnan(right), np.inf, right)


def _quartiles(radii: Floats) -> tuple[float, float, float]:
    """Return the quartiles and the median of radii; inf where they lie between or beyond such as are not reached."""
    _, low, middle, high, _ = spread(list(radii[:, None]))
    return float(low[0]), float(middle[0]), float(high[0])


def _radius(value: float, span: float) -> str:
    return number(value, 3) if np.isfinite(value) else f"> {span:g}"


def _centre(line: LineResult, split: str) -> float:
    """Return the loss at the checkpoint."""
    at = np.flatnonzero(line.alpha == 0)
    known = len(at) and "loss" in line.metrics
    return float(line.grid("loss")[line.splits.index(split), at[0]]) if known else np.nan
