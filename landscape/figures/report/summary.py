"""The report's first table: the key numbers of the checkpoints side by side, with the difference of a pair."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from landscape.figures.blocks.tables import Cell, Head, Table, ratio
from landscape.figures.grouping.comparability import at
from landscape.figures.grouping.families import is_between
from landscape.figures.plots.sharpness_curves import swept
from landscape.results import (
    HistoryResult,
    LineResult,
    MeasureResult,
    Result,
    SharpnessResult,
    SpectrumResult,
    StudyResult,
    TrajectoryResult,
)
from landscape.stats import number_format
from landscape.stats.comparison.difference import Difference, Estimate, difference
from landscape.stats.comparison.ranking import measure_estimate
from landscape.stats.generalization_gap import gap_stderr

Named = Mapping[str, Mapping[str, Result]]  # by checkpoint label, then by name

Samples = dict[str, dict[int, Estimate]]  # a quantity by checkpoint, then by the number of examples

_FINAL = {
    "train_loss": "Train loss",
    "test_loss": "Test loss",
    "train_accuracy": "Train accuracy",
    "test_accuracy": "Test accuracy",
}


@dataclass(frozen=True)
class Row:
    """One quantity of every checkpoint that has it."""

    label: str
    numbers: dict[str, Estimate] = field(default_factory=dict)
    examples: dict[str, int] = field(default_factory=dict)  # that the numbers were measured on, where that is recorded
    meaning: str = ""
    percent: bool = False
    flatness: bool = False  # a sharpness measure: lower is flatter

    def cell(self, checkpoint: str) -> str:
        """Return the number as text; empty where it was not measured."""
        number = self.numbers.get(checkpoint)
        return "" if number is None else self.text(number)

    def text(self, number: Estimate) -> str:
        """Return one of this quantity's numbers as text."""
        return number_format.measured(number.value, number.uncertainty, fraction=self.percent)

    def take(self, samples: Samples, *, whole: bool = True) -> None:
        """Take each checkpoint's number on the largest sample that all have, on its own largest where there is none.

        `whole` where the numbers are of all the sample's examples, not of subsets of it.
        """
        shared = set.intersection(*(set(by_count) for by_count in samples.values())) if samples else set()
        for label, by_count in samples.items():
            count = max(shared or by_count)
            self.numbers[label] = by_count[count]
            if count and whole:
                self.examples[label] = count

    @property
    def explained(self) -> str:
        """Meaning, and the number of examples if all the numbers record it."""
        counts = dict.fromkeys(self.examples[label] for label in self.numbers if label in self.examples)
        recorded = counts and self.numbers.keys() <= self.examples.keys()
        sample = " and ".join(f"{count:,}" for count in counts) + " examples" if recorded else ""
        return ", ".join(part for part in (self.meaning, sample) if part)

    def difference(self, first: str, second: str) -> Difference:
        """Return second − first, paired if both were measured on the same examples."""
        return difference(self.numbers[first], self.numbers[second])


def checkpoints(results: Mapping[str, Result]) -> dict[str, dict[str, Result]]:
    """Return the results by checkpoint label, then by name; what lies between checkpoints belongs to none."""
    by_label: dict[str, dict[str, Result]] = {}
    for key, result in results.items():
        label, _, name = key.rpartition("/")
        shared = isinstance(result, StudyResult) or (isinstance(result, LineResult) and is_between(result))
        curve = isinstance(result, TrajectoryResult) and result.attributes.get("position") == "t"
        several = len(result.attributes.get("checkpoints") or ()) > 1
        if not (shared or curve or several):
            by_label.setdefault(label, {})[name] = result
    return by_label


def key_numbers(named: Named) -> list[Row]:
    """Return the table at the top: final losses and accuracies, λ_max and the trace, and each sharpness measure.

    Of a measure that was taken at many radii, the curve of which the page draws, one stands for all; of one that was
    taken on several samples, that of the most examples that all the checkpoints have it of.
    """
    final = {key: Row(label, percent="accuracy" in key) for key, label in _FINAL.items()}
    gap = Row("Generalization gap", meaning="test loss − train loss")
    top = Row("λ_max", meaning="largest Hessian eigenvalue ± its error bound", flatness=True)
    trace = Row("Trace of the Hessian", meaning="± standard error of the estimate", flatness=True)
    tops: Samples = {}
    traces: Samples = {}
    for label, results in named.items():
        known = _final(results.values())
        for key, number in known.items():
            final[key].numbers[label] = number
        if {"test_loss", "train_loss"} <= known.keys():
            apart = known["test_loss"].value - known["train_loss"].value
            gap.numbers[label] = Estimate(apart, gap_stderr(results.values()))
        for spectrum in (r for r in results.values() if isinstance(r, SpectrumResult) and _is_hessian(r)):
            if np.any(spectrum.ends == 1):
                number = Estimate(float(spectrum.eigenvalues[0]), bound=float(spectrum.bounds[0]))
                tops.setdefault(label, {}).setdefault(_examples(spectrum), number)
            traced = spectrum.attributes.get("trace")
            if isinstance(traced, Mapping) and isinstance(traced.get("value"), int | float):
                number = Estimate(float(traced["value"]), float(traced.get("stderr") or math.nan))
                traces.setdefault(label, {}).setdefault(_examples(spectrum), number)
    top.take(tops)
    trace.take(traces)
    measures = _measures(named, top)
    return [row for row in [*final.values(), gap, top, trace, *measures] if row.numbers]


