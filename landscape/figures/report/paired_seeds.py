"""Paired differences between recipes over several seeds, with Student-t confidence intervals."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from landscape.figures.blocks.tables import Cell, Head, Table
from landscape.figures.grouping.families import seeds
from landscape.figures.report.summary import Named, Row
from landscape.stats import number_format
from landscape.stats.comparison.paired_difference import PairedDifference, paired_difference
from landscape.stats.mean import Spread, spread


@dataclass(frozen=True)
class PairedQuantity:
    """One quantity of two recipes over the seeds they share."""

    row: Row
    first: Spread
    second: Spread
    difference: PairedDifference  # second − first

    @property
    def text(self) -> str:
        """The difference with half the width of its interval."""
        return number_format.change(self.difference.mean, self.difference.half, fraction=self.row.percent)


@dataclass(frozen=True)
class Comparison:
    """Two recipes, pair by pair."""

    first: str
    second: str
    labels: list[tuple[str, str]]  # the checkpoints of each pair
    quantities: list[PairedQuantity]


def comparisons(named: Named, rows: Sequence[Row]) -> list[Comparison]:
    """Return each other recipe compared with the first, where they share two seeds or more.

    A pair shares the training seed: initial weights, order of the examples and augmentation.
    """
    one_each = {label: next(iter(results.values())) for label, results in named.items()}
    by_recipe: dict[str, dict[str, str]] = {}
    for recipe, labels in seeds(one_each).items():
        by_seed = {str(seed): label for label in labels if (seed := _seed(named[label])) is not None}
        if len(by_seed) == len(labels) > 1:  # no two of one seed: which belongs to which would be a guess
            by_recipe[recipe] = by_seed
    recipes = list(by_recipe)
    compared = []
    for second in recipes[1:]:
        first = recipes[0]
        shared = [seed for seed in by_recipe[first] if seed in by_recipe[second]]
        pairs = [(by_recipe[first][seed], by_recipe[second][seed]) for seed in shared]
        quantities = [quantity for row in rows if (quantity := paired(row, pairs)) is not None]
        if quantities:
            compared.append(Comparison(first, second, pairs, quantities))
    return compared


def colours_of(labels: Sequence[str], compared: Sequence[Comparison]) -> dict[str, int]:
    """Return the index of each checkpoint's colour: one for all of a recipe that is compared, else one for each."""
    recipes: dict[str, str] = {}
    for comparison in compared:
        for first, second in comparison.labels:
            recipes |= {first: comparison.first, second: comparison.second}
    order = list(dict.fromkeys((label in recipes, recipes.get(label, label)) for label in labels))
    return {label: order.index((label in recipes, recipes.get(label, label))) for label in labels}


def paired(row: Row, labels: Sequence[tuple[str, str]]) -> PairedQuantity | None:
    """Return the paired difference of one quantity; None if fewer than two pairs have it with finite values."""
    known = [(row.numbers[a].value, row.numbers[b].value) for a, b in labels if {a, b} <= row.numbers.keys()]
    first, second = [a for a, _ in known], [b for _, b in known]
    difference = paired_difference(first, second)
    if difference.count < 2:
        return None
    finite = [math.isfinite(a) and math.isfinite(b) for a, b in known]
    one, other = (
        spread([value for value, keep in zip(values, finite, strict=True) if keep]) for values in (first, second)
    )
    return PairedQuantity(row, one, other, difference)


def paired_table(comparison: Comparison) -> Table:
    """Return a row per quantity: both recipes' mean ± standard deviation, and the difference ± its interval."""
    head = [
        Head("Quantity"),
        Head(comparison.first, small="mean ± s.d."),
        Head(comparison.second, small="mean ± s.d."),
        Head("Paired difference", small=f"{comparison.second} − {comparison.first}, 95% interval"),
    ]
    rows = []
    for quantity in comparison.quantities:
        remarks = [] if quantity.difference.clear else ["includes 0"]
        if quantity.difference.excluded:
            remarks.append(f"without {quantity.difference.excluded} diverged")
        rows.append(
            [
                Cell(quantity.row.label, small=quantity.row.explained),
                *(
                    Cell(number_format.measured(one.mean, one.deviation, fraction=quantity.row.percent), value=one.mean)
                    for one in (quantity.first, quantity.second)
                ),
                Cell(quantity.text, small=", ".join(remarks), value=quantity.difference.mean),
            ]
        )
    pairs = ", ".join(f"{b} with {a}" for a, b in comparison.labels)
    note = f"Student's t over the paired differences of {len(comparison.labels)} seeds: {pairs}."
    name = f"{comparison.second} against {comparison.first}"
    return Table(name, head, rows, note=note, heading=f"{name}, {len(comparison.labels)} pairs")


def _seed(results: Mapping[str, object]) -> object:
    """Return the seed a checkpoint was trained with."""
    for result in results.values():
        training = getattr(result, "attributes", {}).get("training")
        if isinstance(training, Mapping) and training.get("seed") is not None:
            return training["seed"]
    return None
