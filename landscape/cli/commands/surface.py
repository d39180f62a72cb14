"""`landscape surface`: loss and accuracy on a plane or a line, resumable."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import arg

from landscape.cli.options.analysis import AnalysisOptions, OptionalNames, default, expect, expect_number, grid_size
from landscape.cli.options.grid import GridOptions, check_grid
from landscape.cli.options.planes import PlaneOptions, check_planes, known_points, margin, sampled_line
from landscape.cli.terminal import console
from landscape.stats import number_format

if TYPE_CHECKING:
    from landscape.analysis.planes import Extent
    from landscape.analysis.surfaces.surface import Settings
    from landscape.cli.jobs.loaded_model import Subject
    from landscape.cli.jobs.plane_specs import Place
    from landscape.cli.jobs.sampling import Sampling
    from landscape.results import Floats, LineResult, Sampled, SurfaceResult
    from landscape.storage.analysis_file import AnalysisFile


@dataclass(frozen=True)
class SurfaceOptions:
    """What is measured there, and how."""

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
class Surface(AnalysisOptions, PlaneOptions, SurfaceOptions, GridOptions):
    """Measure loss and accuracy on a plane (or --line) of filter-normalized random directions, or of others.

    Several checkpoints are measured along the same raw directions, each normalized to its own weights, and in the same
    precision. A run that was stopped goes on where it was when the same command is given again.
    """

    def run(self) -> None:
        """Measure, store, and say what came of it."""
        from landscape.cli.jobs.loaded_model import load_subjects
        from landscape.cli.jobs.result_names import closing, keep_history, open_file
        from landscape.cli.tables.surface import print_surfaces
        from landscape.execution.allocator import tune_allocator

        tune_allocator()
        counts = grid_size(self.points)
        check_planes(self, len(self.checkpoints))
        check_surface(self)
        subjects = load_subjects(self)
        with open_file(self, subjects) as file:
            for subject in subjects:
                keep_history(file, subject)
            found = measure(file, subjects, self, counts)
            if self.json:
                console.print_json({key: summary(result) for key, result in found.items()})
            else:
                print_surfaces(found)
            closing(file)


def axes(
    options: Surface, counts: tuple[int, int], *, is_line: bool, extent: Extent | None = None
) -> tuple[Floats, Floats | None]:
    """Return the coordinates that the options ask for, (X,) and (Y,); None for the second of a line.

    Where there is an extent, of known points, they cover it.

    Raises:
        LandscapeError: for options that cannot be, or contradict each other.
    """
    import numpy as np

    from landscape.analysis.planes import covering_axis
    from landscape.analysis.planes.axes import ascending, axis, between_axis

    check_grid(options, is_line=is_line, known=known_points(options))
    given = [None if words is None else ascending(np.array(words)) for words in (options.alpha, options.beta)]
    if options.region is not None:  # the axes are those of the result it is added to
        return np.zeros(1), None if is_line else np.zeros(1)
    if options.between:
        x, y = between_axis(counts[0], margin(options)), np.zeros(1)
    elif extent is not None:
        x, y = (covering_axis(n, *ends, margin=margin(options)) for n, ends in zip(counts, extent, strict=True))
    else:
        x, y = (axis(n, 1.0 if options.span is None else options.span, spacing=options.axis) for n in counts)
    x, y = (axis if own is None else own for axis, own in zip((x, y), given, strict=True))
    return x, None if is_line else y


def check_surface(options: Surface) -> None:
    """Check what can be checked before anything is read.

    Raises:
        LandscapeError: for options that cannot be, or contradict each other.
    """
    axes(options, grid_size(options.points), is_line=sampled_line(options))
    expect_number("--precision-tolerance", options.precision_tolerance)
    expect(
        0 <= options.tolerance < 1, "--tolerance", options.tolerance, "a relative error such as 0.01, or 0 for exact"
    )
    expect(options.workers >= 1, "--workers", options.workers, "a whole number of at least 1")


def measure(
    file: AnalysisFile, subjects: Sequence[Subject], options: Surface, counts: tuple[int, int]
) -> dict[str, LineResult | SurfaceResult]:
    """Measure what the options ask for, each checkpoint in turn, and return the results by name."""
    from landscape.cli.jobs.plane_specs import places

    options = _with_affordable_workers(options)
    return sample(file, places(file, options, subjects), options, counts)


def _with_affordable_workers(options: Surface) -> Surface:
    """Return the options with no more workers than the machine can run side by side; on CUDA its GPUs decide."""
    from landscape.execution.device import choose_device
    from landscape.execution.limits import affordable_workers

    if options.workers == 1 or choose_device(options.device).type == "cuda":
        return options
    most, reason = affordable_workers()
    if options.workers <= most:
        return options
    console.warn(f"got --workers {options.workers}, taking {most}: this machine has {reason}")
    return dataclasses.replace(options, workers=most)


def sample(
    file: AnalysisFile, places: Sequence[Place], options: Surface, counts: tuple[int, int]
) -> dict[str, LineResult | SurfaceResult]:
    """Measure these places, in one precision, and return the results by name."""
    return fill(begin(file, places, options, counts), options)


def begin(file: AnalysisFile, places: Sequence[Place], options: Surface, counts: tuple[int, int]) -> list[Sampling]:
    """Return what is to be measured at these places.

    Raises:
        LandscapeError: where the file has a result of other settings, or of another model, loss or data.
    """
    from landscape.cli.jobs.sampling import Sampling

    return [
        Sampling(file, place, *axes(options, counts, is_line=place.is_line, extent=place.extent)) for place in places
    ]


def fill(samplings: Sequence[Sampling], options: Surface) -> dict[str, LineResult | SurfaceResult]:
    """Measure what is missing, in one precision, and return the results by name."""
    from landscape.cli.jobs.second_order import warnings_in_one_line

    todo = [sampling for sampling in samplings if not sampling.finished]
    if todo:
        settings = _shared_settings(samplings, options)
        on_cpu = todo[0].objective.device.type != "cuda"
        _estimate(todo, settings, tolerance=options.tolerance, workers=1 if on_cpu else options.workers)
        for sampling in todo:  # written all at once: a run that is stopped and goes on takes the same settings for all
            sampling.prepare(settings)
        with warnings_in_one_line():
            for sampling in todo:
                sampling.fill()
    return {sampling.key: sampling.result for sampling in samplings}


def summary(result: Sampled) -> dict[str, Any]:
    """Return a surface's numbers and provenance, JSON-able; grids are [split][y][x]."""
    from landscape.results import SurfaceResult

    return {
        "kind": result.kind,
        "splits": result.splits,
        "alpha": result.alpha,
        **({"beta": result.beta} if isinstance(result, SurfaceResult) else {}),
        **{metric: result.grid(metric) for metric in result.metrics},
        **{f"{metric}_stderr": result.grid(metric, column="stderr") for metric in result.metrics},
        "attributes": dict(result.attributes),
    }


