"""Sharpness measures: figure, block with a table and curves over ρ and m, provenance and CSV columns."""

from __future__ import annotations

from collections.abc import Mapping

from landscape.figures.blocks.alternatives import PageBlock, by_sample
from landscape.figures.blocks.block import Block, Plot, legend_entries, result_keys, results_by_name, strip_layout
from landscape.figures.blocks.tables import Ranked, measures_table
from landscape.figures.grouping.comparability import cautions
from landscape.figures.grouping.headings import with_sample
from landscape.figures.kinds.result_kind import Columns, ResultKind
from landscape.figures.plots.sharpness_bars import measures, sharpness_figure
from landscape.figures.plots.sharpness_curves import SYMBOLS, Over, curves_figure, swept
from landscape.results import (
    MeasureResult,
    Result,
    SharpnessResult,
)
from landscape.storage.json_values import to_json

FEWEST = 3  # values that make a curve; two are read better in the table


def sharpness_blocks(results: Mapping[str, Result], colours: Mapping[str, int]) -> list[PageBlock]:
    """Return for each name of sharpness results a block: the measures as a table, and what was swept as curves."""
    groups = results_by_name(results, SharpnessResult)
    blocks = []
    for index, (name, group) in enumerate(groups.items()):
        curves: list[tuple[Over, str, dict[str, list[MeasureResult]]]] = [
            (over, title, by_label)
            for over in SYMBOLS
            for title, by_label in swept(group, over).items()
            if max(map(len, by_label.values())) >= FEWEST
        ]
        rows = measures(group)
        on_curves = {m.label for _, _, curve in curves for many in curve.values() for m in many}
        alone = {label: row for label, row in rows.items() if label not in on_curves}
        swept_rows = {label: row for label, row in rows.items() if label in on_curves}
        folded = measures_table(Ranked(list(group), swept_rows, group), folded="The curves' values as a table")
        plots = [
            _curve(f"sharpness-{index}-{number}", over, title, by_label, group, colours)
            for number, (over, title, by_label) in enumerate(curves)
        ]
        blocks.append(
            Block(
                f"sharpness-block-{index}",
                with_sample("Sharpness measures", group.values()),
                plots,
                result_keys(name, list(group)),
                caution=cautions(group),
                note="Bands: ± 1 standard error." if plots else "",
                legend=legend_entries(list(group), colours) if plots else [],
                lead=[measures_table(Ranked(list(group), alone, group))] if alone else [],
                tables=[folded] if swept_rows else [],
                columns=3,
            )
        )
    return by_sample(blocks, groups)


def _curve(
    identity: str,
    over: Over,
    title: str,
    by_label: Mapping[str, list[MeasureResult]],
    group: Mapping[str, SharpnessResult],
    colours: Mapping[str, int],
) -> Plot:
    """Return one measure over what was swept, as a figure of its own."""
    alone = {label: SharpnessResult(tuple(many), group[label].attributes) for label, many in by_label.items()}
    figure = curves_figure(alone, over=over, columns=1, colours=colours)
    figure.layout.annotations = ()  # its title is the figure's caption on the page
    alt = f"{title} over {SYMBOLS[over]}: {', '.join(by_label)}"
    return Plot(identity, alt, {"": strip_layout(figure, t=12)}, title=f"{title} over {SYMBOLS[over]}")


def _describe(result: SharpnessResult) -> str:
    evaluations = sum(measure.evaluations for measure in result.measures)
    return f"{len(result.measures)} sharpness measures, {evaluations:,} passes over the examples"


def _table(result: SharpnessResult) -> Columns:
    fields = ("name", "label", "value", "stderr", "meaning", "evaluations")
    columns = {name: [getattr(measure, name) for measure in result.measures] for name in fields}
    return columns | {"parameters": [to_json(measure.parameters) for measure in result.measures]}


KIND = ResultKind(SharpnessResult, sharpness_figure, "Sharpness", sharpness_blocks, _describe, _table)
