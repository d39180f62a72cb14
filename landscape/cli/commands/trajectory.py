"""`landscape trajectory`: a training run on the plane of its two principal components."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from landscape.cli.options.analysis import AnalysisOptions, default
from landscape.cli.terminal import console
from landscape.errors import LandscapeError


@dataclass(frozen=True)
class TrajectoryOptions:
    """Snapshots of the run."""

    snapshots: Annotated[str | None, default("<checkpoint>-snapshots beside it", "DIR|A,B,...")] = None
    """Folder of the run's snapshots (landscape train --snapshots), or weight files in order."""


@dataclass(frozen=True)
class TrajectoryCommand(AnalysisOptions, TrajectoryOptions):
    """Project training runs onto the plane of their two principal components through the final weights.

    Print the share of the variance that the plane explains, and the distance of every snapshot from it. The loss on
    that plane is measured by landscape surface --plane pca.
    """

    def run(self) -> None:
        """Project, store, and print."""
        from landscape.cli.requests.session import session
        from landscape.cli.tables.summary import summary
        from landscape.cli.tables.trajectory import print_trajectories
        from landscape.workflow.measurements.snapshots.trajectory import Trajectory, snapshots_of

        if self.snapshots is not None and len(self.checkpoints) != 1:
            raise LandscapeError(f"--snapshots are of one run; got {len(self.checkpoints)} checkpoints")
        with session(self) as opened:
            results = dict(
                opened.runner.measure(Trajectory(snapshots_of(model, self.snapshots)), model) for model in opened.models
            )
            if self.json:
                console.print_json({key: summary(result) for key, result in results.items()})
            else:
                print_trajectories(results)
