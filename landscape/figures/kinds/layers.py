"""Curvature of layers: figure, block, provenance and CSV columns."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from landscape.figures.blocks.alternatives import PageBlock, by_sample
from landscape.figures.blocks.block import (
    Block,
    Plot,
    legend_entries,
    result_keys,
    results_by_name,
    strip_layout,
)
from landscape.figures.grouping.comparability import cautions
from landscape.figures.grouping.headings import matrix_text, with_sample
from landscape.figures.kinds.result_kind import Columns, ResultKind
from landscape.figures.plots.layers import WORDS, layers_figure
from landscape.results import (
    LayersResult,
    Result,
)


def layer_blocks(results: Mapping[str, Result], colours: Mapping[str, int]) -> list[PageBlock]:
    """Return a block for each name of layers: bars of the largest eigenvalue and of the trace."""
    groups = results_by_name(results, LayersResult)
    blocks = []
    for index, (name, layers) in enumerate(groups.items()):
        plots = []
        for column, column_name in WORDS.items():
            if any(np.isfinite(getattr(result, column)).any() for result in layers.values()):
                figure = layers_figure(layers, columns=[column], colours=colours)
                height = int(figure.layout.height or 0)
                alt = f"{column_name} of each layer's own block: {', '.join(layers)}"
                caption = "Hatched: did not converge." if column == "top" and _is_open(layers) else ""
                column_title = column_name[0].upper() + column_name[1:]
                drawn = {"": strip_layout(figure)}
                name_ = f"layers-{index}-{column}"
                plots.append(Plot(name_, alt, drawn, title=column_title, caption=caption, height=height))
        title = with_sample(f"Curvature of each layer{matrix_text(layers.values())}", layers.values())
        legend = legend_entries(list(layers), colours)
        note = "Of each layer's own diagonal block. Error bars: bounds of eigenvalues, standard errors of traces."
        shown = result_keys(name, list(layers))
        blocks.append(
            Block(f"layers-block-{index}", title, plots, shown, caution=cautions(layers), note=note, legend=legend)
        )
    return by_sample(blocks, groups)


def _is_open(layers: Mapping[str, LayersResult]) -> bool:
    return any(bool((~result.converged).any()) for result in layers.values())


def _describe(result: LayersResult) -> str:
    return f"curvature of {len(result.names)} layers, {result.products} products"


def _table(result: LayersResult) -> Columns:
    numbers = ("parameters", "top", "bounds", "converged", "trace", "trace_stderr")
    return {"layer": list(result.names)} | {name: getattr(result, name) for name in numbers}


KIND = ResultKind(LayersResult, layers_figure, "Curvature", layer_blocks, _describe, _table)
