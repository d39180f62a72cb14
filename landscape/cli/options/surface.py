"""Options of `landscape surface`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from tyro.conf import arg

from landscape.cli.options.analysis import AnalysisOptions, OptionalNames, default
from landscape.cli.options.execution import ExecutionOptions
from landscape.cli.options.grid import RegionOptions
from landscape.cli.options.planes import PlaneOptions
from landscape.cli.options.snapshots import SnapshotOptions

GRADIENT_NORM = "gradient_norm"


@dataclass(frozen=True)
class PointOptions:
    """Quantities measured at each point, and their precision."""

    metrics: Annotated[OptionalNames, default("loss and accuracy")] = None
    """Also measure gradient_norm, or MODULE:FUNCTION or FILE.py:FUNCTION of (outputs, targets), a value per example."""
    tolerance: Annotated[float, arg(metavar="X")] = 0.0
    """Relative error that 95 % of the points may have, by held-out points; 0 is exact, 0.01 takes far fewer passes."""
    precision: Literal["auto", "float32", "bfloat16", "float64"] = "auto"
    """Of the forward passes; auto takes bfloat16 where it is measured to be faster and accurate enough."""

    @property
    def user_metrics(self) -> tuple[str, ...]:
        """The metrics that are functions of the user's."""
        return tuple(name for name in self.metrics or () if name != GRADIENT_NORM)


@dataclass(frozen=True)
class SurfaceOptions(AnalysisOptions, ExecutionOptions, SnapshotOptions, PointOptions, RegionOptions, PlaneOptions):
    """Plane, points and quantities of surfaces."""
