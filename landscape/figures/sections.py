"""The sections of the report, each made from the results that it shows; what is missing is left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import plotly.graph_objects as go

from landscape.figures import numbers
from landscape.figures.embed import figure_json
from landscape.figures.history import AXES, history_figure, recorded
from landscape.figures.line import endpoints, is_between, line_figure, scale_of
from landscape.figures.sharpness import measures
from landscape.figures.spectrum import rank_name, spectrum_figure
from landscape.figures.summary import differences
from landscape.results import History, Line, Measure, Result, Sharpness, Spectrum

Kind = TypeVar("Kind", bound=Result)
Groups = dict[str, dict[str, Kind]]  # by result name, then by checkpoint label


@dataclass(frozen=True)
class Plot:
    """One Plotly figure on the page; a control of the same block may switch between its variants."""

    id: str
    alt: str
    variants: dict[str, Any]
    control: str = ""  # id of the control that chooses among the variants
    title: str = ""
    caption: str = ""


@dataclass(frozen=True)
class Control:
    """A choice among a few named options."""

    id: str
    legend: str
    options: dict[str, str]  # value → words
    chosen: str


@dataclass(frozen=True)
class Block:
    """Figures of one name, side by side."""

    heading: str
    plots: list[Plot]
    note: str = ""
    controls: list[Control] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)  # the checkpoints in it, for the legend
    splits: list[str] = field(default_factory=list)  # the splits in it, for the legend of dashes


def by_name(results: Mapping[str, Result], kind: type[Kind]) -> Groups[Kind]:
    """Return the results of one kind by name, then by checkpoint label."""
    groups: Groups[Kind] = {}
    for key, result in results.items():
        label, _, name = key.rpartition("/")
        if isinstance(result, kind):
            groups.setdefault(name, {})[label] = result
    return groups


def line_blocks(results: Mapping[str, Result], colours: Mapping[str, int]) -> list[Block]:
    """Return a block for each name of lines around checkpoints."""
    around = {key: r for key, r in results.items() if isinstance(r, Line) and not is_between(r)}
    groups = by_name(around, Line)
    return [
        _line_block(f"line-{index}", name if len(groups) > 1 else "", lines, colours)
        for index, (name, lines) in enumerate(groups.items())
    ]


def between_blocks(results: Mapping[str, Result]) -> list[Block]:
    """Return a block for each line between two checkpoints."""
    between = {key: r for key, r in results.items() if isinstance(r, Line) and is_between(r)}
    return [
        _line_block(f"between-{index}", " → ".join(endpoints(line)), {key.rpartition("/")[0]: line}, None)
        for index, (key, line) in enumerate(between.items())
    ]


def _line_block(identity: str, heading: str, lines: dict[str, Line], colours: Mapping[str, int] | None) -> Block:
    metrics = list(dict.fromkeys(metric for line in lines.values() for metric in line.metrics))
    splits = list(dict.fromkeys(split for line in lines.values() for split in line.splits))
    control = Control(f"{identity}-height", "Loss scale", {"linear": "Linear", "log": "Log"}, "linear")
    plots, controls, notes = [], [], [differences(lines)]
    for metric in metrics:
        scale = scale_of(lines, metric)
        shown = {scale.log}
        if metric == "loss" and scale_of(lines, metric, log=True).log:
            shown = {True, False}
            controls = [Control(control.id, control.legend, control.options, "log" if scale.log else "linear")]
        variants = {
            "log" if log else "linear": _bare(line_figure(lines, metrics=[metric], log=log, colours=colours))
            for log in sorted(shown, key=lambda log: log != scale.log)
        }
        notes.append(scale.note([line.grid(metric) for line in lines.values() if metric in line.metrics]))
        alt = f"{metric} along a line through weight space, {', '.join(splits)}: {', '.join(lines)}"
        plots.append(Plot(f"{identity}-{metric}", alt, variants, control.id, metric.capitalize()))
    labels = list(lines) if colours else []
    return Block(heading, plots, " ".join(filter(None, notes)), controls, labels, splits)


def spectrum_blocks(results: Mapping[str, Result], colours: Mapping[str, int]) -> list[tuple[Block, list[list[str]]]]:
    """Return for each name of spectra a block and the rows of its table of eigenvalues."""
    groups = by_name(results, Spectrum)
    blocks = []
    for index, (name, spectra) in enumerate(groups.items()):
        figure = _bare(spectrum_figure(spectra, colours=colours))
        tops = [f"{label} {numbers.number(float(s.eigenvalues[0]))}" for label, s in spectra.items() if len(s.ends)]
        alt = f"Eigenvalues from both ends; largest: {', '.join(tops)}"
        bound = next((str(s.attributes["bound"]) for s in spectra.values() if s.attributes.get("bound")), "residual")
        open_ = int(sum(np.sum(~s.converged) for s in spectra.values()))
        caption = f"Bars: {bound} bound on the distance to an exact eigenvalue, often smaller than the mark."
        if open_:
            caption += f" {open_} did not converge to the tolerance asked for (open marks): take them as estimates."
        plot = Plot(f"spectrum-{index}", alt, {"": figure}, caption=caption)
        heading = name if len(groups) > 1 else ""
        blocks.append((Block(heading, [plot], differences(spectra), labels=list(spectra)), _eigenvalue_rows(spectra)))
    return blocks


def _eigenvalue_rows(spectra: Mapping[str, Spectrum]) -> list[list[str]]:
    """Return rows of rank and, per checkpoint, the eigenvalue with its bound; unconverged ones say so."""
    cells: dict[int, dict[str, str]] = {}
    for label, spectrum in spectra.items():
        tops, bottoms = np.flatnonzero(spectrum.ends == 1), np.flatnonzero(spectrum.ends == -1)
        ranked = [(rank + 1, at) for rank, at in enumerate(tops)] + [(-r - 1, at) for r, at in enumerate(bottoms[::-1])]
        for rank, at in ranked:
            words = numbers.uncertain(float(spectrum.eigenvalues[at]), float(spectrum.bounds[at]))
            cells.setdefault(rank, {})[label] = words if spectrum.converged[at] else f"{words} (not converged)"
    order = sorted(cells, key=lambda rank: (rank < 0, rank))
    return [[rank_name(rank), *(cells[rank].get(label, "") for label in spectra)] for rank in order]


@dataclass(frozen=True)
class SharpnessTable:
    """Measures down, checkpoints across."""

    heading: str
    labels: list[str]
    rows: list[tuple[Measure, list[tuple[str, float]]]]  # the measure, and per checkpoint its text and share of the row
    note: str


def sharpness_tables(results: Mapping[str, Result]) -> list[SharpnessTable]:
    """Return a table for each name of sharpness results."""
    groups = by_name(results, Sharpness)
    tables = []
    for name, found in groups.items():
        rows = []
        for row in measures(found).values():
            most = max((abs(m.value) for m in row.values() if np.isfinite(m.value)), default=0.0)
            cells = [_cell(row.get(label), most) for label in found]
            rows.append((next(iter(row.values())), cells))
        tables.append(SharpnessTable(name if len(groups) > 1 else "", list(found), rows, differences(found)))
    return tables


def _cell(measure: Measure | None, most: float) -> tuple[str, float]:
    if measure is None:
        return "", 0.0
    share = abs(measure.value) / most if most > 0 and np.isfinite(measure.value) else 0.0
    return numbers.uncertain(measure.value, measure.stderr), round(share, 4)


def history_blocks(results: Mapping[str, Result], colours: Mapping[str, int]) -> list[Block]:
    """Return a block for each name of training curves, switchable between what runs along x."""
    groups = by_name(results, History)
    blocks = []
    for index, (name, found) in enumerate(groups.items()):
        histories = {label: history for label, history in found.items() if recorded({label: history})}
        axes = [x for x in AXES if x == "epoch" or any(x in history.columns for history in histories.values())]
        identity = f"history-{index}"
        control = Control(
            f"{identity}-x", "Along x", {x: AXES[x].partition(" (")[0].capitalize() for x in axes}, "epoch"
        )
        plots = []
        for metric in recorded(histories):
            variants = {x: _bare(history_figure(histories, metrics=[metric], x=x, colours=colours)) for x in axes}
            alt = f"{metric} during training: {', '.join(histories)}"
            plots.append(Plot(f"{identity}-{metric}", alt, variants, control.id, metric.capitalize()))
        names = {column for history in histories.values() for column in history.columns}
        splits = [split for split in ("train", "test") if {f"{split}_loss", f"{split}_accuracy"} & names]
        if plots:
            controls = [control] if len(axes) > 1 else []
            heading = name if len(groups) > 1 else ""
            blocks.append(Block(heading, plots, "", controls, list(histories), splits))
    return blocks


def _bare(figure: go.Figure) -> dict[str, Any]:
    """Return a figure for the page, whose legend is HTML beside it."""
    figure.update_layout(showlegend=False, margin={"l": 52, "r": 12, "t": 28, "b": 44})
    return figure_json(figure)


def legend_dashes(splits: Sequence[str]) -> list[tuple[str, str]]:
    """Return (split, stroke-dasharray) for the legend of line styles."""
    patterns = ("", "7 5", "2 4", "7 4 2 4")
    return [(split, patterns[index % len(patterns)]) for index, split in enumerate(splits)]
