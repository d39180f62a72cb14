"""Notes on sampled results: measured error and saving of an estimate, and points still to be computed."""

from __future__ import annotations

from landscape.results import Attributes, Sampled
from landscape.stats import number_format


def estimate_note(attributes: Attributes) -> str:
    """Return the measured error and the saving of an estimated surface; empty for an exact one."""
    tolerance = attributes.get("tolerance")
    if not isinstance(tolerance, dict):
        return ""
    if not tolerance.get("held_out"):
        return "a tolerance would have saved nothing: every point was measured on all examples."
    parts = ["estimated from all examples at some points and subsets of them at the others"]
    usual, worst, held = tolerance.get("measured_95"), tolerance.get("measured_worst"), tolerance.get("held_out")
    if isinstance(usual, int | float):
        where = f" of {held:,} held-out points" if isinstance(held, int) else " of the held-out points"
        most = f", at most {number_format.share(worst)} off" if isinstance(worst, int | float) else ""
        parts.append(f"measured to be within {number_format.share(usual)} at 95%{where}{most}")
    if isinstance(tolerance.get("saving"), int | float):
        parts.append(f"{number_format.number(tolerance['saving'], 3)} times fewer evaluations than an exact surface")
    return "; ".join(parts) + "."


def completeness_note(result: Sampled) -> str:
    """Return "n of m points computed so far" for an incomplete result; empty for a complete one."""
    computed = result.computed()
    done = int(computed.sum())
    return "" if done == computed.size else f"{done:,} of {computed.size:,} points computed so far"
