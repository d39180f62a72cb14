"""Base of the measurements on a line or a plane."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

from landscape.analysis.objective.model.batchnorm import BatchNormMode
from landscape.analysis.surfaces.grids.axes import Axes
from landscape.analysis.surfaces.grids.grid import Coordinates
from landscape.workflow.measurement import Measurement, R, Source
from landscape.workflow.planes import PlaneSpec, RandomPlane


class OnPlane(Measurement[R]):
    """A measurement at the points of a plane; a subclass is a dataclass with these fields."""

    plane: PlaneSpec | None
    batchnorm: BatchNormMode | None
    seed: int

    @property
    @abstractmethod
    def grid(self) -> Axes:
        """Axes of the points."""

    @property
    def spec(self) -> PlaneSpec:
        """Kind of plane; two random directions by default."""
        return self.plane or RandomPlane(seed=self.seed)

    @property
    def mode(self) -> BatchNormMode:
        """Mode of the BatchNorm statistics; the plane's default if none is given."""
        return self.batchnorm or self.spec.batchnorm

    def label(self, source: Source) -> str:
        """Return the label of all the weights that the plane goes through."""
        return self.spec.label(source)

    def attributes(self, source: Source) -> dict[str, Any]:
        """Return the checkpoints that the plane goes through."""
        return {
            "checkpoint": self.label(source),
            "checkpoints": self.spec.checkpoints(source),
            **self.spec.attributes(),
            **source.calibration(self.mode),
        }

    def identity(self, source: Source) -> dict[str, Any]:
        """Return the settings, and the examples that BatchNorm is recalibrated on."""
        return {**super().identity(source), **source.calibration(self.mode)}

    def _coordinates(self) -> Coordinates:
        spec = self.spec
        return self.grid.coordinates(is_line=spec.is_line, extent=spec.extent, margin=spec.margin)
