"""From options to planes: each line or plane that a command measures on, in each BatchNorm mode."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from landscape.analysis.objective.model.batchnorm import MODES, BatchNormMode
from landscape.analysis.objective.model.parameters import moving_parameters
from landscape.analysis.planes import triangle
from landscape.cli.options.analysis import AnalysisOptions
from landscape.cli.options.planes import PlaneOptions, is_line, kind_of, snapshots_named
from landscape.errors import LandscapeError
from landscape.workflow.measurements.snapshots.trajectory import Trajectory, snapshots_of
from landscape.workflow.planes import LineBetween, PcaPlane, PlaneAlong, PlaneSpec, PlaneThrough, RandomPlane, Weights
from landscape.workflow.planes.along import parse_directions
from landscape.workflow.planes.spec import seed_suffix
from landscape.workflow.runner import Runner
from landscape.workflow.sources.loaded_model import LoadedModel


@dataclass(frozen=True)
class ChosenPlane:
    """A plane in one BatchNorm mode.

    Args:
        spec: kind of plane.
        batchnorm: mode of the statistics.
        name: of the result, if the user gave one.
        suffix: of its default name.
    """

    spec: PlaneSpec
    batchnorm: BatchNormMode
    name: str | None
    suffix: str


def chosen_planes(
    runner: Runner, models: Sequence[LoadedModel], options: AnalysisOptions, planes: PlaneOptions
) -> Iterator[tuple[LoadedModel, ChosenPlane]]:
    """Yield the planes of a command: one per group of checkpoints, direction seed and BatchNorm mode.

    Args:
        runner: of the analysis file.
        models: the checkpoints.
        options: of the analysis.
        planes: which directions.

    Raises:
        LandscapeError: for options that do not fit the checkpoints.
    """
    modes = modes_of(options.batchnorm)
    for model, spec in _specs(runner, models, options, planes):
        for mode in modes or [spec.batchnorm]:
            suffix = "" if len(modes) < 2 or mode == spec.batchnorm else f"-{mode}"
            family = seed_suffix(spec.seed, spec.family) if isinstance(spec, RandomPlane | PlaneAlong) else ""
            name = None if options.name is None else f"{options.name}{family}{suffix}"
            yield model, ChosenPlane(spec, mode, name, suffix)


def _specs(
    runner: Runner, models: Sequence[LoadedModel], options: AnalysisOptions, planes: PlaneOptions
) -> Iterator[tuple[LoadedModel, PlaneSpec]]:
    kind = kind_of(planes)
    if kind == "between":
        yield models[0], LineBetween(_weights(models[1]))
        return
    if kind == "through":
        first, second, third = models
        placed = triangle(moving_parameters(first.model, options.params), second.state, third.state)
        yield first, PlaneThrough(first.label, _weights(second), _weights(third), placed)
        return
    for model in models:
        if kind == "pca":
            trajectory = Trajectory(snapshots_of(model, snapshots_named(planes)))
            _, projected = runner.measure(trajectory, model)
            yield model, PcaPlane(trajectory.snapshots, trajectory.digest, projected)
            continue
        for seed in planes.seeds or (None,):
            yield model, _around(runner, model, options, planes, seed)


def _around(
    runner: Runner, model: LoadedModel, options: AnalysisOptions, planes: PlaneOptions, seed: int | None
) -> PlaneSpec:
    """Return the plane around one checkpoint, as one of a family over seeds if there is a seed."""
    drawn = options.seed if seed is None else seed
    if kind_of(planes) is None:
        names = list(moving_parameters(model.model, options.params))
        directions = parse_directions(planes.plane, names)
        single: PlaneAlong | RandomPlane = PlaneAlong(
            directions,
            model,
            runner.file.path,
            drawn,
            planes.normalization,
            reporter=runner.reporter,
        )
    else:
        single = RandomPlane(drawn, is_line(planes), planes.normalization)
    return single if seed is None else dataclasses.replace(single, family=options.name or single.name)


def _weights(model: LoadedModel) -> Weights:
    return Weights(model.label, model.sha256, model.state, model)


def modes_of(batchnorm: str) -> list[BatchNormMode]:
    """Return the BatchNorm modes asked for; none for "auto".

    Raises:
        LandscapeError: for unknown modes, or one given twice.
    """
    names = batchnorm.split(",")
    if names == ["auto"]:
        return []
    modes = [mode for name in names for mode in MODES if mode == name.strip()]
    if len(modes) < len(names) or len(set(modes)) < len(modes):
        raise LandscapeError(f"got --batchnorm {batchnorm}; expected auto, or some of {', '.join(MODES)}, each once")
    return modes
