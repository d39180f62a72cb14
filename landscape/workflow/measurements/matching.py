"""Sharpness of training runs at equal train loss, between the snapshots around it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from landscape.analysis.planes.snapshots import Snapshots
from landscape.errors import LandscapeError
from landscape.results import SharpnessResult, with_attributes
from landscape.stats import number_format
from landscape.stats.comparison.matching import Crossing, interpolate_measures, last_crossing, lowest_common_loss
from landscape.workflow.measurements.sharpness import Sharpness
from landscape.workflow.measurements.snapshots.trajectory import snapshots_of
from landscape.workflow.runner import Runner
from landscape.workflow.sources.loaded_model import LoadedModel
from landscape.workflow.sources.snapshots import snapshot_model


@dataclass(frozen=True)
class MatchedRuns:
    """Training runs where they pass one train loss.

    Attributes:
        loss: the lowest train loss that all runs reach.
        epochs: position of each run there, between two snapshots, by label.
        sharpness: measures there.
        losses: train and test loss there, by split.
        accuracies: likewise, where the loss has an accuracy.
    """

    loss: float
    epochs: Mapping[str, float]
    sharpness: Mapping[str, SharpnessResult]
    losses: Mapping[str, Mapping[str, float]]
    accuracies: Mapping[str, Mapping[str, float]]


def match_runs(runner: Runner, models: Sequence[LoadedModel], measurement: Sharpness) -> MatchedRuns:
    """Measure runs where they last pass the lowest train loss that all reach, on the models' sample.

    Every quantity is linear in the train loss between the two snapshots around that place. Only these snapshots are
    measured, and stored as results of `<label>@<epoch>`; the others are evaluated.

    Args:
        runner: of the analysis file.
        models: last checkpoints of the runs, with `<checkpoint>-snapshots` beside each.
        measurement: measures to take.

    Raises:
        LandscapeError: for a run without snapshots, or one that is below the loss throughout.
    """
    snapshots = {model.label: snapshots_of(model) for model in models}
    trajectories: dict[str, list[float]] = {}
    with runner.reporter.progress("train losses of snapshots", sum(map(len, snapshots.values()))) as advance:
        for model in models:
            trajectories[model.label] = []
            for path, position in zip(snapshots[model.label].paths, snapshots[model.label].positions, strict=True):
                means = snapshot_model(model, path, position).objective(splits=("train",)).evaluate()
                trajectories[model.label].append(means["train"]["loss"].value)
                advance(1, model.label)
    level = lowest_common_loss(trajectories)
    crossings = {label: _crossing(label, losses, level) for label, losses in trajectories.items()}
    runner.reporter.say(f"train loss at which the runs are compared: {number_format.number(level)}")
    ends = {model.label: _ends(model, snapshots[model.label], crossings[model.label]) for model in models}
    wanted = {end.label: end for both in ends.values() for end in both}
    results = runner.measure_all([(measurement, end, None) for end in wanted.values()])
    measured = {label: result for label, (_, result) in zip(wanted, results, strict=True)}
    sharpness, losses, accuracies = {}, {}, {}
    for model in models:
        label, crossing, (first, second) = model.label, crossings[model.label], ends[model.label]
        matched = interpolate_measures(measured[first.label], measured[second.label], crossing)
        sharpness[label] = with_attributes(matched, **model.attributes())
        values = [end.objective(splits=("train", "test")).evaluate() for end in (first, second)]
        losses[label], accuracies[label] = (
            {
                split: crossing.interpolate(values[0][split][metric].value, values[1][split][metric].value)
                for split in values[0]
                if metric in values[0][split]
            }
            for metric in ("loss", "accuracy")
        )
    losses = {label: {**values, "train": level} for label, values in losses.items()}  # but for rounding
    epochs = {
        label: crossing.interpolate(*snapshots[label].positions[crossing.index : crossing.index + 2])
        for label, crossing in crossings.items()
    }
    return MatchedRuns(level, epochs, sharpness, losses, accuracies)


def _crossing(label: str, losses: Sequence[float], level: float) -> Crossing:
    crossing = last_crossing(losses, level)
    if crossing is None:
        raise LandscapeError(
            f"{label} has a train loss below {number_format.number(level)}, the lowest that all runs reach, at every "
            "snapshot; add snapshots of earlier epochs, or leave it out"
        )
    return crossing


def _ends(model: LoadedModel, snapshots: Snapshots, crossing: Crossing) -> tuple[LoadedModel, LoadedModel]:
    """Return the models of the snapshots around a crossing; one of them twice if the crossing is at it."""
    indices = [crossing.index + (crossing.fraction == 1.0), crossing.index + (crossing.fraction > 0.0)]
    ends = {i: snapshot_model(model, snapshots.paths[i], snapshots.positions[i]) for i in dict.fromkeys(indices)}
    return ends[indices[0]], ends[indices[1]]
