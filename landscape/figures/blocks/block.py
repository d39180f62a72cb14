"""Blocks of the page: figures with controls, tables, notes, and the keys of the results they show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import plotly.graph_objects as go

from landscape.figures.blocks.json_payload import figure_json
from landscape.figures.blocks.tables import Table
from landscape.results import Result

Kind = TypeVar("Kind", bound=Result)
_PATTERNS = {"solid": "", "dash": "7 5", "dot": "2 4", "dashdot": "7 4 2 4"}  # as SVG dashes


@dataclass(frozen=True)
class Plot:
    """One Plotly figure on the page; controls of the same block switch between its variants."""

    id: str
    alt: str
    variants: dict[str, Any]  # by the values of the controls, joined by "|"
    controls: list[str] = field(default_factory=list)  # ids of the controls that choose among the variants
    title: str = ""
    caption: str = ""
    height: int = 0  # in pixels; 0 leaves it to the style sheet


@dataclass(frozen=True)
class Control:
    """A choice among a few named options."""

    id: str
    legend: str
    options: dict[str, str]  # value → words
    chosen: str


@dataclass(frozen=True)
class LegendEntry:
    """An entry of a legend: a colour and the name of the series."""

    text: str
    series: int
    switch: bool = True  # hides and shows the series in all curves
    when: tuple[str, str] = ("", "")  # the control and its value with which the entry shows


@dataclass(frozen=True)
class Block:
    """Figures and tables that belong together."""

    is_surface = False  # drawn by the macro `figures`
    id: str
    heading: str
    plots: list[Plot]
    keys: list[str]  # of the results shown
    caution: str = ""
    note: str = ""
    controls: list[Control] = field(default_factory=list)
    legend: list[LegendEntry] = field(default_factory=list)
    dashes: list[tuple[str, str]] = field(default_factory=list)  # split and SVG dash pattern, for the legend
    lead: list[Table] = field(default_factory=list)  # before the figures
    tables: list[Table] = field(default_factory=list)  # after them
    columns: int = 2  # the most figures side by side


def results_by_name(results: Mapping[str, Result], kind: type[Kind]) -> dict[str, dict[str, Kind]]:
    """Return the results of one kind by name, then by checkpoint label."""
    groups: dict[str, dict[str, Kind]] = {}
    for key, result in results.items():
        label, _, name = key.rpartition("/")
        if isinstance(result, kind):
            groups.setdefault(name, {})[label] = result
    return groups


def legend_entries(labels: Sequence[str], colours: Mapping[str, int], **options: Any) -> list[LegendEntry]:
    """Return the legend of some checkpoints."""
    return [LegendEntry(label, colours.get(label, index), **options) for index, label in enumerate(labels)]


def result_keys(name: str, labels: Sequence[str]) -> list[str]:
    """Return the keys of results of one name."""
    return [f"{label}/{name}" if label else name for label in labels]


def strip_layout(figure: go.Figure, **margin: int) -> dict[str, Any]:
    """Return a figure for the page, whose legend is HTML beside it and whose height is its element's."""
    figure.update_layout(showlegend=False, height=None, margin={"l": 52, "r": 12, "t": 12, "b": 44} | margin)
    return figure_json(figure)


def dashes(splits: Mapping[str, str] | Sequence[str]) -> list[tuple[str, str]]:
    """Return (split, SVG dash pattern) for a legend: Plotly's dashes by split, or splits in the order of dashes."""
    if not isinstance(splits, Mapping):
        names = list(_PATTERNS)
        splits = {split: names[index % len(names)] for index, split in enumerate(splits)}
    return [(split, _PATTERNS[dash]) for split, dash in splits.items()]
