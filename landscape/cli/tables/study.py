"""The table of a study."""

from __future__ import annotations

from typing import Any

from landscape.cli.terminal import console
from landscape.results import StudyResult
from landscape.stats import number_format

ENOUGH = 10  # checkpoints below which a study is called small


def print_study(result: StudyResult) -> None:
    """Print the correlation of every measure with the gap."""
    p_values = result.attributes["p_values"]
    rows = [
        [
            label,
            number_format.number(tau),
            f"{number_format.number(low)} to {number_format.number(high)}",
            number_format.number(p_values[label]),
        ]
        for label, tau, low, high in zip(result.measures, result.tau, result.tau_low, result.tau_high, strict=True)
    ]
    count = len(result.checkpoints)
    console.print_table(
        f"rank correlation with the generalization gap over {count} checkpoints",
        ["measure", "Kendall's τ", "95 % interval", "p"],
        rows,
    )
    console.say(f"  gap: {result.attributes['gap']}; intervals: bootstrap over the checkpoints; p: of no association")
    if count < ENOUGH:
        console.warn(
            f"{count} checkpoints say little, whatever τ is: look at the interval and at p, and add checkpoints"
        )


def study_summary(result: StudyResult) -> dict[str, Any]:
    """Return a study's numbers and provenance, JSON-able."""
    return {
        "checkpoints": result.checkpoints,
        "gap": result.gap,
        "measures": result.measures,
        "values": result.values,
        "stderrs": result.stderrs,
        "tau": result.tau,
        "tau_low": result.tau_low,
        "tau_high": result.tau_high,
        "attributes": dict(result.attributes),
    }
