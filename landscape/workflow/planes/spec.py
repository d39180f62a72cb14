"""The protocol of a kind of plane: its axes, its default BatchNorm mode, and what is read off it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from landscape.analysis.objective.model.batchnorm import BatchNormMode
from landscape.analysis.objective.objective import Objective
from landscape.analysis.planes import Extent, Plane
from landscape.analysis.planes.axes import MARGIN
from landscape.results import LineResult
from landscape.workflow.measurement import Source


@dataclass(frozen=True)
class PlaneSpec(ABC):
    """A line or plane that can be made for any source; a subclass is one kind, a frozen dataclass of its options.

    The provenance of its planes may have entries for figures: "axes", a sentence on the meaning of the axes, and
    "connection", the form of a line from one checkpoint (0) to another (1), such as "straight line".

    >>> import landscape
    >>> isinstance(landscape.RandomPlane(seed=3), landscape.PlaneSpec)
    True
    """

    batchnorm: ClassVar[BatchNormMode] = "fixed"  # default mode of the statistics on planes of this kind

    @property
    @abstractmethod
    def name(self) -> str:
        """Default name of results on it."""

    @property
    @abstractmethod
    def is_line(self) -> bool:
        """True if points have one coordinate."""

    @abstractmethod
    def identity(self) -> dict[str, Any]:
        """Return the settings that equal planes share, JSON-able."""

    @abstractmethod
    def make(self, objective: Objective, provenance: Mapping[str, Any] | None) -> Plane:
        """Return the plane through the objective's weights, rebuilt from the provenance of an earlier run if given."""

    @property
    def extent(self) -> Extent | None:
        """Interval of known points along each direction, which axes cover; None if axes are `[-span, span]`."""
        return None

    @property
    def margin(self) -> float:
        """Default length of axes beyond the known points, as a share of their extent; none on lines."""
        return 0.0 if self.is_line else MARGIN

    def label(self, source: Source) -> str:
        """Return the first part of results' names: the label of the weights, or labels of several."""
        return source.label

    def sources(self, source: Source) -> Sequence[Source]:
        """Return all the weights that the plane goes through, as far as they are sources."""
        return [source]

    def checkpoints(self, source: Source) -> list[dict[str, str]]:
        """Return the checkpoints that the plane goes through."""
        return list(source.attributes()["checkpoints"])

    def attributes(self) -> dict[str, Any]:
        """Return further provenance of results on it."""
        return {}

    def read_off(self, objective: Objective, plane: Plane, line: LineResult) -> dict[str, Any]:
        """Return the findings of a measured line beyond its points: a barrier, a basin's width."""
        return {}


def plane_identity(plane: PlaneSpec, seed: int) -> dict[str, Any]:
    """Return the settings that equal planes of one measurement share, JSON-able.

    Args:
        plane: kind of plane.
        seed: of the measurement; a plane's own seed is added if it differs.
    """
    drawn = getattr(plane, "seed", seed)
    return {**({} if drawn == seed else {"direction_seed": drawn}), **plane.identity()}


def seed_suffix(seed: int, family: str | None) -> str:
    """Return the suffix that names of results over several seeds differ in."""
    return "" if family is None else f"-d{seed}"


def seed_identity(seed: int, family: str | None) -> dict[str, Any]:
    """Return the seed of the directions, if it is not that of the measurement."""
    return {} if family is None else {"direction_seed": seed}
