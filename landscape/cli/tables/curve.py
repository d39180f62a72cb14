"""The table of a curve of low loss beside the straight line."""

from __future__ import annotations

from collections.abc import Mapping

from landscape.cli.terminal import console
from landscape.results import LineResult, Result
from landscape.stats import number_format


def print_curve(results: Mapping[str, Result]) -> None:
    """Print the losses at the ends, the highest loss between them and the barrier."""
    rows = []
    for key, result in results.items():
        if not isinstance(result, LineResult):
            continue
        for split, metrics in result.attributes.get("barrier", {}).items():
            loss = result.grid("loss")[result.splits.index(split)]
            height = metrics["loss"]
            rows.append(
                [
                    key,
                    split,
                    *(number_format.number(float(value)) for value in (loss[0], loss[-1], loss.max())),
                    number_format.uncertain(height["value"], height["stderr"]),
                    f"{height['at']:.2f}",
                ]
            )
    columns = ["result", "split", "loss at the first", "at the second", "highest", "barrier", "at t ="]
    console.print_table("along the straight line and the curve, BatchNorm recalibrated at every point", columns, rows)
