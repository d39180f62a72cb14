"""One look for every figure: type, ink and paper in light and dark, colours that colour-blind readers tell apart."""

from __future__ import annotations

import html
from dataclasses import dataclass
from functools import cache
from typing import Any

import plotly.graph_objects as go

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"

CONTOUR_LINE = "rgba(255,255,255,0.55)"  # of surfaces, flat and in 3-D

Colorscale = list[tuple[float, str]]


@dataclass(frozen=True)
class Theme:
    """The colours of one look; the page's style sheet and its figures share them."""

    paper: str
    wash: str  # a tint of the paper: panels, table heads
    ink: str
    muted: str  # secondary text: at least 4.5:1 on paper
    rule: str  # hairlines and grid lines
    accent: str  # links, focus rings
    warning: str
    series: tuple[str, ...]  # one colour per checkpoint, in order of appearance


# The series are Okabe and Ito's palette without black and yellow, lightened for dark paper.
LIGHT = Theme(
    paper="#ffffff",
    wash="#f4f6f8",
    ink="#1a1d21",
    muted="#59636e",
    rule="#dde2e7",
    accent="#0b62a8",
    warning="#9a4a00",
    series=("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"),
)
DARK = Theme(
    paper="#121417",
    wash="#1b1f24",
    ink="#e8eaed",
    muted="#9da7b2",
    rule="#2e343b",
    accent="#6cb6ff",
    warning="#f0a35e",
    series=("#4ba3db", "#f0803c", "#35c79c", "#de9bc1", "#f2bc4b", "#a4d8f5"),
)

# Marks on contours are white with a dark outline in light and dark alike, for the contours are the same; written so
# that they are none of the colours in `dark_of_light`.
MARK, OUTLINE = "rgb(255,255,255)", "rgb(26,29,33)"

DASHES = ("solid", "dash", "dot", "dashdot")  # one per split, in their order

# Matplotlib's viridis at sixteen points, and a diverging blue-white-orange for signed gaps.
_VIRIDIS = [
    *("#440154", "#481a6c", "#472f7d", "#414487", "#39568c", "#31688e", "#2a788e", "#23888e"),
    *("#1f988b", "#22a884", "#35b779", "#54c568", "#7ad151", "#a5db36", "#d2e21b", "#fde725"),
]
_DIVERGING = ["#08306b", "#2166ac", "#67a9cf", "#c6dcec", "#f4f2ee", "#fbd3ac", "#f1a340", "#b35806", "#6b3000"]


def _spread(colours: list[str]) -> Colorscale:
    last = len(colours) - 1
    return [(round(index / last, 6), colour) for index, colour in enumerate(colours)]


SEQUENTIAL: Colorscale = _spread(_VIRIDIS)  # dark is low
REVERSED: Colorscale = _spread(_VIRIDIS[::-1])  # dark is high: for accuracy, so that dark is good everywhere
DIVERGING: Colorscale = _spread(_DIVERGING)


def series_colour(index: int, theme: Theme = LIGHT) -> str:
    """Return the colour of the series with this index; they repeat after six."""
    return theme.series[index % len(theme.series)]


def faded(colour: str, alpha: float = 0.16) -> str:
    """Return a hex colour as a translucent rgba one."""
    red, green, blue = (int(colour[start : start + 2], 16) for start in (1, 3, 5))
    return f"rgba({red},{green},{blue},{alpha})"


def shades(colour: str) -> Colorscale:
    """Return shades of one hex colour from dark to light: for surfaces told apart by colour, shaped by light."""
    channels = [int(colour[start : start + 2], 16) for start in (1, 3, 5)]
    steps = ([0.5 * c for c in channels], channels, [c + 0.55 * (255 - c) for c in channels])
    return _spread(["#" + "".join(f"{round(c):02x}" for c in shade) for shade in steps])


def text(value: object) -> str:
    """Return a label that Plotly shows literally: its texts are pseudo-HTML, so a name must not be markup."""
    return html.escape(" ".join(str(value).split()), quote=False)


def dark_of_light() -> dict[str, str]:
    """Return the dark colour of each light one, to turn a finished light figure dark."""
    pairs = list(zip(LIGHT.series, DARK.series, strict=True))
    pairs += [(faded(light), faded(dark)) for light, dark in pairs]
    pairs += [(getattr(LIGHT, name), getattr(DARK, name)) for name in ("paper", "ink", "muted", "rule", "warning")]
    return dict(pairs)


@cache
def template(theme: Theme = LIGHT) -> go.layout.Template:
    """Return the Plotly template that all figures share."""
    axis: dict[str, Any] = {
        "gridcolor": theme.rule,
        "zerolinecolor": theme.rule,
        "linecolor": theme.muted,
        "tickcolor": theme.muted,
        "automargin": True,
        "ticks": "outside",
        "ticklen": 4,
        "title": {"standoff": 8, "font": {"size": 13, "color": theme.ink}},
        "tickfont": {"size": 12, "color": theme.muted},
        "showline": True,
        "zeroline": False,
    }
    scene_axis = {
        "backgroundcolor": "rgba(0,0,0,0)",
        "gridcolor": theme.rule,
        "linecolor": theme.muted,
        "zerolinecolor": theme.rule,
        "showspikes": False,
        "title": {"font": {"size": 13, "color": theme.muted}},  # on paper too, which a dark scene reaches as it is
        "tickfont": {"size": 11, "color": theme.muted},
    }
    bars = {"colorbar": {"title": {"font": {"size": 13}}, "tickfont": {"size": 12}}}
    return go.layout.Template(
        data={kind: [bars] for kind in ("contour", "heatmap", "surface")},
        layout={
            "font": {"family": FONT, "size": 13, "color": theme.ink},
            "title": {"font": {"size": 16}, "x": 0, "xref": "paper", "xanchor": "left"},
            "paper_bgcolor": theme.paper,
            "plot_bgcolor": theme.paper,
            "colorway": list(theme.series),
            "xaxis": axis,
            "yaxis": axis,
            "scene": {"xaxis": scene_axis, "yaxis": scene_axis, "zaxis": scene_axis, "bgcolor": "rgba(0,0,0,0)"},
            "hoverlabel": {
                "font": {"family": FONT, "size": 12, "color": theme.ink},
                "bgcolor": theme.wash,
                "bordercolor": theme.rule,
                "align": "left",
            },
            "annotationdefaults": {"font": {"size": 13}},
            "legend": {"orientation": "h", "yanchor": "bottom", "y": 1.02, "x": 0, "bgcolor": "rgba(0,0,0,0)"},
            "margin": {"l": 56, "r": 16, "t": 24, "b": 48},
        },
    )


def apply_theme(figure: go.Figure, *, title: str | None = None, dark: bool = False) -> go.Figure:
    """Give a figure the shared template, and a title (escaped) if there is one."""
    figure.update_layout(template=template(DARK if dark else LIGHT))
    if title:
        heading = {"text": text(title), "yref": "container", "y": 1, "yanchor": "top", "pad": {"t": 12}}
        figure.update_layout(title=heading, margin={"t": (figure.layout.margin.t or 40) + 40})
    return figure
