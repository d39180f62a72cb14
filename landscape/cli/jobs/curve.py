"""Training the curve between two checkpoints, kept while it runs, and the places that are then measured."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from landscape.analysis.connectivity.bezier import control_state, curve_path, curve_through
from landscape.analysis.connectivity.curve_training import CurveTraining
from landscape.analysis.objective.objective import Objective
from landscape.analysis.objective.weights import moving_parameters
from landscape.analysis.planes import Plane, Triangle, plane_through, triangle
from landscape.cli.commands.surface import Surface, begin, fill, sample
from landscape.cli.jobs.calibration import AugmentedBatches, augmentation_of
from landscape.cli.jobs.fingerprint import code_settings
from landscape.cli.jobs.loaded_model import Subject
from landscape.cli.jobs.plane_specs import Place, in_modes, places
from landscape.cli.jobs.result_names import settings_of
from landscape.cli.jobs.vectors import Keep, keep_beside
from landscape.cli.options.analysis import AnalysisOptions, expect, expect_number, grid_size, subset_size
from landscape.cli.terminal import console
from landscape.data import stratified_subset
from landscape.errors import LandscapeError
from landscape.results import Result
from landscape.storage.analysis_file import AnalysisFile, with_attributes

if TYPE_CHECKING:
    from landscape.cli.commands.curve import Curve

KEEP_SECONDS = 30.0  # of training that a kill can cost


def check(options: Curve) -> None:
    """Check the options before anything is read.

    Raises:
        LandscapeError: for options that cannot be.
    """
    if len(options.checkpoints) != 2:
        raise LandscapeError(f"a curve connects two checkpoints; got {len(options.checkpoints)}")
    expect_number("--steps", options.steps, least=1)
    expect_number("--batch-size", options.batch_size, least=1)
    expect_number("--learning-rate", options.learning_rate, above=True)
    expect("x" not in options.points.lower(), "--points", options.points, "one number, for a curve")
    subset_size(options.train_subset)
    grid_size(options.points)
    if options.plane != "0":
        grid_size(options.plane)


def connect(file: AnalysisFile, first: Subject, second: Subject, options: Curve) -> dict[str, Result]:
    """Return the loss along the straight line and along the trained curve, the plane of both, and the curve on it."""
    line = _surface(options, points=options.points, precision=options.precision, name=None, between=True)
    ends = (first.for_options(line), second.for_options(line))
    counts = grid_size(line.points)
    straight = begin(file, places(file, line, ends), line, counts)  # before the training: it may refuse
    control, training = trained(file.path, first, second, options)
    curve = _curve_place(ends, dataclasses.replace(line, between=False, name=options.name), control, training)
    found: dict[str, Result] = {}
    found |= fill([*straight, *begin(file, in_modes(curve), line, counts)], line)
    key = list(found)[len(straight)]
    if options.plane != "0":
        name = None if options.name is None else f"{options.name}-plane"
        plane = _surface(options, points=options.plane, precision=options.precision, name=name)
        place = _plane_place(ends, plane, control, training)
        measured = sample(file, in_modes(place), plane, grid_size(plane.points))
        found |= measured
        of = next(iter(measured.values())).attributes
        path = with_attributes(curve_path(of["directions"]), **{name: of[name] for name in _ABOUT if name in of})
        if f"{key}-path" not in file.results or file.results[f"{key}-path"].attributes != path.attributes:
            file.put(f"{key}-path", path)
        found[f"{key}-path"] = path
    return found


_ABOUT = ("checkpoint", "checkpoints", "model", "data", "command", "created")


def trained(results: Path, first: Subject, second: Subject, options: Curve) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the control point of the trained curve, and what says how it was trained.

    It is kept in a file beside the results, while it is trained as well: the same command goes on with it.
    """
    subject = first.for_options(
        dataclasses.replace(_analysis(options), subset=options.train_subset, splits=options.splits[:1])
    )
    about = {"steps": options.steps, "batch_size": options.batch_size, "learning_rate": options.learning_rate}
    keep = keep_beside(
        results,
        f"{first.label}..{second.label}-curve",
        settings_of(subject, other=second.sha256, **about, **code_settings(options)),
    )
    found = keep.read()
    state = None if found is None else found[0]
    if state is None or len(state["losses"]) < options.steps:
        state = _train(keep, state, subject, second, options)
    else:
        console.say(f"the curve is already in {keep.path} with these settings")
    control = {key.removeprefix("control/"): w for key, w in state.items() if key.startswith("control/")}
    examples = len(subject.dataset.splits[options.splits[0]].labels)
    used = min(subset_size(options.train_subset) or examples, examples)
    return control, {
        **about,
        "seed": options.seed,
        "split": options.splits[0],
        "examples": used,
        "augmented": options.splits[0] == "train" and augmentation_of(subject.dataset, subject.checkpoint) is not None,
        "file": keep.path.name,
    }


