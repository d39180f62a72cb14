"""Convexity maps: figure, block, provenance and CSV columns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import plotly.graph_objects as go

from landscape.figures.blocks.alternatives import PageBlock, by_sample
from landscape.figures.blocks.block import Block, Plot, result_keys, results_by_name, strip_layout
from landscape.figures.grouping.comparability import cautions
from landscape.figures.grouping.headings import with_sample
from landscape.figures.kinds.result_kind import ResultKind
from landscape.figures.kinds.sampled import sampled_phrase, sampled_table
from landscape.figures.plots.surfaces.convexity import convexity_figure, convexity_note
from landscape.figures.plots.surfaces.surface import surface_figure
from landscape.results import (
    ConvexityResult,
    Result,
)


def _draw(maps: Mapping[str, ConvexityResult], **options: Any) -> go.Figure:
    """Return the convexity maps; with `metric` or `view`, one of their metrics as an ordinary surface."""
    drawn: go.Figure = (surface_figure if {"metric", "view"} & options.keys() else convexity_figure)(maps, **options)
    return drawn


def convexity_blocks(results: Mapping[str, Result], _: Mapping[str, int]) -> list[PageBlock]:
    """Return a block for each name of convexity maps: a map per checkpoint, on one colour scale."""
    groups = results_by_name(results, ConvexityResult)
    blocks = []
    for index, (name, maps) in enumerate(groups.items()):
        top = float(convexity_figure(maps).data[0].zmax)
        plots = []
        for number, (label, surface) in enumerate(maps.items()):
            figure = strip_layout(convexity_figure({label: surface}, clip=top), t=12)
            alt = f"Convexity map of {label}: smallest over largest Hessian eigenvalue, as magnitudes, over the plane"
            plots.append(Plot(f"convexity-{index}-{number}", alt, {"": figure}, title=label))
        title = with_sample("Convexity map", maps.values())
        note = f"|λ_min / λ_max| of the Hessian (Li et al. 2018): dark is convex. {convexity_note(maps)}".strip()
        shown = result_keys(name, list(maps))
        blocks.append(
            Block(
                f"convexity-block-{index}",
                title,
                plots,
                shown,
                caution=cautions(maps),
                note=note,
                columns=min(len(maps), 3),
            )
        )
    return by_sample(blocks, groups)


KIND = ResultKind(ConvexityResult, _draw, "Curvature", convexity_blocks, sampled_phrase, sampled_table)
