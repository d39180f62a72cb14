"""The section of sharpness: the table of measures, their curves over ρ and m, and their scatter against the gap."""

from __future__ import annotations

from collections.abc import Mapping

from landscape.figures.grouping.comparability import differences
from landscape.figures.plots.sharpness_bars import measures
from landscape.figures.plots.sharpness_curves import SYMBOLS, Over, curves_figure, swept
from landscape.figures.plots.study import study_figure, tau_words
from landscape.figures.report.blocks import Block, Plot, bare, entries, keys, of_kind
from landscape.figures.report.tables import Cell, Head, Ranked, Table, measures_table
from landscape.figures.style.number_format import number, uncertain
from landscape.results import Measure, Result, SharpnessResult, StudyResult

FEWEST = 3  # values that make a curve; two are read better in the table


def sharpness_blocks(results: Mapping[str, Result], colours: Mapping[str, int]) -> list[Block]:
    """Return for each name of sharpness results a block: the measures as a table, and what was swept as curves."""
    groups = of_kind(results, SharpnessResult)
    blocks = []
    for index, (name, found) in enumerate(groups.items()):
        curves: list[tuple[Over, str, dict[str, list[Measure]]]] = [
            (over, title, by_label)
            for over in SYMBOLS
            for title, by_label in swept(found, over).items()
            if max(map(len, by_label.values())) >= FEWEST
        ]
        rows = measures(found)
        on_curves = {m.label for _, _, curve in curves for many in curve.values() for m in many}
        alone = {label: row for label, row in rows.items() if label not in on_curves}
        swept_rows = {label: row for label, row in rows.items() if label in on_curves}
        folded = measures_table(Ranked(list(found), swept_rows), folded="The curves' values as a table")
        plots = [
            _curve(f"sharpness-{index}-{number}", over, title, by_label, found, colours)
            for number, (over, title, by_label) in enumerate(curves)
        ]
        blocks.append(
            Block(
                f"sharpness-block-{index}",
                name if len(groups) > 1 else "",
                plots,
                keys(name, list(found)),
                caution=differences(found),
                note="Bands: ± 1 standard error." if plots else "",
                legend=entries(list(found), colours) if plots else [],
                lead=[measures_table(Ranked(list(found), alone))] if alone else [],
                tables=[folded] if swept_rows else [],
                columns=3,
            )
        )
    return blocks


def _curve(
    identity: str,
    over: Over,
    title: str,
    by_label: Mapping[str, list[Measure]],
    found: Mapping[str, SharpnessResult],
    colours: Mapping[str, int],
) -> Plot:
    """Return one measure over what was swept, as a figure of its own."""
    alone = {label: SharpnessResult(tuple(many), found[label].attributes) for label, many in by_label.items()}
    figure = curves_figure(alone, over=over, columns=1, colours=colours)
    figure.layout.annotations = ()  # its title is the figure's caption on the page
    alt = f"{title} over {SYMBOLS[over]}: {', '.join(by_label)}"
    return Plot(identity, alt, {"": bare(figure, t=12)}, title=f"{title} over {SYMBOLS[over]}")


def study_blocks(results: Mapping[str, Result]) -> list[Block]:
    """Return a block for each study: a scatter of every measure against the gap, and the table behind it."""
    blocks = []
    for index, (key, study) in enumerate((key, r) for key, r in results.items() if isinstance(r, StudyResult)):
        plots = []
        for place, measure in enumerate(study.measures):
            figure = study_figure({key: study}, measures=[measure], columns=1)
            figure.layout.annotations = ()
            alt = f"Generalization gap over {measure} of {len(study.checkpoints)} checkpoints"
            drawn = bare(figure, t=12, l=60)
            tau = tau_words(study, place)
            plots.append(Plot(f"study-{index}-{place}", alt, {"": drawn}, title=measure, caption=tau))
        groups = list(dict.fromkeys(str(group) for group in study.attributes.get("groups") or ()))
        legend = entries(groups, {}, switch=False) if len(groups) > 1 else []
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
    head += [Head(measure, small=tau_words(study, index)) for index, measure in enumerate(study.measures)]
    rows = []
    for at, checkpoint in enumerate(study.checkpoints):
        row = [Cell(checkpoint), Cell(number(float(study.gap[at])), value=float(study.gap[at]))]
        for index in range(len(study.measures)):
            value = float(study.values[index, at])
            row.append(Cell(uncertain(value, float(study.stderrs[index, at])), value=value))
        rows.append(row)
    return Table("Checkpoints of the study", head, rows, sortable=True, folded="The checkpoints as a table")
