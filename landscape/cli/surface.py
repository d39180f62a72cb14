"""`landscape surface`: loss and accuracy on a plane or a line, resumable."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import arg

from landscape.cli import console
from landscape.cli.options import AnalysisOptions, expect, expect_number, grid_size
from landscape.errors import LandscapeError

if TYPE_CHECKING:
    from landscape.analysis.surface import Settings
    from landscape.cli.sampling import Sampling
    from landscape.cli.subjects import Subject
    from landscape.results import Floats
    from landscape.results import Line as LineResult
    from landscape.results import Surface as SurfaceResult
    from landscape.store import AnalysisFile


@dataclass(frozen=True)
class SurfaceOptions:
    """Where in weight space."""

    points: Annotated[str, arg(metavar="N|NxM")] = "51"
    """Points along each axis, odd, so that the centre is one: 51, or 51x31 (x by y)."""
    span: Annotated[float, arg(metavar="X")] = 1.0
    """The axes run from -span to span; a step of 1 moves each filter by its own norm."""
    line: bool = False
    """One random direction instead of two."""
    between: bool = False
    """The straight line from the first checkpoint (at 0) to the second (at 1)."""
    beyond: Annotated[float, arg(metavar="X")] = 0.0
    """With --between: how far to go past both ends."""
    normalization: Literal["filter", "layer", "weight", "none"] = "filter"
    """How random directions are scaled to the weights."""
    one_dimensional: Literal["zero", "scaled", "li-code"] = "zero"
    """What random directions do to biases and norm parameters: nothing, a scaled step, or as in Li et al.'s code."""
    orthogonal: bool = False
    """Make the second direction orthogonal to the first."""
    precision: Literal["auto", "float32", "bfloat16", "float64"] = "auto"
    """Of the forward passes; auto takes bfloat16 where it is measured to be faster and accurate enough."""
    precision_tolerance: Annotated[float, arg(metavar="X")] = 0.01
    """Largest relative error of the loss, at probe points of the grid, that auto accepts."""


@dataclass(frozen=True)
class Surface(AnalysisOptions, SurfaceOptions):
    """Measure loss and accuracy on a plane (or --line) of filter-normalized random directions, or --between two.

    Several checkpoints are measured along the same raw directions, each normalized to its own weights, and in the same
    precision. A run that was stopped goes on where it was when the same command is given again.
    """

    def run(self) -> None:
        """Measure, store, and say what came of it."""
        from landscape.allocator import tune_allocator
        from landscape.cli.filing import closing, keep_history, out_path
        from landscape.cli.subjects import load_subjects
        from landscape.store import AnalysisFile

        tune_allocator()
        counts = grid_size(self.points)
        axes(self, counts)
        subjects = load_subjects(self)
        if self.between and len(subjects) != 2:
            raise LandscapeError(f"--between takes two checkpoints, the line's two ends; got {len(subjects)}")
        with AnalysisFile(out_path(self, subjects)) as file:
            for subject in subjects:
                keep_history(file, subject)
            found = measure(file, subjects, self, counts)
            if self.json:
                console.print_json({key: summary(result) for key, result in found.items()})
            else:
                _print(found)
            closing(file)


def axes(options: Surface, counts: tuple[int, int]) -> tuple[Floats, Floats | None]:
    """Return the coordinates that the options ask for, (X,) and (Y,); None for the second of a line.

    Raises:
        LandscapeError: for options that cannot be, or contradict each other.
    """
    from landscape.analysis.surface import axis, between_axis

    expect_number("--precision-tolerance", options.precision_tolerance)
    expect_number("--beyond", options.beyond)
    expect(options.beyond <= 100, "--beyond", options.beyond, "at most 100 times the distance")
    if options.line and options.between:
        raise LandscapeError("--line and --between contradict each other: --between is a line already")
    if options.beyond and not options.between:
        raise LandscapeError("--beyond is for --between; a random direction's length is its --span")
    if (options.line or options.between) and "x" in options.points.lower():
        raise LandscapeError(f"got --points {options.points} for a line; expected one number")
    if options.between:
        return between_axis(counts[0], options.beyond), None
    x = axis(counts[0], options.span)
    return x, None if options.line else axis(counts[1], options.span)


def measure(
    file: AnalysisFile, subjects: Sequence[Subject], options: Surface, counts: tuple[int, int]
) -> dict[str, LineResult | SurfaceResult]:
    """Measure what the options ask for, each checkpoint in turn, and return the results by name."""
    from landscape.cli.sampling import Sampling

    alpha, beta = axes(options, counts)
    groups = [subjects] if options.between else [[subject] for subject in subjects]
    samplings = [Sampling(file, group, options, alpha, beta) for group in groups]
    todo = [sampling for sampling in samplings if not sampling.finished]
    if todo:
        settings = _shared_settings(samplings, options)
        _estimate(todo, settings)
        for sampling in todo:  # written all at once: a run that is stopped and goes on takes the same settings for all
            sampling.prepare(settings)
        for sampling in todo:
            sampling.fill()
    return {sampling.key: sampling.result for sampling in samplings}


def summary(result: LineResult | SurfaceResult) -> dict[str, Any]:
    """Return a surface's numbers and provenance, JSON-able; grids are [split][y][x]."""
    from landscape.results import Surface as SurfaceResult

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


def _estimate(todo: Sequence[Sampling], settings: Settings) -> None:
    passes = sum(sampling.points * sampling.examples for sampling in todo)
    error = (
        f", off by at most {settings.precision_error:.2%} at the probe points"
        if settings.precision_error is not None
        else ""
    )
    time = f": about {console.duration(passes / settings.images_per_second)}" if settings.images_per_second else ""
    points = sum(sampling.points for sampling in todo)
    console.say(f"{points} points x {todo[0].examples} examples in {settings.precision}{error}{time}")


def _print(found: Mapping[str, LineResult | SurfaceResult]) -> None:
    import numpy as np

    from landscape.results import Surface as SurfaceResult

    rows = []
    for key, result in found.items():
        axes = [result.beta, result.alpha] if isinstance(result, SurfaceResult) else [result.alpha]
        origin = tuple(int(np.searchsorted(axis, 0.0)) for axis in axes)
        for s, split in enumerate(result.splits):
            loss = result.grid("loss")[s]
            known = loss[~np.isnan(loss)]
            lowest, highest = (known.min(), known.max()) if len(known) else (np.nan, np.nan)
            rows.append([key, split, *map(console.number, (loss[origin], lowest, highest))])
    console.print_table("loss", ["result", "split", "at the origin", "lowest", "highest"], rows)
    for key, result in found.items():
        for split, metrics in result.attributes.get("barrier", {}).items():
            height = metrics["loss"]
            value = console.number(height["value"], height["stderr"])
            console.say(f"{key}: barrier of the {split} loss {value} at t = {height['at']:.2f}")
