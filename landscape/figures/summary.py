"""The report's first words: key numbers of the checkpoints side by side, and what they do and do not say."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from landscape.figures import numbers
from landscape.figures.line import is_between
from landscape.results import History, Line, Result, Sharpness, Spectrum, Surface

Named = Mapping[str, Mapping[str, Result]]  # by checkpoint label, then by name

ONE_PAIR = (
    "One run of each is one observation: it says which of these checkpoints is flatter as measured here, not which "
    "optimizer finds flatter minima. That takes several seeds and a paired comparison."
)
_FINAL = {
    "train_loss": "Train loss",
    "test_loss": "Test loss",
    "train_accuracy": "Train accuracy",
    "test_accuracy": "Test accuracy",
}


@dataclass(frozen=True)
class Number:
    """One measured number: its uncertainty is a standard error, or for eigenvalues a bound."""

    value: float
    error: float = math.nan

    def clearly_below(self, other: Number, *, bounds: bool) -> bool:
        """Return whether the two are apart by more than their bounds, or by two standard errors of the difference."""
        errors = [0.0 if math.isnan(number.error) else number.error for number in (self, other)]
        return other.value - self.value > (sum(errors) if bounds else 2 * math.hypot(*errors))


@dataclass(frozen=True)
class Row:
    """One quantity of every checkpoint that has it."""

    label: str
    numbers: dict[str, Number] = field(default_factory=dict)
    meaning: str = ""
    percent: bool = False
    flatness: bool = False  # a sharpness measure: lower is flatter
    bounds: bool = False  # the errors are bounds, not standard errors

    def cell(self, checkpoint: str) -> str:
        """Return the number as text; empty where it was not measured."""
        found = self.numbers.get(checkpoint)
        if found is None:
            return ""
        return numbers.percent(found.value) if self.percent else numbers.uncertain(found.value, found.error)


def checkpoints(results: Mapping[str, Result]) -> dict[str, dict[str, Result]]:
    """Return the results by checkpoint label, then by name; lines between checkpoints belong to none."""
    found: dict[str, dict[str, Result]] = {}
    for key, result in results.items():
        label, _, name = key.rpartition("/")
        if not (isinstance(result, Line) and is_between(result)):
            found.setdefault(label, {})[name] = result
    return found


def key_numbers(named: Named) -> list[Row]:
    """Return the table at the top: final losses and accuracies, λ_max, and each sharpness measure."""
    rows = [
        *(Row(label, percent="accuracy" in key) for key, label in _FINAL.items()),
        Row("Generalization gap", meaning="test loss − train loss"),
        Row("λ_max", meaning="largest Hessian eigenvalue ± its error bound", flatness=True, bounds=True),
    ]
    measures: dict[str, Row] = {}
    for label, results in named.items():
        final = _final(results.values())
        for row, key in zip(rows, _FINAL, strict=False):
            if key in final:
                row.numbers[label] = Number(final[key])
        if {"test_loss", "train_loss"} <= final.keys():
            rows[4].numbers[label] = Number(final["test_loss"] - final["train_loss"])
        spectrum = next((s for s in results.values() if isinstance(s, Spectrum) and _has_lambda_max(s)), None)
        if spectrum is not None:
            rows[5].numbers[label] = Number(float(spectrum.eigenvalues[0]), float(spectrum.bounds[0]))
        for measure in (m for result in results.values() if isinstance(result, Sharpness) for m in result.measures):
            if measure.name == "lambda_max" and label in rows[5].numbers:
                continue  # the spectrum's says how well it is known
            row = measures.setdefault(measure.label, Row(measure.label, meaning=measure.meaning, flatness=True))
            row.numbers.setdefault(label, Number(measure.value, measure.stderr))
    return [row for row in [*rows, *measures.values()] if row.numbers]


def verdict(rows: Sequence[Row], labels: Sequence[str]) -> list[str]:
    """Return sentences on which checkpoint is flatter by which measure, whether the measures agree, and a caution."""
    flattest: dict[str, list[str]] = {}
    close = []
    for row in rows:
        ranked = sorted(
            (label for label in labels if label in row.numbers and not math.isnan(row.numbers[label].value)),
            key=lambda label, row=row: row.numbers[label].value,  # type: ignore[misc]
        )
        if not row.flatness or len(ranked) < 2:
            continue
        first, second = (row.numbers[label] for label in ranked[:2])
        if not first.clearly_below(second, bounds=row.bounds):
            close.append(row.label)
            continue
        than = "lower" if len(ranked) == 2 else "below the next"
        ratio = f" ({numbers.number(second.value / first.value, 2)}× {than})" if first.value > 0 else ""
        flattest.setdefault(ranked[0], []).append(row.label + ratio)
    if not flattest and not close:
        return []
    word = "flatter" if len(labels) == 2 else "flattest"
    sentences = [f"{label} is {word} by {_listed(by)}." for label, by in flattest.items()]
    if len(flattest) > 1:
        sentences.append("The measures disagree about which is flatter: none of them alone settles it.")
    elif flattest and not close and len(next(iter(flattest.values()))) > 1:
        sentences.append("All measures that were taken agree.")
    if close:
        sentences.append(f"Too close to call, given the uncertainty: {_listed(close)}.")
    return [*sentences, ONE_PAIR]


_COMPARED = {
    "subset": "the number of examples (subset)",
    "subset_seed": "the choice of examples (subset seed)",
    "loss": "the loss",
    "batchnorm": "the BatchNorm mode",
    "params": "the parameters moved",
    "precision": "the precision",
    "directions.seed": "the random directions (seed)",
    "directions.normalization": "the normalization of directions",
    "data.fingerprints": "the data",
    "parameters": "the model (number of parameters)",
}


def differences(results: Mapping[str, Result]) -> str:
    """Return a sentence naming the settings in which results shown together differ; empty where they are comparable."""
    found = []
    for path, words in _COMPARED.items():
        seen = {str(value) for result in results.values() if (value := _at(result.attributes, path)) is not None}
        if len(seen) > 1:
            short = f": {' / '.join(sorted(seen))}" if sum(map(len, seen)) < 40 else ""
            found.append(words + short)
    spans = {(r.alpha[0], r.alpha[-1]) for r in results.values() if isinstance(r, Surface | Line)}
    if len(spans) > 1:
        found.append("the span")
    return f"Not measured alike; these differ in {_listed(found)}." if found else ""


def _final(results: Any) -> dict[str, float]:
    """Return the final losses and accuracies: those the checkpoint recorded, else the last row of its history."""
    for result in results:
        recorded = result.attributes.get("final") or {}
        found = {key: float(recorded[key]) for key in _FINAL if isinstance(recorded.get(key), int | float)}
        if found:
            return found
    history = next((result for result in results if isinstance(result, History)), None)
    columns = history.columns if history else {}
    return {key: float(columns[key][-1]) for key in _FINAL if key in columns and len(columns[key])}


def _at(attributes: Mapping[str, Any], path: str) -> Any:
    found: Any = attributes
    for key in path.split("."):
        found = found.get(key) if isinstance(found, Mapping) else None
    return found


def _listed(words: Sequence[str]) -> str:
    """Return "a", "a and b" or "a, b and c"; semicolons where the items hold commas."""
    comma = "; " if any("," in word for word in words) else ", "
    return comma.join(words[:-1]) + (" and " if len(words) > 1 else "") + words[-1] if words else ""


def _has_lambda_max(spectrum: Spectrum) -> bool:
    """Whether a spectrum is the Hessian's (not the GGN's) and holds its top end."""
    return spectrum.attributes.get("operator", "hessian") == "hessian" and bool(np.any(spectrum.ends == 1))
