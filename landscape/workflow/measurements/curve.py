"""A trained curve of low loss between two checkpoints: training that resumes, and the surfaces measured on it."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from landscape.analysis.connectivity.bezier import curve_path
from landscape.analysis.connectivity.curve_training import CurveSettings, CurveTraining
from landscape.analysis.objective.model.parameters import moving_parameters
from landscape.analysis.planes import triangle
from landscape.analysis.surfaces.grids.axes import Axes
from landscape.data import stratified_subset
from landscape.results import Result, with_attributes
from landscape.workflow.measurements.surface import Surface
from landscape.workflow.planes import BezierCurve, CurvePlane, LineBetween, Weights
from landscape.workflow.runner import Runner
from landscape.workflow.sources.calibration import AugmentedBatches, augmentation_of
from landscape.workflow.sources.loaded_model import LoadedModel
from landscape.workflow.vectors import VectorFile, vector_file

SAVE_SECONDS = 30.0  # of training that a kill can cost

_OF_PATH = ("checkpoint", "checkpoints", "model", "data", "command", "created")


@dataclass(frozen=True)
class CurveTrainingOptions(CurveSettings):
    """Settings of the training of the control point, and the number of training examples; all if None."""

    examples: int | None = None


def measure_curve(
    runner: Runner,
    first: LoadedModel,
    second: LoadedModel,
    training: CurveTrainingOptions,
    surface: Surface,
    *,
    plane_points: tuple[int, int] | None = None,
    name: str | None = None,
) -> dict[str, Result]:
    """Return the loss along the straight line and the trained curve, the plane of both, and the curve on it.

    Args:
        runner: of the analysis file.
        first: weights at t = 0.
        second: weights at t = 1.
        training: of the curve.
        surface: options of the line and the curve; its plane is replaced.
        plane_points: (x, y) counts of the plane; None for no plane.
        name: of the curve's result.
    """
    other = Weights(second.label, second.sha256, second.state, second)
    line = runner.prepare(dataclasses.replace(surface, plane=LineBetween(other)), first)  # may refuse before training
    curve = train_curve(runner, first, other, training)
    along = runner.prepare(dataclasses.replace(surface, plane=curve), first, name=name)
    lines = runner.run_all([line, along])
    results: dict[str, Result] = {}
    results.update(lines)
    if plane_points is None:
        return results
    origin = moving_parameters(first.model, first.sample.params)
    placed = triangle(origin, other.state, curve.control)
    control = Weights("control point", "", curve.control)
    plane = CurvePlane(first.label, other, control, placed, curve)
    key, measured = runner.measure(
        dataclasses.replace(surface, plane=plane, axes=Axes(plane_points)),
        first,
        name=None if name is None else f"{name}-plane",
    )
    results[key] = measured
    path = with_attributes(
        curve_path(measured.attributes["directions"]),
        **{name: measured.attributes[name] for name in _OF_PATH if name in measured.attributes},
    )
    stored = runner.file.results.get(f"{along.key}-path")
    if stored is None or stored.attributes != path.attributes:
        runner.file.put(f"{along.key}-path", path)
    results[f"{along.key}-path"] = path
    return results


def train_curve(runner: Runner, first: LoadedModel, other: Weights, options: CurveTrainingOptions) -> BezierCurve:
    """Return the trained curve; the control point is kept in a file beside the results, during training too."""
    sample = dataclasses.replace(first.sample, size=options.examples, splits=first.sample.splits[:1])
    model = dataclasses.replace(first, sample=sample)
    recipe = {"steps": options.steps, "batch_size": options.batch_size, "learning_rate": options.learning_rate}
    code = {"code": dict(model.code)} if model.code else {}
    file = vector_file(
        runner.file.path,
        f"{first.label}..{other.label}-curve",
        {**model.identity(), "other": other.sha256, **recipe, **code},
        hashed=True,
    )
    stored = file.read()
    state: Mapping[str, Tensor] | None = None if stored is None else stored[0]
    if state is None or len(state["losses"]) < options.steps:
        state = _train(runner, file, state, model, other, options)
    else:
        runner.reporter.say(f"the curve is already in {file.path} with these settings")
    split = sample.splits[0]
    available = len(model.dataset.splits[split].labels)
    training: dict[str, Any] = {
        **recipe,
        "seed": options.seed,
        "split": split,
        "examples": min(options.examples or available, available),
        "augmented": split == "train" and augmentation_of(model.dataset, model.checkpoint) is not None,
        "file": file.path.name,
    }
    control = {key.removeprefix("control/"): w for key, w in state.items() if key.startswith("control/")}
    return BezierCurve(other, control, training)


def _train(
    runner: Runner,
    file: VectorFile,
    state: Mapping[str, Tensor] | None,
    model: LoadedModel,
    other: Weights,
    options: CurveTrainingOptions,
) -> Mapping[str, Tensor]:
    training = CurveTraining(
        model.objective(),
        other.state,
        options,
        batch_at=_augmented(model, options),
    )
    if state is not None:
        training.restore(state)
        runner.reporter.say(f"the curve: resumed after {training.done} of {options.steps} steps")
    saved = time.monotonic()
    with runner.reporter.progress("curve: steps", options.steps - training.done) as advance:
        try:
            while training.done < options.steps:
                loss = training.step()
                advance(1, f"loss {loss:.3g}")
                if time.monotonic() - saved > SAVE_SECONDS:
                    file.write(training.state())
                    saved = time.monotonic()
        finally:  # an interrupt included
            if training.done and training.whole:
                file.write(training.state())
    return training.state()


def _augmented(model: LoadedModel, options: CurveTrainingOptions) -> Callable[[int], tuple[Tensor, Tensor]] | None:
    """Return mini-batches augmented as in training; None if training did not augment, or for another split."""
    augmentation = augmentation_of(model.dataset, model.checkpoint)
    if augmentation is None or model.sample.splits[0] != "train":
        return None
    labels = model.dataset.splits["train"].labels
    chosen = slice(None) if options.examples is None else stratified_subset(labels, options.examples, options.seed)
    at = AugmentedBatches(model.dataset, chosen, augmentation, size=options.batch_size, seed=options.seed)

    def batch(step: int) -> tuple[Tensor, Tensor]:
        inputs, labels = at(step)
        return inputs, model.targets(labels)

    return batch
