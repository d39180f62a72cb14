"""Comparability of results that are shown together: the settings in which they differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from landscape.results import LineResult, Result, SampledPlane

_COMPARED = {
    "subset": "the number of examples (subset)",
    "subset_seed": "the choice of examples (subset seed)",
    "loss": "the loss",
    "batchnorm": "the BatchNorm mode",
    "params": "the parameters moved",
    "precision": "the precision",
    "operator": "the operator",
    "directions.seed": "the random directions (seed)",
    "directions.normalization": "the normalization of directions",
    "data.fingerprints": "the data",
    "parameters": "the model (number of parameters)",
}


def cautions(results: Mapping[str, Result], *, but: Sequence[str] = ()) -> str:
    """Return sentences on what makes results shown together hard to trust or to compare; empty if nothing does.

    Args:
        results: The results by label.
        but: Attributes that are meant to differ, such as "batchnorm".
    """
    unlike = differences(results, but=but)
    return " ".join([*([unlike] if unlike else []), *warnings_of(results)])


def warnings_of(results: Mapping[str, Result]) -> list[str]:
    """Return the warnings that were stored with results, each once, with the labels of those that have it."""
    labels: dict[str, list[str]] = {}
    for label, result in results.items():
        origin = result.attributes.get("origin") or {}
        for message in [*(result.attributes.get("warnings") or ()), *(origin.get("warnings") or ())]:
            labels.setdefault(str(message), []).append(label)
    return [f"Warning{_of(who, results)}: {message}." for message, who in labels.items()]


def _of(labels: Sequence[str], results: Mapping[str, Result]) -> str:
    return "" if len(labels) == len(results) else f" ({listed(labels)})"


def differences(results: Mapping[str, Result], *, but: Sequence[str] = ()) -> str:
    """Return a sentence naming the settings in which results differ; empty if they are comparable.

    Args:
        results: The results by label.
        but: Attributes that are meant to differ, such as "batchnorm".
    """
    differing = []
    for path, name in _COMPARED.items():
        if path in but:
            continue
        seen = {str(value) for result in results.values() if (value := at(result.attributes, path)) is not None}
        if len(seen) > 1:
            short = f": {' / '.join(sorted(seen))}" if sum(map(len, seen)) < 40 else ""
            differing.append(name + short)
    spans = {(r.alpha[0], r.alpha[-1]) for r in results.values() if isinstance(r, SampledPlane | LineResult)}
    if len(spans) > 1 and "span" not in but:
        differing.append("the span")
    return f"Not measured alike; these differ in {listed(differing)}." if differing else ""


def at(attributes: Mapping[str, Any], path: str) -> Any:
    """Return the value at a dotted path of nested attributes; None if there is none."""
    value: Any = attributes
    for key in path.split("."):
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def listed(items: Sequence[str]) -> str:
    """Return "a", "a and b" or "a, b and c"; semicolons where the items hold commas."""
    comma = "; " if any("," in item for item in items) else ", "
    return comma.join(items[:-1]) + (" and " if len(items) > 1 else "") + items[-1] if items else ""
