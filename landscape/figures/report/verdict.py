"""The report's first words: which checkpoint is flatter by which measure, how sure that is, and a caution."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from landscape.figures.grouping.comparability import listed
from landscape.figures.grouping.families import connection, is_between
from landscape.figures.plots.barrier import barrier, endpoints
from landscape.figures.report.paired_seeds import Comparison, PairedQuantity
from landscape.figures.report.summary import Row
from landscape.results import LineResult, Result
from landscape.stats import number_format
from landscape.stats.comparison.difference import difference
from landscape.stats.comparison.ranking import RankedMeasure, rank, tally

ONE_PAIR = (
    "One run of each: this says which of these checkpoints is flatter as measured here, not which optimizer finds "
    "flatter minima, which takes several seeds and a paired comparison."
)
FEW_PAIRS = (
    "Intervals are Student's t at 95% over the paired differences, one at a time: over many measures, one in twenty "
    "misses by chance. Where an interval includes 0, these seeds do not settle the question."
)


def verdict(rows: Sequence[Row], labels: Sequence[str], compared: Sequence[Comparison] = ()) -> list[str]:
    """Return plain sentences on who is flatter by which measure and who generalizes better; the last is a caution."""
    if compared:
        return [sentence for one in compared for sentence in _over_seeds(one)] + [FEW_PAIRS]
    sentences = _flattest(rows, labels)
    if len(labels) == 2 and (parts := _better(rows, labels)):
        sentences.append(_sentence(parts))
    return [*sentences, ONE_PAIR] if sentences else []


def headline(rows: Sequence[Row], labels: Sequence[str], compared: Sequence[Comparison] = ()) -> str:
    """Return one sentence on who is flattest by how many measures and who is more accurate; empty for one checkpoint.

    The counts are those that `landscape sharpness` prints; over seeds it is the first finding.
    """
    if compared:
        return next(iter(_over_seeds(compared[0])), "")
    counts = [one.text for one in tally(_rankings(rows, labels).values())]
    better = _better(rows, labels)[:1] if len(labels) == 2 else []
    return _sentence([*counts, *better]) if counts or better else ""


def barriers(results: Mapping[str, Result]) -> list[str]:
    """Return a sentence for each line between two checkpoints whose barrier was measured."""
    sentences = []
    for line in results.values():
        if not isinstance(line, LineResult) or not is_between(line):
            continue
        measured = barrier(line, "loss")
        if measured is None or not math.isfinite(measured["value"]):
            continue
        first, second = endpoints(line)
        height = number_format.uncertain(float(measured["value"]), float(measured.get("stderr") or math.nan))
        sentences.append(
            f"On the {connection(line)} from {first} to {second} the {measured['split']} loss has a barrier of "
            f"{height}."
        )
    return sentences


def _flattest(rows: Sequence[Row], labels: Sequence[str]) -> list[str]:
    flattest: dict[str, list[str]] = {}
    close: list[str] = []
    unproven: list[str] = []
    for measure, ranked in _rankings(rows, labels).items():
        if len(ranked) < 2:
            continue
        first, second = ranked[:2]
        than = "lower" if len(ranked) == 2 else "below the next"
        low, high = first.estimate.value, second.estimate.value
        times = f"{number_format.number(high / low, 2)}× {than}" if low > 0 and math.isfinite(high) else ""
        if second.above.clear:
            flattest.setdefault(first.checkpoint, []).append(measure + (f" ({times})" if times else ""))
        elif math.isnan(second.above.uncertainty):
            unproven.append(f"{measure} ({first.checkpoint}: {times})" if times else measure)
        else:
            close.append(measure)
    word = "flatter" if len(labels) == 2 else "flattest"
    sentences = [f"{label} is {word} by {listed(by)}." for label, by in flattest.items()]
    if len(flattest) > 1:
        sentences.append("The measures disagree about which is flatter: none of them alone settles it.")
    elif flattest and not close and not unproven and len(next(iter(flattest.values()))) > 1:
        sentences.append("All measures that were taken agree.")
    if close:
        sentences.append(f"Too close to call, given the uncertainty: {listed(close)}.")
    if unproven:
        sentences.append(f"Without an uncertainty, so that the order is not proven: {listed(unproven)}.")
    return sentences


def _rankings(rows: Sequence[Row], labels: Sequence[str]) -> dict[str, list[RankedMeasure]]:
    """Return the checkpoints with a number from flattest to sharpest, by the label of each sharpness measure."""
    ranked = {row.label: rank({k: row.numbers[k] for k in labels if k in row.numbers}) for row in rows if row.flatness}
    return {label: [one for one in many if not math.isnan(one.estimate.value)] for label, many in ranked.items()}


def _sentence(parts: Sequence[str]) -> str:
    text = "; ".join(parts)
    return f"{text[0].upper() if text.startswith('their') else text[0]}{text[1:]}."


def _better(rows: Sequence[Row], labels: Sequence[str]) -> list[str]:
    """Return clauses on the higher test accuracy and the smaller gap of two, if they are known."""
    by_name = {row.label: row for row in rows if set(labels) <= row.numbers.keys()}
    parts = []
    accuracy = by_name.get("Test accuracy")
    if accuracy is not None:
        low, high = sorted(labels, key=lambda label: accuracy.numbers[label].value)
        apart = difference(accuracy.numbers[low], accuracy.numbers[high])
        text = number_format.points(apart.value, apart.stderr)
        if apart.clear or (math.isnan(apart.stderr) and apart.value > 0):
            parts.append(f"{high} has the higher test accuracy ({text})")
        else:
            parts.append(f"their test accuracies are too close to call ({text})")
    gap = by_name.get("Generalization gap")
    if gap is not None:
        low, high = sorted(labels, key=lambda label: gap.numbers[label].value)
        one, other = gap.cell(low), gap.cell(high)
        if one != other:
            parts.append(f"{low} has the smaller gap between train and test loss ({one} against {other})")
    return parts


def _over_seeds(comparison: Comparison) -> list[str]:
    """Return the findings over the pairs: flatness, then accuracy and gap, then what stays open."""
    first, second = comparison.first, comparison.second
    flatness = [quantity for quantity in comparison.quantities if quantity.row.flatness]
    sentences = []
    for winner, loser, sign in ((second, first, -1), (first, second, 1)):
        by = [
            _apart(quantity)
            for quantity in flatness
            if quantity.difference.clear and quantity.difference.mean * sign > 0
        ]
        if by:
            sentences.append(f"Over {len(comparison.labels)} seeds, {winner} is flatter than {loser} by {listed(by)}.")
    if len(sentences) > 1:
        sentences.append("The measures disagree about which is flatter: none of them alone settles it.")
    others = {quantity.row.label: quantity for quantity in comparison.quantities if not quantity.row.flatness}
    for name, better, sign in (("Test accuracy", "higher", 1), ("Generalization gap", "smaller", -1)):
        quantity = others.get(name)
        if quantity is not None and quantity.difference.clear:
            winner = second if quantity.difference.mean * sign > 0 else first
            sentences.append(f"{winner} has the {better} {name.lower()}: {_apart(quantity)}.")
    unsettled = [quantity.row.label for quantity in flatness if not quantity.difference.clear]
    unsettled += [label.lower() for label, quantity in others.items() if not quantity.difference.clear]
    if unsettled:
        sentences.append(f"Not settled by these seeds: {listed(unsettled)}.")
    return sentences


def _apart(quantity: PairedQuantity) -> str:
    """Return "λ_max (−12 ± 3)"; the accuracy's in percentage points."""
    return f"{quantity.row.label} ({quantity.text})" if quantity.row.flatness else quantity.text
