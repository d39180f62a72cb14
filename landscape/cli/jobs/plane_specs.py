"""From options to planes: each plane or line to sample, what it is called, and how it is made."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from landscape.analysis.connectivity.barrier import barriers
from landscape.analysis.objective.batchnorm import MODES, BatchNormMode
from landscape.analysis.objective.objective import Objective
from landscape.analysis.objective.weights import moving_parameters
from landscape.analysis.planes import Extent, Plane, Triangle, line_between, plane_through, random_plane, triangle
from landscape.cli.jobs.along import Along, parse_along
from landscape.cli.jobs.calibration import calibration_words
from landscape.cli.jobs.loaded_model import Subject
from landscape.cli.options.planes import check_planes
from landscape.errors import LandscapeError
from landscape.results import LineResult, SurfaceResult
from landscape.stats.basin_width import basin_width
from landscape.storage.analysis_file import AnalysisFile

if TYPE_CHECKING:
    from landscape.cli.commands.surface import Surface as SurfaceOptions

Make = Callable[[Objective, Mapping[str, Any] | None], Plane]  # from the objective and the recipe of an earlier run


@dataclass(frozen=True)
class Place:
    """One plane or line to sample."""

    subjects: tuple[Subject, ...]
    base: str  # of the result's name
    options: SurfaceOptions  # those of the command, with the --name of this one
    batchnorm: BatchNormMode
    identity: Mapping[str, Any]  # what must be equal for another run to go on with this one
    make: Make
    is_line: bool
    extent: Extent | None = None  # what the axes should cover; None where the span says it
    attributes: Mapping[str, Any] = field(default_factory=dict)  # further ones of the result

    @property
    def label(self) -> str:
        """The checkpoints' names."""
        return "..".join(subject.label for subject in self.subjects)


def places(file: AnalysisFile, options: SurfaceOptions, subjects: Sequence[Subject]) -> list[Place]:
    """Return what a surface command samples: one place per group of checkpoints, direction seed and BatchNorm mode.

    Raises:
        LandscapeError: for options that contradict each other, or do not fit the checkpoints.
    """
    check_planes(options, len(subjects))
    groups = [tuple(subjects)] if options.between or options.through else [(subject,) for subject in subjects]
    return [each for group in groups for place in _of_group(file, options, group) for each in in_modes(place)]


def in_modes(place: Place) -> list[Place]:
    """Return the place in each BatchNorm mode asked for; with several, the modes are in the names, but for its own.

    Raises:
        LandscapeError: for modes that are none, or named twice.
    """
    found = []
    modes = _modes(place.options)
    for mode in modes or [place.batchnorm]:
        named = place if len(modes) < 2 or mode == place.batchnorm else _named(place, f"-{mode}")
        more = {}
        if mode == "recalibrated":
            more["calibration"] = calibration_words(place.subjects[0].dataset, place.subjects[0].checkpoint)
        identity, attributes = {**named.identity, **more}, {**named.attributes, **more}
        found.append(dataclasses.replace(named, batchnorm=mode, identity=identity, attributes=attributes))
    return found


def findings(place: Place, objective: Objective, plane: Plane, result: LineResult | SurfaceResult) -> dict[str, Any]:
    """Return what a finished result says beyond its points: a barrier between two models, a basin's width.

    Not where --alpha leaves out the points that it starts from, or the loss diverges at the centre.
    """
    if not isinstance(result, LineResult):
        return {}
    loss = dict(zip(result.alpha.tolist(), result.grid("loss")[0].tolist(), strict=True))
    if plane.recipe["kind"] in ("between", "bezier") and {0.0, 1.0} <= loss.keys():
        return {"barrier": barriers(objective, plane, result)}
    if plane.recipe["kind"] == "random" and math.isfinite(loss.get(0.0, math.nan)):
        return {"width": basin_width(result, rises=place.options.rises)}
    return {}


