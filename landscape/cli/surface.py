"""`landscape surface`: loss and accuracy on a plane or a line, resumable."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from landscape.cli import console
from landscape.cli.options import AnalysisOptions, grid_size
from landscape.errors import LandscapeError

if TYPE_CHECKING:
    from landscape.analysis.directions import Plane
    from landscape.analysis.objective import Objective
    from landscape.analysis.surface import Settings
    from landscape.cli.subjects import Subject
    from landscape.results import Floats, Line, Surface as SurfaceResult
    from landscape.store import AnalysisFile


@dataclass(frozen=True)
class Surface(AnalysisOptions):
    """Measure loss and accuracy on a plane (or --line) of filter-normalized random directions, or --between two.

    Several checkpoints are measured along the same raw directions, each normalized to its own weights, and in the same
    precision. A run that was stopped goes on where it was when the same command is given again.
    """

    points: str = "51"
    """Points along each axis, odd: 51, or 51x31 (x by y)."""
    span: float = 1.0
    """The axes run from -span to span; a step of 1 moves each filter by its own norm."""
    line: bool = False
    """One random direction instead of two."""
    between: bool = False
    """The straight line from the first checkpoint (0) to the second (1)."""
    beyond: float = 0.0
    """With --between: how far to go past both ends."""
    normalization: Literal["filter", "layer", "weight", "none"] = "filter"
    """How random directions are scaled to the weights."""
    one_dimensional: Literal["zero", "scaled", "li-code"] = "zero"
    """What random directions do to biases and norm parameters."""
    orthogonal: bool = False
    """Make the second direction orthogonal to the first."""
    precision: Literal["auto", "float32", "bfloat16", "float64"] = "auto"
    """auto takes bfloat16 where it is measured to be faster and accurate enough."""
    precision_tolerance: float = 0.01
    """Largest relative error of the loss at probe points that auto accepts."""

    def run(self) -> None:
        """Measure, store, and say what came of it."""
        from landscape.allocator import tune_allocator
        from landscape.cli.filing import closing, keep_history, out_path
        from landscape.cli.subjects import load_subjects
        from landscape.store import AnalysisFile

        tune_allocator()
        counts = grid_size(self.points)
        subjects = load_subjects(self)
        if self.between and len(subjects) != 2:
            raise LandscapeError(f"--between takes two checkpoints, got {len(subjects)}")
        with AnalysisFile(out_path(self, subjects)) as file:
            for subject in subjects:
                keep_history(file, subject)
            found = measure(file, subjects, self, counts)
            if self.json:
                console.print_json({key: summary(result) for key, result in found.items()})
            else:
                _print(found)
            closing(file, f"landscape report {shlex.quote(str(file.path))} --open")


def measure(
    file: AnalysisFile, subjects: Sequence[Subject], options: Surface, counts: tuple[int, int]
) -> dict[str, Line | SurfaceResult]:
    """Measure what the options ask for, each checkpoint in turn, and return the results by name."""
    from landscape.analysis.surface import axis, between_axis, probe_points, settle

    if options.between:
        alpha, beta, base = between_axis(counts[0], options.beyond), None, "between"
    else:
        alpha = axis(counts[0], options.span)
        beta, base = (None, "line") if options.line else (axis(counts[1], options.span), "plane")
    tasks = [_Task(file, group, options, alpha, beta, base) for group in _groups(subjects, options)]
    todo = [task for task in tasks if not task.finished]
    settings = next((task.settings for task in todo if task.settings is not None), None)
    if todo and settings is None:
        choices = [
            settle(
                task.objective,
                [task.plane],
                probe_points(alpha, beta),
                precision=options.precision,
                precision_tolerance=options.precision_tolerance,
            )
            for task in todo
        ]
        settings = _shared(choices)
        _estimate(todo, settings)
    for task in todo:
        assert settings is not None
        task.compute(task.settings or settings)
    return {task.key: task.result for task in tasks}


class _Task:
    """One result of a surface command: claimed in the file, and computed unless it is there."""

    def __init__(
        self,
        file: AnalysisFile,
        subjects: Sequence[Subject],
        options: Surface,
        alpha: Floats,
        beta: Floats | None,
        base: str,
    ) -> None:
        from landscape.analysis.directions import line_between, random_plane
        from landscape.cli.filing import claim, settings_of

        subject = subjects[0]
        self._file, self._subject, self._alpha, self._beta = file, subject, alpha, beta
        self.label = "..".join(s.label for s in subjects)
        mode: Any = (
            options.batchnorm if options.batchnorm != "auto" else ("recalibrated" if options.between else "fixed")
        )
        directions: dict[str, Any] = (
            {"directions": "between", "other": subjects[1].sha256}
            if options.between
            else {
                "directions": "random",
                "normalization": options.normalization,
                "one_dimensional": options.one_dimensional,
                "orthogonal": options.orthogonal,
            }
        )
        identity = settings_of(
            subject,
            batchnorm=mode,
            alpha=[len(alpha), alpha[0], alpha[-1]],
            beta=None if beta is None else [len(beta), beta[0], beta[-1]],
            precision=options.precision,
            precision_tolerance=options.precision_tolerance,
            **directions,
        )
        self.key, found = claim(file, self.label, base, identity, options)
        self._found: Any = found
        self.finished = self._found is not None and self._found.complete
        if self.finished:
            console.say(f"{self.key} is already in {file.path} with these settings")
            return
        self.objective: Objective = subject.objective(batchnorm=mode)
        if self.objective.path == "plain":
            console.say(f"{self.label}: BatchNorm is not folded: {self.objective.path_reason}")
        if options.between:
            self.plane: Plane = line_between(self.objective, subjects[1].state)
        else:
            self.plane = random_plane(
                self.objective,
                seed=options.seed,
                dimensions=1 if options.line else 2,
                normalization=options.normalization,
                one_dimensional=options.one_dimensional,
                orthogonal=options.orthogonal,
            )
        self._attributes = {
            **subject.attributes(),
            "checkpoint": self.label,
            "checkpoints": [{"label": s.label, "sha256": s.sha256} for s in subjects],
            "settings": identity,
            "command": console.command(),
        }
        self._between = options.between

    @property
    def settings(self) -> Settings | None:
        """The precision and batch size of the run to go on with, for the same bits."""
        from landscape.analysis.surface import Settings

        if self._found is None:
            return None
        attributes = self._found.attributes
        return Settings(attributes["precision"], attributes["precision_error"], attributes["batch_size"])

    @property
    def points(self) -> int:
        """Number of points left to compute."""
        total = len(self._alpha) * (1 if self._beta is None else len(self._beta))
        return total - (0 if self._found is None else int(self._found.computed().sum()))

    @property
    def examples(self) -> int:
        """Examples per point."""
        return sum(batches.examples for batches in self.objective.data.values())

    @property
    def result(self) -> Any:
        """The result, once it is there."""
        return self._file.results[self.key]

    def compute(self, settings: Settings) -> None:
        """Compute the points that are missing, each kept as soon as it is there, then store the result whole."""
        from landscape.analysis.barrier import barriers
        from landscape.analysis.provenance import describe
        from landscape.analysis.surface import empty, surface
        from landscape.store import with_attributes

        reference = self._subject.reproduce()
        common = {
            **describe(self.objective, self.objective.splits),
            **self._attributes,
            "reference": reference,
            "directions": dict(self.plane.recipe),
            "precision": settings.precision,
            "precision_error": settings.precision_error,
            "batch_size": settings.batch_size,
        }
        done = None
        if self._found is None:
            started = empty(self.objective, self._alpha, self._beta, common)
        else:
            self._check_bits()
            started, done = self._found, self._found.points
            console.say(f"{self.key}: going on with {self.points} points left")
        self._file.begin(self.key, started)
        with console.progress(self.key, self.points) as advance:

            def keep(rows: Any) -> None:
                self._file.append(rows)
                advance()

            found = surface(
                self.objective,
                self.plane,
                alpha=self._alpha,
                beta=self._beta,
                settings=settings,
                done=done,
                on_point=keep,
            )
        seconds = found.attributes["seconds"] + (
            0 if done is None else float(self._found.attributes.get("seconds", 0.0))
        )
        more: dict[str, Any] = {"barrier": barriers(self.objective, self.plane, found)} if self._between else {}
        self._file.put(self.key, with_attributes(found, **{**common, **more, "seconds": seconds}))

    def _check_bits(self) -> None:
        """Take the threads of the first run; refuse what would give other bits."""
        import torch

        attributes = self._found.attributes
        if attributes["directions"]["hashes"] != self.plane.recipe["hashes"]:
            raise LandscapeError(
                f"{self.key}: the directions drawn here differ from those in the file (another NumPy?); give another --name"
            )
        if attributes["path"] != self.objective.path or attributes["device"].split()[0] != self.objective.device.type:
            there, here = (attributes["device"], attributes["path"]), (self.objective.device.type, self.objective.path)
            raise LandscapeError(
                f"{self.key} was begun on {there} and this is {here}; the bits would differ: give another --name"
            )
        torch.set_num_threads(int(attributes["threads"]))


def summary(result: Line | SurfaceResult) -> dict[str, Any]:
    """Return a surface's numbers and provenance, JSON-able."""
    grids = {metric: result.grid(metric) for metric in result.metrics}
    return {
        "kind": result.kind,
        "splits": result.splits,
        "alpha": result.alpha,
        **({"beta": result.beta} if result.kind == "surface" else {}),  # type: ignore[union-attr]
        **grids,
        "attributes": dict(result.attributes),
    }


