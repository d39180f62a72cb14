"""`landscape convexity`: |λ_min / λ_max| of the Hessian over a plane, resumable."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from tyro.conf import arg

from landscape.cli.options.analysis import AnalysisOptions, Names, expect
from landscape.cli.options.execution import ExecutionOptions
from landscape.cli.options.grid import GridOptions, check_grid
from landscape.cli.options.planes import PlaneOptions, check_planes, is_line, known_points
from landscape.cli.terminal import console
from landscape.errors import LandscapeError


@dataclass(frozen=True)
class ConvexityOptions:
    """Accuracy of the two eigenvalues."""

    plane: Annotated[Names, arg(metavar="KIND|DIRECTION,DIRECTION")] = ("plane",)
    """plane (two random directions), through, pca, or two directions, as in landscape surface --help."""
    points: Annotated[str, arg(metavar="N|NxM")] = "21"
    """Points along each axis, odd, so that the centre is a point: 21, or 21x11 (x by y)."""
    tolerance: Annotated[float, arg(metavar="X")] = 0.05
    """Bound on the error of both eigenvalues, relative to the one of larger magnitude."""
    quick: bool = False
    """Halve the time: a few products warm-started from the point before, errors of about 1 %, wide bounds."""


@dataclass(frozen=True)
class ConvexityCommand(AnalysisOptions, ExecutionOptions, ConvexityOptions, GridOptions, PlaneOptions):
    """Map |λ_min / λ_max| of the Hessian over a plane, where 0 is convex, with both eigenvalues and their bounds.

    The same command resumes a stopped run.
    """

    def run(self) -> None:
        """Measure, store, and print."""
        from landscape.cli.requests.axes import axes_of
        from landscape.cli.requests.planes import chosen_planes
        from landscape.cli.requests.session import session
        from landscape.cli.tables.convexity import print_maps
        from landscape.cli.tables.summary import summary
        from landscape.workflow.measurements.convexity import Convexity

        _check(self)
        with session(self) as opened:
            wanted = [
                (
                    Convexity(
                        plane=plane.spec,
                        axes=axes_of(self, beyond=self.beyond),
                        tolerance=self.tolerance,
                        quick=self.quick,
                        batchnorm=plane.batchnorm,
                        seed=self.seed,
                        suffix=plane.suffix,
                        workers=opened.workers,
                    ),
                    model,
                    plane.name,
                )
                for model, plane in chosen_planes(opened.runner, opened.models, self, self)
            ]
            results = dict(opened.runner.measure_all(wanted))
            if self.json:
                console.print_json({key: summary(result) for key, result in results.items()})
            else:
                print_maps(results)


def _check(options: ConvexityCommand) -> None:
    """Check the options before anything is read."""
    from landscape.cli.requests.axes import axes_of

    check_planes(options, len(options.checkpoints))
    if is_line(options):
        text = ",".join(options.plane)
        raise LandscapeError(f"a convexity map is of a plane, got --plane {text}; expected plane or two directions")
    known = known_points(options)
    check_grid(options, is_line=False, known=known)
    if known is None:
        axes_of(options, beyond=None).coordinates(is_line=False, extent=None, margin=0.0)
    expect(0 < options.tolerance < 1, "--tolerance", options.tolerance, "a relative error such as 0.05")
    for mode in options.batchnorm.split(","):
        expect(
            mode.strip() in ("auto", "fixed", "recalibrated"),
            "--batchnorm",
            options.batchnorm,
            "fixed or recalibrated, for derivatives",
        )
