"""`landscape trajectory`: a training run on the plane of its two principal components."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from landscape.cli.options.analysis import AnalysisOptions, default
from landscape.cli.terminal import console
from landscape.errors import LandscapeError
from landscape.stats import number_format

if TYPE_CHECKING:
    from landscape.analysis.objective.weights import Weights
    from landscape.analysis.planes import Extent, Plane
    from landscape.analysis.planes.snapshots import Snapshots
    from landscape.cli.jobs.loaded_model import Subject
    from landscape.results import TrajectoryResult
    from landscape.storage.analysis_file import AnalysisFile

SHOWN = 12  # snapshots in the table, evenly spaced


@dataclass(frozen=True)
class TrajectoryOptions:
    """Which run."""

    snapshots: Annotated[str | None, default("<checkpoint>-snapshots beside it", "DIR|A,B,...")] = None
    """Folder of the run's snapshots (landscape train --snapshots), or weight files in order."""
    centred: bool = False
    """Subtract the snapshots' mean before the analysis, as the code of Li et al. does."""


@dataclass(frozen=True)
class Trajectory(AnalysisOptions, TrajectoryOptions):
    """Project training runs onto the plane of their two principal components through the final weights.

    Tells how much of the variance the plane explains, and how far off it every snapshot lies. The loss on that plane is
    measured by landscape surface --pca.
    """

    def run(self) -> None:
        """Project, store, and print."""
        from landscape.cli.jobs.loaded_model import load_subjects
        from landscape.cli.jobs.result_names import closing, open_file

        if self.snapshots is not None and len(self.checkpoints) != 1:
            raise LandscapeError(f"--snapshots are of one run; got {len(self.checkpoints)} checkpoints")
        subjects = load_subjects(self)
        with open_file(self, subjects) as file:
            runs = {}
            for subject in subjects:
                run = run_of(file, subject, self, self.snapshots, centred=self.centred)
                runs[run.key] = run.trajectory
            if self.json:
                console.print_json({key: summary(trajectory) for key, trajectory in runs.items()})
            else:
                print_trajectories(runs)
            closing(file)


@dataclass(frozen=True)
class Run:
    """A training run that led to a checkpoint, and its trajectory."""

    key: str  # of the trajectory in the file
    snapshots: Snapshots
    digest: str  # of the snapshots' files, in order
    trajectory: TrajectoryResult

    @property
    def extent(self) -> Extent:
        """What axes should cover."""
        x, y = self.trajectory.alpha, self.trajectory.beta
        return (min(0.0, float(x.min())), max(0.0, float(x.max()))), (
            min(0.0, float(y.min())),
            max(0.0, float(y.max())),
        )

    def plane(self, origin: Weights, recipe: Mapping[str, Any] | None = None) -> Plane:
        """Return the plane through these weights; by the recipe of an earlier run where there is one."""
        from landscape.analysis.planes.pca import plane_again

        return plane_again(origin, self.snapshots, recipe or self.trajectory.attributes["directions"])


def run_of(
    file: AnalysisFile, subject: Subject, options: AnalysisOptions, source: str | None, *, centred: bool = False
) -> Run:
    """Return the run that led to a checkpoint, its trajectory in the file: found there, or computed and stored.

    Args:
        file: where results are.
        subject: the checkpoint at the end of the run.
        options: of the command.
        source: a folder of snapshots or files separated by commas; the folder beside the checkpoint by default.
        centred: as in `landscape.pca_plane`.
    """
    import dataclasses

    from landscape.analysis.objective.weights import moving_parameters
    from landscape.analysis.planes.pca import project
    from landscape.cli.jobs.fingerprint import confirm, stamp
    from landscape.cli.jobs.result_names import claim
    from landscape.results import TrajectoryResult
    from landscape.storage.analysis_file import with_attributes
    from landscape.storage.atomic_write import file_sha256

    snapshots = _snapshots(subject, source)
    digest = hashlib.sha256("".join(map(file_sha256, snapshots.paths)).encode()).hexdigest()
    settings = {
        "checkpoint": subject.sha256,
        "snapshots": digest,
        "params": subject.options.params,
        "centred": centred,
    }
    unnamed = dataclasses.replace(options, name=None)
    key, found = claim(file, subject.label, "trajectory", settings, unnamed, TrajectoryResult)
    objective = subject.objective()
    found = confirm(file, key, found, objective, subject.options)  # those of the command
    if found is None:
        origin = moving_parameters(subject.model, subject.options.params)
        _, trajectory = project(origin, snapshots, positions=snapshots.positions, centred=centred)
        found = with_attributes(
            trajectory,
            **subject.attributes(),
            params=subject.options.params,
            settings=settings,
            **stamp(objective, options),
            snapshots=[path.name for path in snapshots.paths],
            command=console.recorded_command(),
        )
        file.put(key, found)
    return Run(key, snapshots, digest, found)


def summary(trajectory: TrajectoryResult) -> dict[str, Any]:
    """Return a trajectory's numbers and provenance, JSON-able."""
    return {
        "position": trajectory.position,
        "alpha": trajectory.alpha,
        "beta": trajectory.beta,
        "residuals": trajectory.residuals,
        "distances": trajectory.distances,
        "explained": trajectory.explained,
        "attributes": dict(trajectory.attributes),
    }


def print_trajectories(runs: Mapping[str, TrajectoryResult]) -> None:
    """Print where the snapshots of each run lie, and what the plane explains."""
    import numpy as np

    for key, way in runs.items():
        shown = np.unique(np.linspace(0, len(way.position) - 1, SHOWN).round().astype(int))
        columns = (way.alpha, way.beta, way.residuals, way.distances)
        rows = [
            [number_format.setting(way.position[i]), *(number_format.number(float(column[i])) for column in columns)]
            for i in shown
        ]
        name = str(way.attributes.get("position", "epoch"))
        console.print_table(
            f"{key}: in weight space", [name, "along PC 1", "along PC 2", "off the plane", "distance"], rows
        )
        first, second = way.explained[:2]
        console.say(f"{key}: the plane explains {first + second:.1%} of the variance ({first:.1%} and {second:.1%})")


def _snapshots(subject: Subject, source: str | None) -> Snapshots:
    from landscape.analysis.planes.snapshots import Snapshots, find_snapshots
    from landscape.cli.options.analysis import expand

    names = subject.state.keys()
    if source is None:
        return find_snapshots(
            subject.path.with_name(f"{subject.path.stem}-snapshots"), names=names, key=subject.options.weights_key
        )
    paths = [expand(part.strip()) for part in source.split(",")]
    if len(paths) == 1:
        return find_snapshots(paths[0], names=names, key=subject.options.weights_key)
    return Snapshots(paths, names=names, key=subject.options.weights_key)
