"""Studies of many checkpoints: scatter figures, block, provenance and CSV columns."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from landscape.figures.blocks.block import Block, Plot, legend_entries, strip_layout
from landscape.figures.blocks.tables import Cell, Head, Table
from landscape.figures.kinds.result_kind import Columns, ResultKind
from landscape.figures.plots.study import study_figure, tau_text
from landscape.results import (
    Result,
    StudyResult,
)
from landscape.stats.number_format import number, uncertain


def study_blocks(results: Mapping[str, Result], _: Mapping[str, int]) -> list[Block]:
    """Return a block for each study: a scatter of every measure against the gap, and the table behind it."""
    blocks = []
    for index, (key, study) in enumerate((key, r) for key, r in results.items() if isinstance(r, StudyResult)):
        plots = []
        for column, measure in enumerate(study.measures):
            figure = study_figure({key: study}, measures=[measure], columns=1)
            figure.layout.annotations = ()
            alt = f"Generalization gap over {measure} of {len(study.checkpoints)} checkpoints"
            drawn = strip_layout(figure, t=12, l=60)
            tau = tau_text(study, column)
            plots.append(Plot(f"study-{index}-{column}", alt, {"": drawn}, title=measure, caption=tau))
        groups = list(dict.fromkeys(str(group) for group in study.attributes.get("groups") or ()))
        legend = legend_entries(groups, {}, switch=False) if len(groups) > 1 else []
        note = (
            "τ: Kendall's rank correlation, with its 95% bootstrap interval; 1 orders the checkpoints as their gaps do."
        )
        heading = "Sharpness against the generalization gap"
        table = _study_table(study)
        blocks.append(
            Block(f"study-block-{index}", heading, plots, [key], note=note, legend=legend, tables=[table], columns=3)
        )
    return blocks


def _study_table(study: StudyResult) -> Table:
    """Return a row per checkpoint: its gap and every measure."""
    head = [Head("Checkpoint"), Head("Gap", small="test loss − train loss")]
    head += [Head(measure, small=tau_text(study, index)) for index, measure in enumerate(study.measures)]
    rows = []
    for at, checkpoint in enumerate(study.checkpoints):
        row = [Cell(checkpoint), Cell(number(float(study.gap[at])), value=float(study.gap[at]))]
        for index in range(len(study.measures)):
            value = float(study.values[index, at])
            row.append(Cell(uncertain(value, float(study.stderrs[index, at])), value=value))
        rows.append(row)
    return Table("Checkpoints of the study", head, rows, sortable=True, folded="The checkpoints as a table")


def _describe(result: StudyResult) -> str:
    return f"{len(result.measures)} measures of {len(result.checkpoints)} checkpoints against their gap"


def _table(result: StudyResult) -> Columns:
    measures, checkpoints = len(result.measures), len(result.checkpoints)
    once = {name: np.repeat(getattr(result, name), checkpoints) for name in ("tau", "tau_low", "tau_high")}
    return {
        "measure": [name for name in result.measures for _ in range(checkpoints)],
        "checkpoint": list(result.checkpoints) * measures,
        "gap": np.tile(result.gap, measures),
        "value": result.values.ravel(),
        "stderr": result.stderrs.ravel(),
        **once,
    }


KIND = ResultKind(StudyResult, study_figure, "Sharpness", study_blocks, _describe, _table)