def _train(
    keep: Keep, state: Mapping[str, Tensor] | None, subject: Subject, second: Subject, options: Curve
) -> dict[str, Tensor]:
    training = CurveTraining(
        subject.objective(),
        second.state,
        steps=options.steps,
        batch_size=options.batch_size,
        learning_rate=options.learning_rate,
        seed=options.seed,
        batch_at=_augmented(subject, options),
    )
    if state is not None:
        training.restore(state)
        console.say(f"the curve: going on after {training.done} of {options.steps} steps")
    kept = time.monotonic()
    with console.progress("curve: steps", options.steps - training.done) as advance:
        try:
            while training.done < options.steps:
                loss = training.step()
                advance(1, f"loss {loss:.3g}")
                if time.monotonic() - kept > KEEP_SECONDS:
                    keep.write(training.state())
                    kept = time.monotonic()
        finally:  # also where it was interrupted
            if training.done and training.whole:
                keep.write(training.state())
    return training.state()


def _augmented(subject: Subject, options: Curve) -> Callable[[int], tuple[Tensor, Tensor]] | None:
    """Return mini-batches augmented as in training, where that was augmented and its split is trained on."""
    augmentation = augmentation_of(subject.dataset, subject.checkpoint)
    if augmentation is None or options.splits[0] != "train":
        return None
    size = subset_size(options.train_subset)
    labels = subject.dataset.splits["train"].labels
    places = slice(None) if size is None else stratified_subset(labels, size, options.seed)
    at = AugmentedBatches(subject.dataset, places, augmentation, size=options.batch_size, seed=options.seed)

    def batch(step: int) -> tuple[Tensor, Tensor]:
        inputs, found = at(step)
        return inputs, subject.targets(found)

    return batch


def _curve_place(
    ends: tuple[Subject, ...], options: Surface, control: Mapping[str, Tensor], training: Mapping[str, Any]
) -> Place:
    def make(objective: Objective, recipe: Mapping[str, Any] | None) -> Plane:
        curve = curve_through(objective, ends[1].state, control)
        return dataclasses.replace(curve, recipe={**curve.recipe, "training": dict(training)})

    identity = {"directions": "bezier", "other": ends[1].sha256, **training}
    return Place(ends, "curve", options, "recalibrated", identity, make, is_line=True, extent=((0, 1), (0, 0)))


def _plane_place(
    ends: tuple[Subject, ...], options: Surface, control: Mapping[str, Tensor], training: Mapping[str, Any]
) -> Place:
    first, second = ends
    placed = triangle(moving_parameters(first.model, options.params), second.state, control)

    def make(objective: Objective, recipe: Mapping[str, Any] | None) -> Plane:
        third = control_state(objective, curve_through(objective, second.state, control))
        labels = [first.label, second.label, "control point"]
        same = placed if recipe is None else Triangle.of_recipe(recipe)
        return plane_through(objective, second.state, third, labels=labels, placed=same)

    identity = {"directions": "three", "other": second.sha256, "curve": dict(training)}
    return Place(ends, "curve-plane", options, "recalibrated", identity, make, is_line=False, extent=placed.extent)


def _surface(options: Curve, **more: Any) -> Surface:
    """Return the options of a surface command for the same analysis."""
    fields = {field.name: getattr(options, field.name) for field in dataclasses.fields(AnalysisOptions)}
    return Surface(**{**fields, **more})


def _analysis(options: Curve) -> AnalysisOptions:
    return AnalysisOptions(
        **{field.name: getattr(options, field.name) for field in dataclasses.fields(AnalysisOptions)}
    )
