"""The first screen: the verdict in one sentence, cards of key numbers, and limits of the surfaces beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from landscape.figures.blocks.surface_block import SurfaceBlock
from landscape.figures.blocks.tables import Table
from landscape.figures.report.cards import Card, cards
from landscape.figures.report.paired_seeds import Comparison, paired_table
from landscape.figures.report.slice_limits import slice_limits
from landscape.figures.report.summary import Named, Row, differences_table, summary_table
from landscape.figures.report.verdict import barriers, headline, verdict
from landscape.results import Result, SurfaceResult


@dataclass(frozen=True)
class FirstScreen:
    """The words and numbers at the top, and the tables they are taken from."""

    headline: str
    caution: str
    cards: list[Card]
    limits: dict[str, list[str]]  # sentences by the id of a block of surfaces
    sentences: list[str]
    tables: list[Table]


def first_screen(
    results: Mapping[str, Result],
    named: Named,
    rows: list[Row],
    compared: Sequence[Comparison],
    colours: Mapping[str, int],
    planes: Sequence[SurfaceBlock],
) -> FirstScreen:
    """Return the first screen of a page.

    Args:
        results: All results by "<checkpoint label>/<name>".
        named: The results of checkpoints by label, then by name.
        rows: The key numbers.
        compared: Recipes compared over seeds.
        colours: The index of each checkpoint's colour.
        planes: The page's blocks of surfaces.
    """
    labels = list(named)
    sentences = verdict(rows, labels, compared)
    tables = [paired_table(comparison) for comparison in compared]
    if rows:
        tables.append(
            summary_table(rows, labels, folded="Each checkpoint's numbers" if compared else "All key numbers")
        )
    if rows and len(labels) > 2 and not compared:
        tables.append(differences_table(rows, labels))
    surfaces = {block.id: {k: r for k in block.keys if isinstance(r := results[k], SurfaceResult)} for block in planes}
    return FirstScreen(
        headline(rows, labels, compared),
        sentences[-1] if sentences else "",
        cards(rows, labels, results, colours, compared),
        {identity: slice_limits(shown, named, rows) for identity, shown in surfaces.items()},
        [*sentences[:-1], *barriers(results)],
        tables,
    )
