"""The accuracy at the origin: a number that tells at a glance whether model, weights and data belong together."""

from __future__ import annotations

from landscape.results import Result
from landscape.stats import number_format


def origin_accuracy(result: Result) -> str | None:
    """Return the accuracy on the measured examples, with its standard error; None if the result holds none."""
    origin = result.attributes.get("origin") or {}
    if "accuracy" not in origin:
        return None
    return number_format.percent(float(origin["accuracy"]), float(origin["stderr"]))
