"""Figures for dark paper: every light colour replaced by its dark counterpart, as on the page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import plotly.graph_objects as go

from landscape.figures.style import theme


def to_dark(figure: go.Figure) -> go.Figure:
    """Return a copy of a figure with the theme's dark colours for its light ones."""
    drawn = figure.to_plotly_json()
    pairs = theme.dark_of_light()
    template = drawn["layout"].pop("template", None)  # which has its own dark look
    dark = go.Figure(_replaced(drawn, pairs))
    return dark.update_layout(template=template)


def _replaced(part: Any, pairs: Mapping[str, str]) -> Any:
    match part:
        case str():
            return pairs.get(part, part)
        case dict():
            return {key: _replaced(value, pairs) for key, value in part.items()}
        case list() | tuple():
            return [_replaced(value, pairs) for value in part]
    return part
