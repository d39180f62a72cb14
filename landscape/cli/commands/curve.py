"""`landscape curve`: a curve of low loss between two checkpoints, against the straight line."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Annotated, Literal

from tyro.conf import arg

from landscape.cli.options.analysis import AnalysisOptions, expect, expect_number, grid_size
from landscape.cli.terminal import console
from landscape.errors import LandscapeError


@dataclass(frozen=True)
class CurveOptions:
    """Training of the curve, and the points measured on it."""

    steps: Annotated[int, arg(metavar="N")] = 2000
    """Steps of Adam on the control point, on all examples of the first of --splits."""
    points: Annotated[str, arg(metavar="N")] = "51"
    """Points along the curve, and along the straight line."""
    plane_points: Annotated[str, arg(metavar="N|NxM")] = "25"
    """Points along each axis of the plane through both ends and the control point; 0 for no plane."""
    precision: Literal["auto", "float32", "bfloat16", "float64"] = "auto"
    """Of the forward passes that measure, as for landscape surface; the curve is trained in float32."""


@dataclass(frozen=True)
class CurveCommand(AnalysisOptions, CurveOptions):
    """Train a curve of low loss between two checkpoints, and measure it beside the straight line.

    A quadratic Bezier curve with one control point (Garipov et al. 2018). Stores the loss along the curve and along the
    line, each with its barrier, and the plane that holds both. The same command resumes a stopped run.
    """

    def run(self) -> None:
        """Train, measure, store, and print."""
        from landscape.analysis.objective.model.batchnorm import BatchNormMode
        from landscape.analysis.surfaces.evaluation import Evaluation
        from landscape.analysis.surfaces.grids.axes import Axes
        from landscape.cli.requests.planes import modes_of
        from landscape.cli.requests.session import session
        from landscape.cli.tables.curve import print_curve
        from landscape.cli.tables.summary import summary
        from landscape.results import Result, Sampled
        from landscape.workflow.measurements.curve import CurveTrainingOptions, measure_curve
        from landscape.workflow.measurements.surface import Surface

        _check(self)
        points = grid_size(self.points)
        surface = Surface(
            axes=Axes(points),
            evaluation=Evaluation(self.precision),
            seed=self.seed,
        )
        training = CurveTrainingOptions(self.steps, seed=self.seed)
        with session(self) as opened:
            first, second = opened.models
            plane = None if self.plane_points == "0" else grid_size(self.plane_points)
            modes: list[BatchNormMode | None] = [*modes_of(self.batchnorm)]
            results: dict[str, Result] = {}
            for mode in modes or [None]:
                suffix = "" if len(modes) < 2 or mode == "recalibrated" else f"-{mode}"
                measured = dataclasses.replace(surface, batchnorm=mode, suffix=suffix)
                name = None if self.name is None else self.name + suffix
                results |= measure_curve(
                    opened.runner, first, second, training, measured, plane_points=plane, name=name
                )
            if self.json:
                sampled = {key: result for key, result in results.items() if isinstance(result, Sampled)}
                console.print_json({key: summary(result) for key, result in sampled.items()})
            else:
                print_curve(results)


def _check(options: CurveCommand) -> None:
    """Check the options before anything is read.

    Raises:
        LandscapeError: naming the option.
    """
    if len(options.checkpoints) != 2:
        raise LandscapeError(f"a curve connects two checkpoints; got {len(options.checkpoints)}")
    expect_number("--steps", options.steps, least=1)
    expect("x" not in options.points.lower(), "--points", options.points, "one number, for a curve")
    grid_size(options.points)
    if options.plane_points != "0":
        grid_size(options.plane_points)