def summary_table(rows: list[Row], labels: list[str], *, folded: str = "") -> Table:
    """Return the key numbers, checkpoints across; of two, their difference as the last column."""
    head = [Head("Quantity"), *(Head(label, checkpoint=label) for label in labels)]
    pair = labels[:2] if len(labels) == 2 else []
    if pair:
        head.append(Head("Difference", small=f"{pair[1]} − {pair[0]}"))
    cells = []
    for row in rows:
        cells.append([Cell(row.label, small=row.explained)])
        cells[-1] += [Cell(row.cell(label), value=_value(row, label), checkpoint=label) for label in labels]
        if pair:
            cells[-1].append(_pair_cell(row, *pair))
    return Table("Key numbers", head, cells, folded=folded)


def differences_table(rows: list[Row], labels: list[str]) -> Table:
    """Return the difference of each other checkpoint from the first, for three checkpoints or more."""
    first, others = labels[0], labels[1:]
    head = [Head("Quantity"), *(Head(label, small=f"− {first}", checkpoint=label) for label in others)]
    cells = [[Cell(row.label), *(_pair_cell(row, first, label) for label in others)] for row in rows]
    return Table("Differences", head, cells, folded=f"Differences from {first}")


def _pair_cell(row: Row, first: str, second: str) -> Cell:
    if not {first, second} <= row.numbers.keys():
        return Cell()
    apart = row.difference(first, second)
    text = number_format.change(apart.value, apart.uncertainty, fraction=row.percent)
    times = ratio(row.numbers[first].value, row.numbers[second].value) if row.flatness else ""
    return Cell(text, small=", ".join(part for part in (times, apart.unpaired) if part), value=apart.value)


def _value(row: Row, label: str) -> float:
    return row.numbers[label].value if label in row.numbers else math.nan


def _measures(named: Named, top: Row) -> list[Row]:
    """Return a row for each sharpness measure, one of each curve; λ_max only where no spectrum has it better."""
    rows: dict[str, Row] = {}
    samples: dict[str, Samples] = {}
    of_subsets: set[str] = set()
    by_label = {
        label: [r for r in results.values() if isinstance(r, SharpnessResult)] for label, results in named.items()
    }
    left_out = _along_curves([result for results in by_label.values() for result in results])
    for label, results in by_label.items():
        for result, measure in ((one, measure) for one in results for measure in one.measures):
            if measure.label in left_out or (measure.name == "lambda_max" and label in top.numbers):
                continue
            rows.setdefault(measure.label, Row(measure.label, meaning=measure.meaning, flatness=True))
            if measure.parameters.get("m") is not None:  # its meaning says how many, and of how many
                of_subsets.add(measure.label)
            number = measure_estimate(measure, result.attributes)
            samples.setdefault(measure.label, {}).setdefault(label, {}).setdefault(_examples(result), number)
    for name, row in rows.items():
        row.take(samples[name], whole=name not in of_subsets)
    return list(rows.values())


def _along_curves(results: list[SharpnessResult]) -> set[str]:
    """Return the labels of measures that stand on a curve of three radii or more, but for the middle one of each."""
    labels: set[str] = set()
    for result in results:
        for over in ("rho", "m"):
            for curves in swept({"": result}, over).values():
                curve: list[MeasureResult] = curves[""]
                if len(curve) >= 3:
                    labels |= {measure.label for measure in curve} - {curve[len(curve) // 2].label}
    return labels


def _final(results: Any) -> dict[str, Estimate]:
    """Return the final losses and accuracies: those the checkpoint recorded, else the last row of its history.

    The accuracy on n test examples has the standard error √(p (1 − p) / n) of a proportion.
    """
    results = list(results)
    for result in results:
        recorded = result.attributes.get("final") or {}
        final = {key: float(recorded[key]) for key in _FINAL if isinstance(recorded.get(key), int | float)}
        if final:
            count = at(result.attributes, "data.examples.test")
            return {key: Estimate(value, _sampling_error(key, value, count)) for key, value in final.items()}
    history = next((result for result in results if isinstance(result, HistoryResult)), None)
    columns = history.columns if history else {}
    return {key: Estimate(float(columns[key][-1])) for key in _FINAL if key in columns and len(columns[key])}


def _sampling_error(key: str, value: float, count: object) -> float:
    if key != "test_accuracy" or not isinstance(count, int) or count < 1 or not 0 <= value <= 1:
        return math.nan
    return math.sqrt(value * (1 - value) / count)


def _examples(result: Result) -> int:
    """Return the number of examples of the first split, the one of curvature and sharpness."""
    counted = result.attributes.get("examples")
    return int(next(iter(counted.values()))) if isinstance(counted, Mapping) and counted else 0


def _is_hessian(spectrum: SpectrumResult) -> bool:
    """Return True for a spectrum of the Hessian on one set of examples: a mean over subsets has no bound."""
    attributes = spectrum.attributes
    return bool(attributes.get("operator", "hessian") == "hessian" and "subsets" not in attributes)
