"""Surfaces: figure, blocks of those shown on one scale, provenance and CSV columns."""

from __future__ import annotations

from collections.abc import Mapping

from landscape.figures.blocks.alternatives import PageBlock, alternatives
from landscape.figures.blocks.surface_block import surface_block
from landscape.figures.grouping.headings import distinct
from landscape.figures.grouping.surface_groups import group_surfaces
from landscape.figures.kinds.result_kind import ResultKind
from landscape.figures.kinds.sampled import sampled_phrase, sampled_table
from landscape.figures.plots.surfaces.surface import surface_figure
from landscape.results import (
    Result,
    SurfaceResult,
)


def surface_blocks(results: Mapping[str, Result], colours: Mapping[str, int]) -> list[PageBlock]:
    """Return a block for each group of surfaces that share one scale."""
    groups = group_surfaces(results)
    blocks = [
        surface_block(f"plane-{index}", name, group, results, colours)
        for index, (name, group) in enumerate(groups.items())
    ]
    texts = distinct([block.heading for block in blocks], [block.name for block in blocks])
    return alternatives(blocks, texts, legend="Plane")


KIND = ResultKind(SurfaceResult, surface_figure, "Surfaces", surface_blocks, sampled_phrase, sampled_table)
