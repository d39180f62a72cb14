"""`landscape surface`: loss and accuracy on a plane or a line, resumable."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from landscape.cli.options.analysis import expect
from landscape.cli.options.grid import check_grid, check_region
from landscape.cli.options.planes import check_planes, is_line, known_points
from landscape.cli.options.snapshots import check_snapshots
from landscape.cli.options.surface import GRADIENT_NORM, SurfaceOptions
from landscape.cli.terminal import console
from landscape.errors import LandscapeError

if TYPE_CHECKING:
    from landscape.execution import Workers
    from landscape.results import LineResult, SurfaceResult
    from landscape.workflow.runner import Runner
    from landscape.workflow.sources.loaded_model import LoadedModel


@dataclass(frozen=True)
class SurfaceCommand(SurfaceOptions):
    """Measure loss and accuracy on a plane or a line of filter-normalized random directions, or of others.

    Several checkpoints are measured along the same raw directions, each normalized to its own weights, and in the same
    precision. The same command resumes a stopped run. With --snapshots: around every snapshot of a run, along the same
    directions, for an animation over the epochs.
    """

    def run(self) -> None:
        """Measure, store, and print."""
        from landscape.cli.requests.session import session
        from landscape.cli.tables.summary import summary
        from landscape.cli.tables.surface import print_surfaces

        check_planes(self, len(self.checkpoints))
        check_surface(self)
        check_snapshots(self, len(self.checkpoints))
        if self.snapshots is not None:
            self._run_over_snapshots()
            return
        with session(self) as opened:
            results = measure(opened.runner, opened.models, self, opened.workers)
            if self.json:
                console.print_json({key: summary(result) for key, result in results.items()})
            else:
                print_surfaces(results)

    def _run_over_snapshots(self) -> None:
        from landscape.cli.requests.session import session
        from landscape.cli.requests.surface_series import measure_series

        if is_line(self) or known_points(self) or len(self.plane) > 2:
            raise LandscapeError("--snapshots takes a plane around each snapshot; expected --plane plane or directions")
        for flag, given in (
            ("--metrics", self.metrics),
            ("--tolerance", self.tolerance),
            ("--region", self.region),
            ("--seeds", self.seeds),
        ):
            if given:
                raise LandscapeError(f"{flag} is of surfaces around one checkpoint; expected --snapshots without it")
        with session(self) as opened:
            measure_series(opened, self)


def measure(
    runner: Runner, models: Sequence[LoadedModel], options: SurfaceOptions, workers: int | Workers = 1
) -> dict[str, LineResult | SurfaceResult]:
    """Measure what the options ask for, in one precision, and return the results by name."""
    from landscape.analysis.surfaces.evaluation import Evaluation
    from landscape.cli.requests.axes import axes_of
    from landscape.cli.requests.planes import chosen_planes
    from landscape.workflow.measurements.surface import Surface
    from landscape.workflow.sources.user_code import load_metrics

    shared = Surface(
        axes=axes_of(options, beyond=options.beyond),
        metrics=load_metrics(options.user_metrics),
        gradient_norm=GRADIENT_NORM in (options.metrics or ()),
        tolerance=options.tolerance,
        evaluation=Evaluation(options.precision, workers=workers),
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


def check_surface(options: SurfaceOptions) -> None:
    """Check the options before anything is read.

    Raises:
        LandscapeError: for impossible or contradicting options.
    """
    from landscape.cli.requests.axes import axes_of

    line = is_line(options)
    check_grid(options, is_line=line, known=known_points(options))
    check_region(options, is_line=line)
    if options.region is None:
        axes_of(options, beyond=options.beyond).coordinates(is_line=line, extent=None, margin=0.0)
    expect(
        0 <= options.tolerance < 1, "--tolerance", options.tolerance, "a relative error such as 0.01, or 0 for exact"
    )
    if GRADIENT_NORM in (options.metrics or ()) and "batch" in options.batchnorm.split(","):
        raise LandscapeError(
            "gradient_norm is of the loss in evaluation mode; expected --batchnorm fixed or recalibrated with it"
        )
