"""A training run on the plane of its two principal components, as a measurement."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from landscape.analysis.objective.objective import Objective
from landscape.analysis.planes.pca import project
from landscape.analysis.planes.snapshots import Snapshots, find_snapshots
from landscape.results import TrajectoryResult
from landscape.storage.atomic_write import file_sha256
from landscape.workflow.measurement import Keep, Measurement, Source
from landscape.workflow.sources.loaded_model import LoadedModel


@dataclass(frozen=True)
class Trajectory(Measurement[TrajectoryResult]):
    """A training run projected on the plane of its two principal components (Li et al. 2018, section 7).

    Args:
        snapshots: weights along the run.
        centred: subtract the snapshots' mean first, as the code of Li et al. does.
    """

    kind = TrajectoryResult
    name = "trajectory"

    snapshots: Snapshots = field(repr=False)
    centred: bool = False

    @cached_property
    def digest(self) -> str:
        """SHA-256 over the snapshots' files, in order."""
        return digest_of(self.snapshots)

    def settings(self) -> dict[str, Any]:
        """Return the hash of the snapshots."""
        return {"snapshots": self.digest, "centred": self.centred}

    def identity(self, source: Source) -> dict[str, Any]:
        """Return the hashes of weights and snapshots; the projection depends on no data."""
        identity = source.identity()
        return {"checkpoint": identity["checkpoint"], "params": identity["params"], **self.settings()}

    def attributes(self, source: Source) -> dict[str, Any]:
        """Return the names of the snapshots' files."""
        return {"params": source.identity()["params"], "snapshots": [path.name for path in self.snapshots.paths]}

    def sources(self, source: Source) -> Sequence[Source]:
        """Return none: the projection measures no loss."""
        return []

    def objective(self, source: Source) -> Objective:
        """Return the loss on the first split, for its weights."""
        return source.objective(first_split=True)

    def run(self, objective: Objective, stored: TrajectoryResult | None, keep: Keep) -> TrajectoryResult:
        """Return the projected run."""
        return project(objective.origin, self.snapshots, positions=self.snapshots.positions, centred=self.centred)[1]


def digest_of(snapshots: Snapshots) -> str:
    """Return the SHA-256 over the snapshots' files, in order."""
    return hashlib.sha256("".join(map(file_sha256, snapshots.paths)).encode()).hexdigest()


def snapshots_of(model: LoadedModel, source: str | None = None) -> Snapshots:
    """Return the snapshots of the run that led to a checkpoint.

    Args:
        model: the checkpoint.
        source: a folder, or weight files separated by commas; `<checkpoint>-snapshots` beside it by default.

    Raises:
        LandscapeError: for a folder that is missing or holds fewer than two.
    """
    names = model.state.keys()
    if source is None:
        return find_snapshots(model.path.with_name(f"{model.path.stem}-snapshots"), names=names)
    paths = [Path(part.strip()).expanduser() for part in source.split(",")]
    return find_snapshots(paths[0], names=names) if len(paths) == 1 else Snapshots(paths, names=names)
