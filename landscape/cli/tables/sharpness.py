"""The table of sharpness measures, ranked if there are several checkpoints, and its JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from landscape.cli.tables.origin import origin_accuracy
from landscape.cli.terminal import console
from landscape.results import MeasureResult, SharpnessResult
from landscape.stats import number_format
from landscape.stats.comparison.ranking import CLEARLY, RankedMeasure, rank_by_measure, tally


def print_sharpness(results: Mapping[str, SharpnessResult]) -> None:
    """Print the measures, flattest checkpoint first, their meaning, and which checkpoint is flattest."""
    by_measure = rank_by_measure(results)
    origins = {name: origin for name, result in results.items() if (origin := origin_accuracy(result)) is not None}
    if len(results) == 1:
        rows = [[label, _number(ranked[0])] for label, ranked in by_measure.items()]
        rows = [*(["accuracy at the origin", origin] for origin in origins.values()), *rows]
        console.print_table("sharpness (higher is sharper)", ["measure", *results], rows)
    else:
        rows = [
            [label if one.rank == 1 else "", str(one.rank), one.checkpoint, _number(one), _above(one)]
            for label, ranked in by_measure.items()
            for one in ranked
        ]
        labels = ["accuracy at the origin", *[""] * len(origins)]
        rows = [*([label, "", *origin, ""] for label, origin in zip(labels, origins.items(), strict=False)), *rows]
        columns = ["measure", "rank", "checkpoint", "sharpness", "above the flattest"]
        console.print_table("sharpness, flattest first", columns, rows)
    _say_meanings(results)
    if len(results) > 1:
        console.say(
            "  ± behind a difference is the standard error of paired differences (same examples, same random numbers), "
            "unless it says otherwise"
        )
        for one in tally(by_measure.values()):
            console.say(f"{one.text}: {CLEARLY}")
    _warn(results)


def summaries(results: Mapping[str, SharpnessResult]) -> dict[str, Any]:
    """Return every checkpoint's measures with their rank and diagnostics, and their provenance, JSON-able."""
    by_measure = rank_by_measure(results)
    return {
        label: {
            "measures": [_summary(measure, by_measure[measure.label], label) for measure in result.measures],
            "attributes": dict(result.attributes),
        }
        for label, result in results.items()
    }


def _summary(measure: MeasureResult, ranked: list[RankedMeasure], checkpoint: str) -> dict[str, Any]:
    one = next(one for one in ranked if one.checkpoint == checkpoint)
    above = {
        "rank": one.rank,
        "above_flattest": one.above.value,
        "above_flattest_stderr": one.above.stderr,
        "above_flattest_paired": one.above.paired,
        "above_flattest_clear": one.above.clear,
    }
    return {
        "name": measure.name,
        "label": measure.label,
        "value": measure.value,
        "stderr": measure.stderr,
        "meaning": measure.meaning,
        "evaluations": measure.evaluations,
        "parameters": dict(measure.parameters),
        "diagnostics": {name: value for name, value in measure.diagnostics.items() if name != "samples"},
        **(above if len(ranked) > 1 else {}),
    }


def _number(ranked: RankedMeasure) -> str:
    text = number_format.uncertain(ranked.estimate.value, ranked.estimate.uncertainty)
    return f"{text} (bound)" if math.isfinite(ranked.estimate.bound) else text


def _above(ranked: RankedMeasure) -> str:
    if ranked.rank == 1:
        return ""
    text = number_format.change(ranked.above.value, ranked.above.uncertainty)
    if math.isfinite(ranked.above.bound):
        return f"{text} (bound)"
    return text + (f" ({ranked.above.unpaired})" if ranked.above.unpaired else "")


def _say_meanings(results: Mapping[str, SharpnessResult]) -> None:
    """Say what each number is; what several measures have in common, once."""
    meanings: dict[str, str] = {}
    for result in results.values():
        for measure in result.measures:
            meanings.setdefault(measure.label, measure.meaning)
    by_meaning: dict[str, list[str]] = {}
    for label, meaning in meanings.items():
        by_meaning.setdefault(meaning, []).append(label)
    for meaning, labels in by_meaning.items():
        more = "" if len(labels) == 1 else f" (and {len(labels) - 1} more)"
        console.say(f"  {labels[0]}{more}: {meaning}")


def _warn(results: Mapping[str, SharpnessResult]) -> None:
    """Warn of measures that have not converged, and of differences of losses that float32 does not resolve."""
    for name, result in results.items():
        for measure in result.measures:
            if measure.diagnostics.get("converged") is False:
                console.warn(
                    f"{name}: {measure.label} has not converged; try a larger --tolerance, or landscape hessian"
                )
            rounding = measure.diagnostics.get("rounding", 0.0)
            if rounding > 0.01 * abs(measure.value) and not rounding < 0.1 * measure.stderr:
                console.warn(f"{name}: {measure.label}: rounding in float32 changes it by about {rounding:.2g}")