def _shared_settings(samplings: Sequence[Sampling], options: Surface) -> Settings:
    """Return one precision and batch size for all: bfloat16 only where every checkpoint allows it.

    Those that were begun or finished before have theirs, which the others take over.
    """
    choices = [sampling.settings or sampling.settle(options) for sampling in samplings]
    slow = [choice for choice in choices if choice.precision != "bfloat16"]
    worst = max((choice.precision_error for choice in choices if choice.precision_error is not None), default=None)
    shared = slow[0] if slow else dataclasses.replace(choices[0], precision_error=worst)
    for sampling, choice in zip(samplings, choices, strict=True):
        if sampling.settings is not None and choice.precision != shared.precision:
            console.warn(
                f"{sampling.key} is in {choice.precision} from an earlier run, the others in {shared.precision}"
            )
    return shared


def _estimate(todo: Sequence[Sampling], settings: Settings, *, tolerance: float, workers: int) -> None:
    passes = sum(sampling.points * sampling.examples for sampling in todo)
    if not passes:
        return
    error = (
        f", off by at most {settings.precision_error:.2%} at the probe points"
        if settings.precision_error is not None
        else ""
    )
    rate = settings.images_per_second and settings.images_per_second * workers
    exactly = "exactly it would take " if tolerance else ""
    time = f": {exactly}about {number_format.duration(passes / rate)}" if rate else ""
    points = sum(sampling.points for sampling in todo)
    console.say(f"{points} points x {todo[0].examples} examples in {settings.precision}{error}{time}")
