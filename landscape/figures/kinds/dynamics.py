"""Training dynamics: figure, block, provenance and CSV columns."""

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
from landscape.figures.grouping.headings import with_sample
from landscape.figures.kinds.result_kind import Columns, ResultKind
from landscape.figures.plots.dynamics import dynamics_figure, panels_of
from landscape.figures.style.small_multiples import PANEL
from landscape.results import DynamicsResult, Result

_NOTE = (
    "The band below λ_max reaches down to the last eigenvalue measured. Dashed: the threshold above which the "
    "optimizer is unstable on a quadratic loss. Narrow bands: errors."
)


def dynamics_blocks(results: Mapping[str, Result], colours: Mapping[str, int]) -> list[PageBlock]:
    """Return a block for each name of training dynamics: all panels over one axis of epochs or steps."""
    groups = results_by_name(results, DynamicsResult)
    blocks, drawn = [], {}
    for index, (name, group) in enumerate(groups.items()):
        shown = {label: result for label, result in group.items() if result.quantities}
        if not shown:
            continue
        drawn[name] = shown
        figure = dynamics_figure(shown, colours=colours)
        alt = f"Curvature and sharpness during training: {', '.join(shown)}"
        height = 40 + round(0.75 * PANEL) * len(panels_of(shown))
        plot = Plot(f"dynamics-{index}", alt, {"": strip_layout(figure)}, height=height)
        blocks.append(
            Block(
                f"dynamics-block-{index}",
                with_sample("Curvature and sharpness during training", shown.values()),
                [plot],
                result_keys(name, list(shown)),
                caution=cautions(shown),
                note=_NOTE,
                legend=legend_entries(list(shown), colours),
                columns=1,
            )
        )
    return by_sample(blocks, drawn)


def _describe(result: DynamicsResult) -> str:
    unit = str(result.attributes.get("position") or "position")
    count = len(result.position)
    where = f", {unit} {result.position[0]:g} to {result.position[-1]:g}" if count else ""
    return f"{len(result.quantities)} quantities at {count} points of a training run{where}"


def _table(result: DynamicsResult) -> Columns:
    kinds = result.attributes.get("errors", {})
    count = len(result.position)
    return {
        "position": np.tile(result.position, len(result.quantities)),
        "quantity": [name for name in result.quantities for _ in range(count)],
        "value": result.values.ravel(),
        "error": result.errors.ravel(),
        "error_kind": [str(kinds.get(name, "")) for name in result.quantities for _ in range(count)],
    }


KIND = ResultKind(DynamicsResult, dynamics_figure, "Training", dynamics_blocks, _describe, _table)
