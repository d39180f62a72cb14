"""Small multiples: panels of one size in rows, each with axes of its own and its title on the left."""

from __future__ import annotations

import math
from collections.abc import Sequence

import plotly.graph_objects as go
from plotly.subplots import make_subplots

PANEL = 280  # height of a panel in pixels, its title and axis included
NARROW = 230  # a panel is not narrower than this
LETTER = 6.8  # width of a letter of a title, about


def multiples(titles: Sequence[Sequence[str]], *, width: int, columns: int) -> tuple[go.Figure, list[tuple[int, int]]]:
    """Return an empty figure with a panel for each title, and each panel's row and column.

    Args:
        titles: The lines of each panel's title (pseudo-HTML); they are broken where they would run into the next.
        width: How wide the figure will be, in pixels: it says how many panels stand side by side.
        columns: At most so many do.
    """
    columns = max(1, min(columns, len(titles), width // NARROW))
    letters = int((width - 60) / columns / LETTER) - 2
    titles = ["<br>".join(wrapped(line, letters) for line in lines) for lines in titles]
    rows = math.ceil(len(titles) / columns)
    places = [divmod(index, columns) for index in range(len(titles))]
    figure = make_subplots(
        rows=rows,
        cols=columns,
        subplot_titles=titles,
        specs=[[{} if (row, column) in places else None for column in range(columns)] for row in range(rows)],
        horizontal_spacing=0.24 / columns,
        vertical_spacing=min(100 / (PANEL * rows), 1 / rows),
    )
    for index, note in enumerate(figure.layout.annotations):
        axis = figure.layout[f"xaxis{index + 1}" if index else "xaxis"]
        note.update(x=axis.domain[0], xanchor="left", font={"size": 13}, align="left", yshift=2)
    lines = 1 + max(title.count("<br>") for title in titles)
    figure.update_layout(height=60 + PANEL * rows, margin={"t": 34 + 17 * lines})
    return figure, [(row + 1, column + 1) for row, column in places]


def panels(count: int, *, stacked: bool) -> go.Figure:
    """Return an empty figure with panels side by side, or one below the other."""
    if stacked:
        return make_subplots(rows=max(count, 1), vertical_spacing=0.2 / max(count, 1))
    return make_subplots(cols=max(count, 1), horizontal_spacing=0.12)


def legend_once(figure: go.Figure) -> None:
    """Show each entry of the legend once, wherever it first appears."""
    seen: set[str] = set()
    for trace in figure.data:
        if trace.legendgroup and trace.showlegend is not False:
            trace.showlegend = trace.legendgroup not in seen
            seen.add(trace.legendgroup)


def wrapped(text: str, width: int) -> str:
    """Return text with line breaks, for a title that must not run into its neighbour; escape it before."""
    lines = [""]
    for word in text.split(" "):
        if lines[-1] and len(lines[-1]) + len(word) >= width:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return "<br>".join(lines)
