"""Surfaces over a training run: animation, block, provenance and CSV columns."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from landscape.figures.blocks.alternatives import PageBlock, by_sample
from landscape.figures.blocks.block import Block, Control, Plot, result_keys, results_by_name, strip_layout
from landscape.figures.grouping.comparability import cautions
from landscape.figures.grouping.headings import with_sample
from landscape.figures.kinds.result_kind import Columns, ResultKind
from landscape.figures.plots.surfaces.series import series_figure
from landscape.results import Result, SurfaceSeriesResult

_NOTE = (
    "Every surface is centred at its snapshot; the directions are the same throughout, normalized to the checkpoint's "
    "weights."
)


def series_blocks(results: Mapping[str, Result], _: Mapping[str, int]) -> list[PageBlock]:
    """Return a block for each name of series: an animation, switchable between splits."""
    groups = results_by_name(results, SurfaceSeriesResult)
    blocks, drawn = [], {}
    for index, (name, group) in enumerate(groups.items()):
        shown = {label: result for label, result in group.items() if len(result.position)}
        if not shown:
            continue
        drawn[name] = shown
        splits = list(dict.fromkeys(split for result in shown.values() for split in result.splits))
        common = [split for split in splits if all(split in result.splits for result in shown.values())]
        chosen = Control(f"series-{index}-split", "Split", {split: split for split in common}, common[0])
        controls = [chosen] if len(common) > 1 else []
        variants = {
            split if controls else "": strip_layout(series_figure(shown, split=split), t=34, b=110) for split in common
        }
        alt = f"Loss around the snapshots of {', '.join(shown)}"
        plot = Plot(f"series-{index}", alt, variants, [control.id for control in controls], height=520)
        blocks.append(
            Block(
                f"series-block-{index}",
                with_sample("Surface over the run", shown.values()),
                [plot],
                result_keys(name, list(shown)),
                caution=cautions(shown),
                note=_NOTE,
                controls=controls,
                columns=1,
            )
        )
    return by_sample(blocks, drawn)


def _describe(result: SurfaceSeriesResult) -> str:
    unit = str(result.attributes.get("position") or "position")
    size = f"{len(result.alpha)} × {len(result.beta)} points"
    return f"{', '.join(result.metrics)} on {', '.join(result.splits)}, {size}, at {len(result.position)} {unit}s"


def _table(result: SurfaceSeriesResult) -> Columns:
    axes = (result.position, np.array(result.splits), np.array(result.metrics), result.beta, result.alpha)
    names = ("position", "split", "metric", "beta", "alpha")
    columns = dict(zip(names, (axis.ravel() for axis in np.meshgrid(*axes, indexing="ij")), strict=True))
    return {**columns, "value": result.values.ravel(), "stderr": result.stderrs.ravel()}


KIND = ResultKind(SurfaceSeriesResult, series_figure, "Surfaces", series_blocks, _describe, _table)
