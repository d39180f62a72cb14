"""Sharpness for people: one table, ranked where there are several checkpoints, and its JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from landscape.analysis.sharpness.compare import CLEAR, Place, ranking
from landscape.cli.terminal import console
from landscape.results import Measure, SharpnessResult


def print_sharpness(found: Mapping[str, SharpnessResult]) -> None:
    """Print the measures, flattest checkpoint first, what each number is, and who is flattest by how many."""
    ranked = ranking(found)
    if len(found) == 1:
        rows = [[label, _number(places[0])] for label, places in ranked.items()]
        console.print_table("sharpness (higher is sharper)", ["measure", *found], rows)
    else:
        rows = [
            [label if place.rank == 1 else "", str(place.rank), place.checkpoint, _number(place), _above(place)]
            for label, places in ranked.items()
            for place in places
        ]
        columns = ["measure", "rank", "checkpoint", "sharpness", "above the flattest"]
        console.print_table("sharpness, flattest first", columns, rows)
    _say_meanings(ranked)
    if len(found) > 1:
        console.say(
            "  ± behind a difference is the standard error of paired differences (same examples, same random numbers), "
            "unless it says otherwise"
        )
        _say_flattest(ranked)
    _warn(found)


def summaries(found: Mapping[str, SharpnessResult]) -> dict[str, Any]:
    """Return every checkpoint's measures with their place and evidence, and their provenance, JSON-able."""
    ranked = ranking(found)
    return {
        label: {
            "measures": [_summary(measure, ranked[measure.label], label, result) for measure in result.measures],
            "attributes": {name: value for name, value in result.attributes.items() if name != "evidence"},
        }
        for label, result in found.items()
    }


def _summary(measure: Measure, places: list[Place], checkpoint: str, result: SharpnessResult) -> dict[str, Any]:
    evidence = result.attributes.get("evidence", {}).get(measure.label, {})
    place = next(place for place in places if place.checkpoint == checkpoint)
    above = {
        "rank": place.rank,
        "above_flattest": place.above,
        "above_flattest_stderr": place.stderr,
        "above_flattest_paired": place.paired,
    }
    return {
        "name": measure.name,
        "label": measure.label,
        "value": measure.value,
        "stderr": measure.stderr,
        "meaning": measure.meaning,
        "evaluations": measure.evaluations,
        "parameters": dict(measure.parameters),
        "evidence": {name: value for name, value in evidence.items() if name != "units"},
        **(above if len(places) > 1 else {}),
    }


def _number(place: Place) -> str:
    if math.isfinite(place.own_bound):
        return f"{console.number(place.measure.value, place.own_bound)} (bound)"
    return console.number(place.measure.value, place.measure.stderr)


def _above(place: Place) -> str:
    if place.rank == 1:
        return ""
    if math.isfinite(place.bound):
        return f"{console.number(place.above, place.bound)} (bound)"
    unpaired = "" if place.paired or math.isnan(place.stderr) else " (not paired)"
    return console.number(place.above, place.stderr) + unpaired


def _say_flattest(ranked: Mapping[str, list[Place]]) -> None:
    """Say which checkpoint is flattest by how many of the measures, and by how many of them clearly."""
    compared = [places for places in ranked.values() if len(places) > 1]
    names = dict.fromkeys(places[0].checkpoint for places in compared)
    for name in sorted(names, key=lambda name: -sum(places[0].checkpoint == name for places in compared)):
        first = [places for places in compared if places[0].checkpoint == name]
        clearly = sum(places[1].clear for places in first)
        console.say(
            f"{name} is flattest by {len(first)} of {len(compared)} measures, clearly by {clearly} of them: by more "
            f"than {CLEAR:g} standard errors of the difference, or than the bounds"
        )


def _say_meanings(ranked: Mapping[str, list[Place]]) -> None:
    """Say what each number is; what several measures have in common, once."""
    alike: dict[str, list[str]] = {}
    for label, places in ranked.items():
        alike.setdefault(places[0].measure.meaning, []).append(label)
    for meaning, labels in alike.items():
        more = "" if len(labels) == 1 else f" (and {len(labels) - 1} more)"
        console.say(f"  {labels[0]}{more}: {meaning}")


def _warn(found: Mapping[str, SharpnessResult]) -> None:
    """Warn of what has not converged, and of differences of losses that float32 does not resolve."""
    for name, result in found.items():
        for measure in result.measures:
            evidence = result.attributes.get("evidence", {}).get(measure.label, {})
            if evidence.get("converged") is False:
                console.warn(
                    f"{name}: {measure.label} has not converged; try a larger --tolerance, or landscape hessian"
                )
            rounding = evidence.get("rounding", 0.0)
            if rounding > 0.01 * abs(measure.value) and not rounding < 0.1 * measure.stderr:
                console.warn(f"{name}: {measure.label}: rounding in float32 changes it by about {rounding:.2g}")
