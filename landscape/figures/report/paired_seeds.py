"""Paired differences between recipes over several seeds, with Student-t confidence intervals."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from landscape.figures.blocks.tables import Cell, Head, Table
from landscape.figures.grouping.families import seeds
from landscape.figures.report.summary import Named, Number, Row
from landscape.figures.style import number_format
from landscape.results import Floats

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Paired:
    """One quantity of two recipes over the seeds they share: second − first."""

    row: Row
    first: tuple[float, float]  # mean and standard deviation over the seeds
    second: tuple[float, float]
    difference: float  # mean of the paired differences
    half: float  # half the width of its confidence interval
    pairs: int

    @property
    def clear(self) -> bool:
        """True if the interval excludes zero."""
        return abs(self.difference) > self.half


@dataclass(frozen=True)
class Comparison:
    """Two recipes, pair by pair."""

    first: str
    second: str
    labels: list[tuple[str, str]]  # the checkpoints of each pair
    quantities: list[Paired]


def comparisons(named: Named, rows: Sequence[Row]) -> list[Comparison]:
    """Return each other recipe compared with the first, where they share two seeds or more.

    A pair shares the training seed: initial weights, order of the examples and augmentation.
    """
    one_each = {label: next(iter(results.values())) for label, results in named.items()}
    by_recipe: dict[str, dict[str, str]] = {}
    for recipe, labels in seeds(one_each).items():
        found = {str(seed): label for label in labels if (seed := _seed(named[label])) is not None}
        if len(found) == len(labels) > 1:  # no two of one seed: which belongs to which would be a guess
            by_recipe[recipe] = found
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


def paired(row: Row, labels: Sequence[tuple[str, str]]) -> Paired | None:
    """Return the paired difference of one quantity; None where fewer than two pairs have it."""
    known = [
        (row.numbers[a].value, row.numbers[b].value)
        for a, b in labels
        if {a, b} <= row.numbers.keys() and math.isfinite(row.numbers[a].value) and math.isfinite(row.numbers[b].value)
    ]
    if len(known) < 2:
        return None
    from scipy.special import stdtrit  # here, for a page of one pair does without

    first, second = np.array(known).T
    apart = second - first
    spreads = [(float(values.mean()), _deviation(values)) for values in (first, second)]
    half = float(stdtrit(len(known) - 1, (1 + CONFIDENCE) / 2)) * _deviation(apart) / math.sqrt(len(known))
    return Paired(row, spreads[0], spreads[1], float(apart.mean()), half, len(known))


def _deviation(values: Floats) -> float:
    """Return the standard deviation; 0 where all are equal but for rounding."""
    deviation = float(values.std(ddof=1))
    return deviation if deviation > 1e-12 * float(np.abs(values).max()) else 0.0


def paired_table(comparison: Comparison) -> Table:
    """Return a row per quantity: both recipes' mean ± standard deviation, and the difference ± its interval."""
    head = [
        Head("Quantity"),
        Head(comparison.first, small="mean ± s.d."),
        Head(comparison.second, small="mean ± s.d."),
        Head("Paired difference", small=f"{comparison.second} − {comparison.first}, 95% interval"),
    ]
    rows = []
    for found in comparison.quantities:
        small = "" if found.clear else "holds zero"
        rows.append(
            [
                Cell(found.row.label, small=found.row.explained),
                *(Cell(_spread(found.row, *one), value=one[0]) for one in (found.first, found.second)),
                Cell(found.row.difference(Number(found.difference, found.half)), small=small, value=found.difference),
            ]
        )
    pairs = ", ".join(f"{b} with {a}" for a, b in comparison.labels)
    note = f"Student's t over the paired differences of {len(comparison.labels)} seeds: {pairs}."
    name = f"{comparison.second} against {comparison.first}"
    return Table(name, head, rows, note=note, heading=f"{name}, {len(comparison.labels)} pairs")


def _spread(row: Row, mean: float, deviation: float) -> str:
    if not row.percent:
        return number_format.uncertain(mean, deviation)
    return f"{number_format.percent(mean).removesuffix('%')} ± {number_format.percent(deviation)}"


def _seed(results: Mapping[str, object]) -> object:
    """Return the seed a checkpoint was trained with."""
    for result in results.values():
        training = getattr(result, "attributes", {}).get("training")
        if isinstance(training, Mapping) and training.get("seed") is not None:
            return training["seed"]
    return None