def _groups(subjects: Sequence[Subject], options: Surface) -> list[Sequence[Subject]]:
    return [subjects] if options.between else [[subject] for subject in subjects]


def _shared(choices: Sequence[Settings]) -> Settings:
    """Return one precision for all: bfloat16 only where every checkpoint allows it."""
    from landscape.analysis.surface import Settings

    slow = [choice for choice in choices if choice.precision != "bfloat16"]
    if slow:
        return slow[0]
    worst = max((choice.precision_error for choice in choices if choice.precision_error is not None), default=None)
    return Settings("bfloat16", worst, choices[0].batch_size, choices[0].images_per_second)


def _estimate(tasks: Sequence[_Task], settings: Settings) -> None:
    passes = sum(task.points * task.examples for task in tasks)
    error = (
        f", off by at most {settings.precision_error:.2%} at the probe points"
        if settings.precision_error is not None
        else ""
    )
    time = f": about {console.duration(passes / settings.images_per_second)}" if settings.images_per_second else ""
    points = sum(task.points for task in tasks)
    console.say(f"{points} points x {tasks[0].examples} examples in {settings.precision}{error}{time}")


def _print(found: dict[str, Line | SurfaceResult]) -> None:
    rows = []
    for key, result in found.items():
        for s, split in enumerate(result.splits):
            loss = result.grid("loss")[s]
            centre = loss[tuple(size // 2 for size in result.shape)] if "barrier" not in result.attributes else loss[0]
            best, worst = loss.min(), loss.max()
            rows.append([key, split, console.number(centre), console.number(best), console.number(worst)])
    console.print_table("loss", ["result", "split", "at the origin", "lowest", "highest"], rows)
    for key, result in found.items():
        for split, metrics in result.attributes.get("barrier", {}).items():
            height = metrics["loss"]
            value = console.number(height["value"], height["stderr"])
            console.say(f"{key}: barrier of the {split} loss {value} at t = {height['at']:.2f}")
