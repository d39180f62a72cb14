"""`landscape surface`: loss and accuracy on a plane or a line, resumable."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import arg

from landscape.cli.options.analysis import AnalysisOptions, OptionalNames, default, expect, expect_number
from landscape.cli.options.grid import GridOptions, check_grid
from landscape.cli.options.planes import PlaneOptions, check_planes, known_points, sampled_line
from landscape.cli.terminal import console
from landscape.errors import LandscapeError

if TYPE_CHECKING:
    from landscape.results import LineResult, SurfaceResult
    from landscape.workflow.runner import Runner
    from landscape.workflow.sources.loaded_model import LoadedModel


@dataclass(frozen=True)
class SurfaceOptions:
    """Quantities measured at each point, and their precision."""

    metrics: Annotated[OptionalNames, default("loss and accuracy")] = None
    """Further metrics: package.module:function or file.py:function of (outputs, targets), one value per example."""
    gradient_norm: bool = False
    """Measure the norm of the loss's gradient, too."""
    tolerance: Annotated[float, arg(metavar="X")] = 0.0
    """Relative error of the loss that 95 % of the points may have; 0 is exact. With --subset all, 0.01 takes a fraction
    of the passes; the error is measured on held-out points and reported."""
    workers: Annotated[int, arg(metavar="N")] = 1
    """Processes that share out the points, on CUDA one per GPU."""
    precision: Literal["auto", "float32", "bfloat16", "float64"] = "auto"
    """Of the forward passes; auto takes bfloat16 where it is measured to be faster and accurate enough."""
    precision_tolerance: Annotated[float, arg(metavar="X")] = 0.01
    """Largest relative error of the loss, at probe points of the grid, that auto accepts."""


@dataclass(frozen=True)
class SurfaceCommand(AnalysisOptions, PlaneOptions, SurfaceOptions, GridOptions):
    """Measure loss and accuracy on a plane (or --line) of filter-normalized random directions, or of others.

    Several checkpoints are measured along the same raw directions, each normalized to its own weights, and in the same
    precision. A run that was stopped is resumed by the same command.
    """

    def run(self) -> None:
        """Measure, store, and print."""
        from landscape.cli.requests.session import session
        from landscape.cli.tables.surface import print_surfaces, summary

        check_planes(self, len(self.checkpoints))
        check_surface(self)
        with session(self) as opened:
            results = measure(opened.runner, opened.models, self)
            if self.json:
                console.print_json({key: summary(result) for key, result in results.items()})
            else:
                print_surfaces(results)


def measure(
    runner: Runner, models: Sequence[LoadedModel], options: SurfaceCommand
) -> dict[str, LineResult | SurfaceResult]:
    """Measure what the options ask for, in one precision, and return the results by name."""
    from landscape.cli.requests.axes import axes_of
    from landscape.cli.requests.planes import chosen_planes
    from landscape.workflow.measurements.evaluation import Evaluation
    from landscape.workflow.measurements.surface import Surface
    from landscape.workflow.sources.user_code import load_metrics

    shared = Surface(
        axes=axes_of(options, beyond=options.beyond),
        metrics=load_metrics(options.metrics),
        gradient_norm=options.gradient_norm,
        tolerance=options.tolerance,
        evaluation=Evaluation(
            options.precision, options.precision_tolerance, _affordable(options.workers, options.device)
        ),
        seed=options.seed,
    )
    wanted = [
        (
            dataclasses.replace(shared, plane=plane.spec, batchnorm=plane.batchnorm, suffix=plane.suffix),
            model,
            plane.name,
        )
        for model, plane in chosen_planes(runner, models, options, options)
    ]
    return dict(runner.measure_all(wanted))


def check_surface(options: SurfaceCommand) -> None:
    """Check what can be checked before anything is read.

    Raises:
        LandscapeError: for impossible or contradicting options.
    """
    from landscape.cli.requests.axes import axes_of

    is_line = sampled_line(options)
    check_grid(options, is_line=is_line, known=known_points(options))
    if options.region is None:
        axes_of(options, beyond=options.beyond).coordinates(is_line=is_line, extent=None, margin=0.0)
    expect_number("--precision-tolerance", options.precision_tolerance)
    expect(
        0 <= options.tolerance < 1, "--tolerance", options.tolerance, "a relative error such as 0.01, or 0 for exact"
    )
    expect(options.workers >= 1, "--workers", options.workers, "a whole number of at least 1")
    if options.gradient_norm and "batch" in options.batchnorm.split(","):
        raise LandscapeError(
            "--gradient-norm is of the loss in evaluation mode; expected --batchnorm fixed or recalibrated with it"
        )


def _affordable(workers: int, device: str) -> int:
    """Return the number of workers, at most what the machine can run side by side; on CUDA its GPUs decide."""
    from landscape.execution.device import choose_device
    from landscape.execution.limits import affordable_workers

    if workers == 1 or choose_device(device).type == "cuda":
        return workers
    most, reason = affordable_workers()
    if workers <= most:
        return workers
    console.warn(f"got --workers {workers}, taking {most}: this machine has {reason}")
    return most
