"""Lines, curves and planes between several sets of weights."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from torch import Tensor

from landscape.analysis.connectivity.barrier import barriers
from landscape.analysis.connectivity.bezier import control_state, curve_through
from landscape.analysis.objective.model.batchnorm import BatchNormMode
from landscape.analysis.objective.objective import Objective
from landscape.analysis.planes import Extent, Plane, Triangle, line_between, plane_through
from landscape.results import LineResult
from landscape.workflow.measurement import Source
from landscape.workflow.planes.spec import PlaneSpec


@dataclass(frozen=True)
class Weights:
    """Another set of weights of the same architecture, such as the other end of a `LineBetween`.

    >>> import torch, landscape
    >>> landscape.Weights("adam", sha256="...", state=torch.nn.Linear(2, 1).state_dict()).label
    'adam'

    Args:
        label: its name.
        sha256: of its file.
        state: parameters and buffers.
        source: with data, if their recorded loss is to be reproduced.
    """

    label: str
    sha256: str
    state: Mapping[str, Tensor] = field(repr=False)
    source: Source | None = field(default=None, repr=False)


@dataclass(frozen=True)
class _ThroughOthers(PlaneSpec):
    """A plane through the source's weights and others."""

    batchnorm: ClassVar[BatchNormMode] = "recalibrated"

    @property
    def others(self) -> Sequence[Weights]:
        """The other weights, in order."""
        raise NotImplementedError

    def label(self, source: Source) -> str:
        """Return the labels of all weights, joined."""
        return "..".join([source.label, *(other.label for other in self.others)])

    def sources(self, source: Source) -> Sequence[Source]:
        """Return the sources of all weights, the source's own first."""
        return [source, *(other.source for other in self.others if other.source is not None)]

    def checkpoints(self, source: Source) -> list[dict[str, str]]:
        """Return all checkpoints, the source's first."""
        return [
            *super().checkpoints(source),
            *({"label": other.label, "sha256": other.sha256} for other in self.others),
        ]


@dataclass(frozen=True)
class LineBetween(_ThroughOthers):
    """The straight line from the source's weights (at 0) to others (at 1).

    >>> import torch, landscape
    >>> other = landscape.Weights("adam", sha256="...", state=torch.nn.Linear(2, 1).state_dict())
    >>> landscape.Surface(plane=landscape.LineBetween(other)).name
    'between'

    Args:
        other: the weights at 1.
    """

    name = "between"
    is_line = True

    other: Weights

    @property
    def others(self) -> Sequence[Weights]:
        """The other end."""
        return (self.other,)

    @property
    def extent(self) -> Extent:
        """From 0 to 1."""
        return (0, 1), (0, 0)

    def identity(self) -> dict[str, Any]:
        """Return the hash of the other end."""
        return {"directions": "between", "other": self.other.sha256}

    def make(self, objective: Objective, provenance: Mapping[str, Any] | None) -> Plane:
        """Return the line."""
        return line_between(objective, self.other.state)

    def read_off(self, objective: Objective, plane: Plane, line: LineResult) -> dict[str, Any]:
        """Return the barrier, if both ends are measured."""
        return {"barrier": barriers(objective, plane, line)} if {0.0, 1.0} <= set(line.alpha.tolist()) else {}


@dataclass(frozen=True)
class BezierCurve(LineBetween):
    """A trained quadratic Bézier curve between two sets of weights (Garipov et al. 2018, arXiv:1802.10026).

    Args:
        other: the weights at t = 1.
        control: parameters of the control point.
        training: how it was trained, JSON-able.
    """

    name = "curve"

    control: Mapping[str, Tensor] = field(default_factory=dict, repr=False)
    training: Mapping[str, Any] = field(default_factory=dict)

    def identity(self) -> dict[str, Any]:
        """Return the hash of the other end and how the curve was trained."""
        return {"directions": "bezier", "other": self.other.sha256, **self.training}

    def make(self, objective: Objective, provenance: Mapping[str, Any] | None) -> Plane:
        """Return the curve."""
        curve = curve_through(objective, self.other.state, self.control)
        return dataclasses.replace(curve, provenance={**curve.provenance, "training": dict(self.training)})


@dataclass(frozen=True)
class PlaneThrough(_ThroughOthers):
    """The plane through the source's weights and two others; distances on it are those in weight space.

    Args:
        label_of_first: name of the source's weights, which lie at the origin.
        second: weights at (1, 0).
        third: weights on the upper half.
        triangle: positions of the three, from `landscape.analysis.planes.triangle`.
    """

    name = "through"
    is_line = False

    label_of_first: str
    second: Weights
    third: Weights
    triangle: Triangle

    @property
    def others(self) -> Sequence[Weights]:
        """The second and the third weights."""
        return self.second, self.third

    @property
    def extent(self) -> Extent:
        """The extent of the three points."""
        return self.triangle.extent

    def identity(self) -> dict[str, Any]:
        """Return the hashes of the others."""
        return {"directions": "three", "other": self.second.sha256, "third": self.third.sha256}

    def make(self, objective: Objective, provenance: Mapping[str, Any] | None) -> Plane:
        """Return the plane."""
        return plane_through(
            objective,
            self.second.state,
            self.third_state(objective),
            labels=[self.label_of_first, self.second.label, self.third.label],
            geometry=self.triangle if provenance is None else Triangle.from_provenance(provenance),
        )

    def third_state(self, objective: Objective) -> Mapping[str, Tensor]:
        """Return the third weights."""
        return self.third.state


@dataclass(frozen=True)
class CurvePlane(PlaneThrough):
    """The plane of a Bézier curve: through both its ends and its control point.

    Args:
        curve: the trained curve.
    """

    name = "curve-plane"

    curve: BezierCurve

    @property
    def others(self) -> Sequence[Weights]:
        """The other end of the curve."""
        return (self.second,)

    def identity(self) -> dict[str, Any]:
        """Return the hash of the other end and how the curve was trained."""
        return {"directions": "three", "other": self.second.sha256, "curve": dict(self.curve.training)}

    def third_state(self, objective: Objective) -> Mapping[str, Tensor]:
        """Return the control point, with buffers."""
        return control_state(objective, curve_through(objective, self.second.state, self.curve.control))
