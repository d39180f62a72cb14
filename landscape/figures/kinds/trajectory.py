"""Trajectories: figure, block of those without a surface, provenance and CSV columns."""

from __future__ import annotations

from collections.abc import Mapping

from landscape.figures.blocks.alternatives import PageBlock, alternatives
from landscape.figures.blocks.block import Block, Plot, strip_layout
from landscape.figures.grouping.headings import distinct
from landscape.figures.kinds.result_kind import Columns, ResultKind
from landscape.figures.plots.surfaces.trajectory import belongs, positions, trajectory_figure, trajectory_note
from landscape.results import (
    Result,
    SurfaceResult,
    TrajectoryResult,
)


def trajectory_blocks(results: Mapping[str, Result], colours: Mapping[str, int]) -> list[PageBlock]:
    """Return a block for each trajectory whose plane has no surface to draw it on."""
    surfaces = [result for result in results.values() if isinstance(result, SurfaceResult)]
    alone = {
        key: result
        for key, result in results.items()
        if isinstance(result, TrajectoryResult) and not any(belongs(result, surface) for surface in surfaces)
    }
    blocks = []
    for index, (key, trajectory) in enumerate(alone.items()):
        label = key.rpartition("/")[0]
        figure = trajectory_figure({label: trajectory}, colours=colours)
        figure.update_layout(title=None)
        name, texts = positions(trajectory)
        alt = f"Path of {label} on its plane, {name} {texts[0]} to {texts[-1]}"
        plot = Plot(f"path-{index}", alt, {"": strip_layout(figure)}, title=label, caption=trajectory_note(trajectory))
        blocks.append(Block(f"path-block-{index}", f"Trajectory of {label}", [plot], [key], columns=1))
    return alternatives(blocks, distinct([key.rpartition("/")[0] for key in alone], list(alone)), legend="Trajectory")


def _describe(result: TrajectoryResult) -> str:
    name = str(result.attributes.get("position") or "position")
    return f"{len(result.position)} places of a path, {name} {result.position[0]:g} to {result.position[-1]:g}"


def _table(result: TrajectoryResult) -> Columns:
    position = str(result.attributes.get("position") or "position")
    names = ("alpha", "beta", "residuals", "distances")
    return {position: result.position} | {name: getattr(result, name) for name in names}


KIND = ResultKind(TrajectoryResult, trajectory_figure, "Surfaces", trajectory_blocks, _describe, _table)
