"""The plane of a training run's two principal components."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from landscape.analysis.objective.model.batchnorm import BatchNormMode
from landscape.analysis.objective.objective import Objective
from landscape.analysis.planes import Extent, Plane
from landscape.analysis.planes.pca import rebuild_plane
from landscape.analysis.planes.snapshots import Snapshots
from landscape.results import TrajectoryResult
from landscape.workflow.planes.spec import PlaneSpec


@dataclass(frozen=True)
class PcaPlane(PlaneSpec):
    """The plane of a training trajectory's first two principal components (Li et al. 2018, section 7).

    Args:
        snapshots: weights along the run.
        digest: SHA-256 over the snapshots' files, in order.
        trajectory: the run projected on the plane.
    """

    name = "pca"
    is_line = False

    snapshots: Snapshots = field(repr=False)
    digest: str
    trajectory: TrajectoryResult = field(repr=False)

    batchnorm: ClassVar[BatchNormMode] = "recalibrated"

    @property
    def extent(self) -> Extent:
        """The extent of the trajectory and of the origin."""
        x, y = self.trajectory.alpha, self.trajectory.beta
        return (
            (min(0.0, float(x.min())), max(0.0, float(x.max()))),
            (min(0.0, float(y.min())), max(0.0, float(y.max()))),
        )

    def identity(self) -> dict[str, Any]:
        """Return the hash of the snapshots."""
        return {"directions": "pca", "snapshots": self.digest}

    def make(self, objective: Objective, provenance: Mapping[str, Any] | None) -> Plane:
        """Return the plane."""
        return rebuild_plane(objective.origin, self.snapshots, provenance or self.trajectory.attributes["directions"])
