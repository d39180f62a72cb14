"""What a surface command prints on stdout and says of its results."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from landscape.cli.tables.width import print_widths
from landscape.cli.terminal import console
from landscape.results import SurfaceResult

if TYPE_CHECKING:
    from landscape.results import LineResult


def print_surfaces(found: Mapping[str, LineResult | SurfaceResult]) -> None:
    """Print the loss at the origin and its range, and say how good estimates are and how high barriers."""
    rows = []
    for key, result in found.items():
        for number, split in enumerate(result.splits):
            loss = result.grid("loss")[number]
            known = loss[~np.isnan(loss)]
            lowest, highest = (known.min(), known.max()) if len(known) else (np.nan, np.nan)
            rows.append([key, split, _at_origin(result, number), console.number(lowest), console.number(highest)])
    console.print_table("loss", ["result", "split", "at the origin", "lowest", "highest"], rows)
    print_widths(found)
    for key, result in found.items():
        _say_tolerance(key, result)
        for split, metrics in result.attributes.get("barrier", {}).items():
            height = metrics["loss"]
            value = console.number(height["value"], height["stderr"])
            console.say(f"{key}: barrier of the {split} loss {value} at t = {height['at']:.2f}")


def _at_origin(result: LineResult | SurfaceResult, split: int) -> str:
    points = result.points
    there = points[(points["alpha"] == 0) & (points["beta"] == 0) & (points["split"] == split)]
    there = there[(there["metric"] == result.metrics.index("loss")) & (there["level"] == 0)]
    return console.number(float(there["value"][0])) if len(there) else "-"


def _say_tolerance(key: str, result: LineResult | SurfaceResult) -> None:
    report = result.attributes.get("tolerance")
    if report is None:
        return
    if not report["held_out"]:
        console.say(f"{key}: a tolerance of {report['asked']:.2g} saves nothing here; every point is measured exactly")
        return
    console.say(
        f"{key}: 95 % of the points are within {report['measured_95']:.2%} (asked: {report['asked']:.2%}); "
        f"the worst of {report['held_out']} held-out points is off by {report['measured_worst']:.2%}; "
        f"{report['saving']:.1f} times fewer evaluations than exactly"
    )
