"""Table and messages of surfaces and lines."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from landscape.cli.tables.width import print_widths
from landscape.cli.terminal import console
from landscape.results import LineResult, SurfaceResult
from landscape.stats import number_format


def print_surfaces(results: Mapping[str, LineResult | SurfaceResult]) -> None:
    """Print loss and accuracy at the origin and the loss's range; say how good estimates and how high barriers are."""
    rows = []
    for key, result in results.items():
        for number, split in enumerate(result.splits):
            loss = result.grid("loss")[number]
            known = loss[~np.isnan(loss)]
            lowest, highest = (known.min(), known.max()) if len(known) else (np.nan, np.nan)
            at_origin = [
                _at_origin(result, number, "accuracy", number_format.percent),
                _at_origin(result, number, "loss", number_format.number),
            ]
            rows.append([key, split, *at_origin, number_format.number(lowest), number_format.number(highest)])
    columns = ["result", "split", "accuracy at the origin", "loss at the origin", "lowest loss", "highest loss"]
    console.print_table("surfaces", columns, rows)
    print_widths(results)
    for key, result in results.items():
        _say_tolerance(key, result)
        for split, metrics in result.attributes.get("barrier", {}).items():
            height = metrics["loss"]
            value = number_format.uncertain(height["value"], height["stderr"])
            console.say(f"{key}: barrier of the {split} loss {value} at t = {height['at']:.2f}")


def _at_origin(result: LineResult | SurfaceResult, split: int, metric: str, to_text: Callable[[float], str]) -> str:
    """Return a metric at the origin; a dash if it was not measured there."""
    if metric not in result.metrics:
        return "-"
    points = result.points
    there = points[(points["alpha"] == 0) & (points["beta"] == 0) & (points["split"] == split)]
    there = there[(there["metric"] == result.metrics.index(metric)) & (there["level"] == 0)]
    return to_text(float(there["value"][0])) if len(there) else "-"


def _say_tolerance(key: str, result: LineResult | SurfaceResult) -> None:
    report = result.attributes.get("tolerance")
    if report is None:
        return
    if not report["held_out"]:
        asked = number_format.share(report["asked"])
        console.say(f"{key}: a tolerance of {asked} saves nothing here; every point is measured exactly")
        return
    console.say(
        f"{key}: 95% of the points are within {number_format.share(report['measured_95'])} (asked: "
        f"{number_format.share(report['asked'])}); the worst of {report['held_out']} held-out points is off by "
        f"{number_format.share(report['measured_worst'])}; {number_format.number(report['saving'], 3)} times fewer "
        "evaluations than an exact surface"
    )
