"""`landscape curve`: a curve of low loss between two checkpoints, against the straight line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import arg

from landscape.cli.options.analysis import AnalysisOptions, expect_number, grid_size
from landscape.cli.terminal import console
from landscape.stats import number_format

if TYPE_CHECKING:
    from landscape.results import Result


@dataclass(frozen=True)
class CurveOptions:
    """How the curve is trained, and what is measured on it."""

    steps: Annotated[int, arg(metavar="N")] = 2000
    """Steps of Adam on the control point."""
    batch_size: Annotated[int, arg(metavar="N")] = 128
    """Examples of a step."""
    learning_rate: Annotated[float, arg(metavar="X")] = 3e-3
    """At the start; it falls to 0 by a cosine."""
    train_subset: Annotated[str, arg(metavar="N|all")] = "all"
    """Examples that the curve is trained on, of the first of --splits."""
    points: Annotated[str, arg(metavar="N")] = "51"
    """Points along the curve, and along the straight line."""
    plane: Annotated[str, arg(metavar="N|NxM")] = "25"
    """Points along each axis of the plane through both ends and the control point; 0 for no plane."""
    precision: Literal["auto", "float32", "bfloat16", "float64"] = "auto"
    """Of the forward passes that measure, as for landscape surface; the curve is trained in float32."""


@dataclass(frozen=True)
class Curve(AnalysisOptions, CurveOptions):
    """Train a curve of low loss between two checkpoints, and measure it beside the straight line.

    A quadratic Bezier curve with one control point (Garipov et al. 2018). Stores the loss along the curve and along the
    line, each with its barrier, and the plane that holds both. Stopped, it goes on when the command is given again.
    """

    def run(self) -> None:
        """Train, measure, store, and print."""
        from landscape.cli.commands.surface import summary
        from landscape.cli.jobs.curve import check, connect
        from landscape.cli.jobs.loaded_model import load_subjects
        from landscape.cli.jobs.result_names import closing, keep_history, open_file
        from landscape.execution.allocator import tune_allocator
        from landscape.results import Sampled

        tune_allocator()
        check(self)
        expect_number("--learning-rate", self.learning_rate, above=True)
        grid_size(self.points)
        subjects = load_subjects(self)
        with open_file(self, subjects) as file:
            for subject in subjects:
                keep_history(file, subject)
            found = connect(file, subjects[0], subjects[1], self)
            if self.json:
                sampled = {key: result for key, result in found.items() if isinstance(result, Sampled)}
                console.print_json({key: summary(result) for key, result in sampled.items()})
            else:
                _print(found)
            closing(file)


def _print(found: Mapping[str, Result]) -> None:
    from landscape.results import LineResult

    rows = []
    for key, result in found.items():
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