def _of_group(file: AnalysisFile, options: SurfaceOptions, group: tuple[Subject, ...]) -> Iterator[Place]:
    """Yield the places of one group of checkpoints, in their default BatchNorm mode."""
    if options.between:
        yield _between(options, group)
    elif options.through:
        yield _through(options, group)
    elif options.pca:
        yield _pca(file, options, group[0])
    elif options.along is not None:
        along = parse_along(file.path, options, group[0])
        yield from (_along(along, options, group[0], seed) for seed in (options.seeds or (None,)))
    else:
        yield from (_random(options, group[0], seed) for seed in (options.seeds or (None,)))


def _random(options: SurfaceOptions, subject: Subject, seed: int | None) -> Place:
    base = "line" if options.line else "plane"

    def make(objective: Objective, recipe: Mapping[str, Any] | None) -> Plane:
        return random_plane(
            objective,
            seed=options.seed if seed is None else seed,
            dimensions=1 if options.line else 2,
            normalization=options.normalization,
            one_dimensional=options.one_dimensional,
            orthogonal=options.orthogonal,
        )

    identity = {
        "directions": "random",
        "normalization": options.normalization,
        "one_dimensional": options.one_dimensional,
        "orthogonal": options.orthogonal,
    }
    return _seeded(Place((subject,), base, options, "fixed", identity, make, options.line), seed)


def _between(options: SurfaceOptions, group: tuple[Subject, ...]) -> Place:
    identity = {"directions": "between", "other": group[1].sha256}

    def make(objective: Objective, recipe: Mapping[str, Any] | None) -> Plane:
        return line_between(objective, group[1].state)

    return Place(group, "between", options, "recalibrated", identity, make, is_line=True, extent=((0, 1), (0, 0)))


def _through(options: SurfaceOptions, group: tuple[Subject, ...]) -> Place:
    first, second, third = group
    identity = {"directions": "three", "other": second.sha256, "third": third.sha256}
    placed = triangle(moving_parameters(first.model, options.params), second.state, third.state)

    def make(objective: Objective, recipe: Mapping[str, Any] | None) -> Plane:
        same = placed if recipe is None else Triangle.of_recipe(recipe)
        labels = [subject.label for subject in group]
        return plane_through(objective, second.state, third.state, labels=labels, placed=same)

    return Place(group, "through", options, "recalibrated", identity, make, is_line=False, extent=placed.extent)


def _pca(file: AnalysisFile, options: SurfaceOptions, subject: Subject) -> Place:
    from landscape.cli.commands.trajectory import run_of

    run = run_of(file, subject, dataclasses.replace(options, overwrite=False), options.snapshots)
    identity = {"directions": "pca", "snapshots": run.digest}

    def make(objective: Objective, recipe: Mapping[str, Any] | None) -> Plane:
        return run.plane(objective.origin, recipe)

    return Place((subject,), "pca", options, "recalibrated", identity, make, is_line=False, extent=run.extent)


def _along(along: Along, options: SurfaceOptions, subject: Subject, seed: int | None) -> Place:
    seed_used = options.seed if seed is None else seed

    def make(objective: Objective, recipe: Mapping[str, Any] | None) -> Plane:
        return along.plane(objective, seed_used)

    place = Place((subject,), along.base, options, "fixed", along.identity, make, along.is_line)
    return _seeded(place, seed)


def _seeded(place: Place, seed: int | None) -> Place:
    """Return the place as one of a family over seeds, where there are any."""
    if seed is None:
        return place
    return dataclasses.replace(
        _named(place, f"-d{seed}"),
        identity={**place.identity, "direction_seed": seed},
        attributes={"family": place.options.name or place.base},
    )


def _named(place: Place, suffix: str) -> Place:
    name = place.options.name
    options = place.options if name is None else dataclasses.replace(place.options, name=f"{name}{suffix}")
    return dataclasses.replace(place, base=f"{place.base}{suffix}", options=options)


def _modes(options: SurfaceOptions) -> list[BatchNormMode]:
    """Return the modes asked for; none for "auto"."""
    words = options.batchnorm.split(",")
    if words == ["auto"]:
        return []
    modes = [mode for word in words for mode in MODES if mode == word.strip()]
    if len(modes) < len(words) or len(set(modes)) < len(modes):
        raise LandscapeError(
            f"got --batchnorm {options.batchnorm}; expected auto, or some of {', '.join(MODES)}, each once"
        )
    return modes
