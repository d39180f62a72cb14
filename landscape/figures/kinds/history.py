"""Training curves: figure, block, provenance and CSV columns."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

from landscape.figures.blocks.alternatives import PageBlock, alternatives
from landscape.figures.blocks.block import (
    Block,
    Control,
    Plot,
    dashes,
    legend_entries,
    result_keys,
    results_by_name,
    strip_layout,
)
from landscape.figures.grouping.families import seeds
from landscape.figures.kinds.result_kind import Columns, ResultKind
from landscape.figures.plots.history import AXES, SPLITS, by_recipe, history_figure, recorded
from landscape.results import (
    HistoryResult,
    Result,
)

_DASHES = {"train": "solid", "validation": "dot", "test": "dash"}  # as in history_figure


def history_blocks(results: Mapping[str, Result], colours: Mapping[str, int]) -> list[PageBlock]:
    """Return a block for each name of training curves, switchable between what runs along x."""
    groups = results_by_name(results, HistoryResult)
    blocks, names = [], []
    for index, (name, group) in enumerate(groups.items()):
        histories = {label: history for label, history in group.items() if recorded([history])}
        if histories:
            heading = "Loss and accuracy over training" + (f" · {name}" if len(groups) > 1 else "")
            blocks.append(_history_block(f"history-{index}", heading, name, histories, colours))
            names.append(name)
    return alternatives(blocks, names, legend="Training curves")


def _history_block(
    identity: str, heading: str, name: str, histories: dict[str, HistoryResult], colours: Mapping[str, int]
) -> Block:
    axes = [x for x in AXES if x == "epoch" or any(x in history.columns for history in histories.values())]
    along = Control(f"{identity}-x", "Along x", {x: AXES[x].partition(" (")[0].capitalize() for x in axes}, "epoch")
    by = Control(f"{identity}-by", "Curves", {"recipe": "By recipe", "checkpoint": "Each"}, "recipe")
    recipes = seeds(histories)
    controls = [along] if len(axes) > 1 else []
    curves: dict[str, Mapping[str, HistoryResult | Sequence[HistoryResult]]] = {"checkpoint": histories}
    if any(len(labels) > 1 for labels in recipes.values()):
        controls, curves["recipe"] = [*controls, by], by_recipe(histories)
    palettes = {
        "checkpoint": colours,
        "recipe": {recipe: colours.get(labels[0], 0) for recipe, labels in recipes.items()},
    }
    plots = []
    for metric in recorded(histories.values()):
        variants = {}
        for x, grouping in itertools.product(axes, curves):
            figure = history_figure(curves[grouping], metrics=[metric], x=x, colours=palettes[grouping])
            values = {along.id: x, by.id: grouping}
            variants["|".join(values[control.id] for control in controls)] = strip_layout(figure)
        alt = f"{metric} during training: {', '.join(histories)}"
        plots.append(Plot(f"{identity}-{metric}", alt, variants, [c.id for c in controls], metric.capitalize()))
    names = {column for history in histories.values() for column in history.columns}
    splits = [split for split in SPLITS if {f"{split}_loss", f"{split}_accuracy"} & names]
    legend = legend_entries(list(histories), colours, when=(by.id, "checkpoint") if len(curves) > 1 else ("", ""))
    if len(curves) > 1:
        legend += legend_entries(list(recipes), palettes["recipe"], switch=False, when=(by.id, "recipe"))
    note = "By recipe: the median over its seeds; bands from quartile to quartile, and fainter from least to most."
    return Block(
        f"{identity}-block",
        heading,
        plots,
        result_keys(name, list(histories)),
        note=note if len(curves) > 1 else "",
        controls=controls,
        legend=legend,
        dashes=dashes({split: _DASHES[split] for split in splits}),
    )


def _describe(result: HistoryResult) -> str:
    return f"training curves, {len(next(iter(result.columns.values()), ()))} epochs"


def _table(result: HistoryResult) -> Columns:
    return dict(result.columns)


KIND = ResultKind(HistoryResult, history_figure, "Training", history_blocks, _describe, _table)
