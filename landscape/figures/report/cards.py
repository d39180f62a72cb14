"""Cards of the first screen: at most five key numbers, each with its uncertainty, difference and ratio."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from landscape.figures.blocks.tables import ratio
from landscape.figures.grouping.families import families
from landscape.figures.plots.basin_width import width_texts
from landscape.figures.report.paired_seeds import Comparison, PairedQuantity
from landscape.figures.report.summary import Row
from landscape.results import LineResult, Result
from landscape.stats import number_format
from landscape.stats.basin_width import RISES, BasinWidth, width_quartiles

_SHOWN: tuple[Callable[[str], bool], ...] = (  # by the label of a row, in the order of the cards
    lambda label: label == "Test accuracy",
    lambda label: label == "Generalization gap",
    lambda label: label.startswith("λ_max"),
    lambda label: label.startswith("SAM sharpness"),
)


@dataclass(frozen=True)
class CardValue:
    """A number of one checkpoint, or of one recipe over its seeds."""

    name: str
    text: str
    series: int  # index of its colour


@dataclass(frozen=True)
class Card:
    """One quantity of the checkpoints."""

    title: str
    meaning: str
    values: list[CardValue]
    change: str = ""  # difference and ratio of the two values


def cards(
    rows: Sequence[Row],
    labels: Sequence[str],
    results: Mapping[str, Result],
    colours: Mapping[str, int],
    compared: Sequence[Comparison] = (),
) -> list[Card]:
    """Return a card each of test accuracy, generalization gap, λ_max, SAM sharpness and basin width, where measured.

    Two recipes that share seeds are compared pair by pair; of more than two checkpoints the least and the greatest
    number are shown.

    Args:
        rows: The key numbers.
        labels: The checkpoints.
        results: All results by "<checkpoint label>/<name>".
        colours: The index of each checkpoint's colour.
        compared: Recipes compared over seeds; the first comparison is shown.
    """
    shown: list[Card] = []
    for belongs in _SHOWN:
        if compared:
            quantity = next((one for one in compared[0].quantities if belongs(one.row.label)), None)
            shown += [_paired_card(quantity, compared[0], colours)] if quantity else []
        else:
            row = next((row for row in rows if belongs(row.label) and row.numbers), None)
            shown += [_card(row, labels, colours)] if row else []
    return shown + ([] if compared else _width_cards(results, labels, colours))


def _card(row: Row, labels: Sequence[str], colours: Mapping[str, int]) -> Card:
    names = [label for label in labels if label in row.numbers]
    if len(names) > 2:
        ranked = sorted(names, key=lambda label: row.numbers[label].value)
        names = [ranked[0], ranked[-1]]
    values = [CardValue(name, row.cell(name), colours.get(name, 0)) for name in names]
    if len(names) < 2:
        return Card(row.label, row.explained, values)
    first, second = names
    apart = row.difference(first, second)
    change = number_format.change(apart.value, apart.uncertainty, fraction=row.percent)
    times = ratio(row.numbers[first].value, row.numbers[second].value)
    return Card(row.label, row.explained, values, _change_text(first, second, change, times))


def _paired_card(quantity: PairedQuantity, comparison: Comparison, colours: Mapping[str, int]) -> Card:
    first, second = comparison.first, comparison.second
    values = [
        CardValue(
            f"{name}, mean ± s.d.",
            number_format.measured(spread.mean, spread.deviation, fraction=quantity.row.percent),
            colours.get(label, 0),
        )
        for name, spread, label in zip(
            (first, second), (quantity.first, quantity.second), comparison.labels[0], strict=True
        )
    ]
    open_ = "" if quantity.difference.clear else " (includes 0)"
    times = ratio(quantity.first.mean, quantity.second.mean)
    return Card(
        quantity.row.label,
        quantity.row.meaning,
        values,
        _change_text(first, second, quantity.text + open_, times),
    )


def _change_text(first: str, second: str, change: str, times: str) -> str:
    return f"{second} − {first}: {', '.join(filter(None, (change, times)))}"


def _width_cards(results: Mapping[str, Result], labels: Sequence[str], colours: Mapping[str, int]) -> list[Card]:
    """Return a card of the radius at the smallest rise, of the family of lines with the most directions; or none."""
    by_family = [
        {label: lines for label, lines in by_label.items() if _width(lines) is not None and label in labels}
        for by_label in families(results).values()
        if all(_is_plain(line) for lines in by_label.values() for line in lines)
    ]
    chosen = max(by_family, key=lambda by_label: (len(by_label), sum(map(len, by_label.values()))), default={})
    if not chosen:
        return []
    widths = {label: width for label in labels if label in chosen and (width := _width(chosen[label])) is not None}
    names = list(widths)
    if len(names) > 2:
        ranked = sorted(names, key=lambda label: widths[label].median)
        names = [ranked[0], ranked[-1]]
    values = [
        CardValue(name, dict(width_texts(chosen[name]))[widths[name].rise], colours.get(name, 0)) for name in names
    ]
    change = ""
    if len(names) == 2:
        medians = [widths[name].median for name in names]
        times = ratio(*medians)
        apart = number_format.change(medians[1] - medians[0]) if all(map(math.isfinite, medians)) else ""
        change = _change_text(names[0], names[1], apart, times) if apart else ""
    rise = widths[names[0]].rise
    count = max(len(lines) for lines in chosen.values())
    along = f"{count} random directions" if count > 1 else "a random direction"
    meaning = f"radius along {along} at which the loss has risen by {rise:g}: median and quartiles"
    return [Card("Basin width", meaning, values, change)]


def _is_plain(line: LineResult) -> bool:
    """Return True for a line along a random direction with the checkpoint's own BatchNorm statistics."""
    kind = (line.attributes.get("directions") or {}).get("kind")
    return kind == "random" and line.attributes.get("batchnorm") in (None, "fixed")


def _width(lines: Sequence[LineResult]) -> BasinWidth | None:
    widths = width_quartiles(line.attributes.get("width") or () for line in lines)
    return next((width for width in widths if width.rise == RISES[0]), widths[0] if widths else None)
