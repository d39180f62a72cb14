"""Spectral densities: figure, block, provenance and CSV columns."""

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
from landscape.figures.plots.density import density_figure, density_note
from landscape.results import (
    DensityResult,
    Result,
)
from landscape.stats import number_format


def density_blocks(results: Mapping[str, Result], colours: Mapping[str, int]) -> list[PageBlock]:
    """Return a block for each name of spectral densities."""
    groups = results_by_name(results, DensityResult)
    blocks = []
    for index, (name, densities) in enumerate(groups.items()):
        figure = strip_layout(density_figure(densities, colours=colours), l=64)
        alt = f"Spectral density on a logarithmic scale: {', '.join(densities)}"
        plot = Plot(f"density-{index}", alt, {"": figure}, caption=density_note(densities))
        title = with_sample(f"Spectral density{matrix_text(densities.values())}", densities.values())
        legend = legend_entries(list(densities), colours)
        shown = result_keys(name, list(densities))
        blocks.append(Block(f"density-block-{index}", title, [plot], shown, caution=cautions(densities), legend=legend))
    return by_sample(blocks, groups)


def _describe(result: DensityResult) -> str:
    vectors, steps = result.nodes.shape
    operator = str(result.attributes.get("operator") or "curvature")
    runs = f"{vectors} starting vectors of {steps} steps"
    return f"spectral density of the {operator}, {runs}, σ = {number_format.number(result.sigma, 3)}"


def _table(result: DensityResult) -> Columns:
    size = len(result.eigenvalue)
    curve = {"eigenvalue": result.eigenvalue, "density": result.density, "stderr": result.stderr}
    return curve | {"sigma": np.full(size, result.sigma)}


KIND = ResultKind(DensityResult, density_figure, "Curvature", density_blocks, _describe, _table, caption=density_note)
