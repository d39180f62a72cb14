"""A curve between two models: a quadratic Bézier curve with one control point (Garipov et al. 2018)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from landscape.analysis.objective.model.batchnorm import blended_buffers
from landscape.analysis.objective.objective import Objective
from landscape.analysis.objective.weights import Weights, digest, displaced, norm
from landscape.analysis.planes.between import UNIT, difference, state_buffers
from landscape.analysis.planes.plane import Plane
from landscape.errors import LandscapeError
from landscape.results import TrajectoryResult


@dataclass(frozen=True)
class Curve(Plane):
    """φ(t) = (1−t)² w₀ + 2t(1−t) θ + t² w₁ (Garipov et al. 2018, arXiv:1802.10026, section 3.3), with t as α.

    Its directions are w₁ − w₀ and the bend θ − (w₀ + w₁)/2: φ(t) = w₀ + t (w₁ − w₀) + 2t(1−t) bend.

    >>> import torch
    >>> curve = Curve({"w": torch.zeros(1)}, ({"w": torch.tensor([1.0])}, {"w": torch.tensor([2.0])}))
    >>> curve.at(0.5)["w"].item(), curve.control["w"].item()
    (1.5, 2.5)
    """

    @property
    def is_line(self) -> bool:
        """True: points have one coordinate, t."""
        return True

    def steps(self, alpha: float, beta: float = 0.0) -> tuple[float, ...]:
        """Return the coordinates of a point along the line and along the bend."""
        return (alpha, 2 * alpha * (1 - alpha))

    @property
    def control(self) -> Weights:
        """The control point θ."""
        line, bend = self.directions
        return displaced(self.origin, [(0.5, line), (1.0, bend)])


def curve_through(objective: Objective, other: Mapping[str, Tensor], control: Mapping[str, Tensor]) -> Curve:
    """Return the Bézier curve from the objective's weights (t = 0) to another state dict (t = 1).

    Args:
        objective: its weights are the end at t = 0.
        other: state dict of the end at t = 1.
        control: parameters of the control point.

    Raises:
        LandscapeError: if a state lacks a parameter or has another shape.
    """
    line, to_control = difference(objective.origin, other), difference(objective.origin, control)
    bend = {name: step - 0.5 * line[name] for name, step in to_control.items()}
    directions = (line, bend)
    provenance = {
        "kind": "bezier",
        "connection": "curve",
        "unit": UNIT,
        "hashes": [digest(direction) for direction in directions],
        "norms": [norm(direction) for direction in directions],
    }
    buffers = (state_buffers(objective), state_buffers(objective, other))
    extent = ((0.0, 1.0), (0.0, 0.0))
    return Curve(objective.origin, directions, provenance, buffers, barycentric=((1.0,),), extent=extent)


def control_state(objective: Objective, curve: Curve) -> dict[str, Tensor]:
    """Return a state dict of the control point, with buffers half way between those of the ends."""
    state = objective.network.module.state_dict()
    fixed = {name: tensor.detach() for name, tensor in state.items() if name not in curve.origin}
    return {**fixed, **blended_buffers(curve.endpoint_buffers, (0.5, 0.5)), **curve.control}


def curve_path(provenance: Mapping[str, Any], *, points: int = 51) -> TrajectoryResult:
    """Return a Bézier curve as a path on the plane through its ends and its control point.

    >>> curve_path({"third": [0.5, 1.0], "norms": [2.0, 2.0]}, points=3).beta.tolist()
    [0.0, 0.5, 0.0]

    Args:
        provenance: of the plane from `plane_through`, with the control point as the third model.
        points: number of points along the curve, evenly spaced in t.

    Raises:
        LandscapeError: for a plane that is not through three models, or fewer than two points.
    """
    if "third" not in provenance or points < 2:
        raise LandscapeError(
            "a curve is drawn on the plane through its ends and its control point, by two points or more"
        )
    t = np.linspace(0.0, 1.0, points)
    x, y = provenance["third"]
    alpha, beta = 2 * t * (1 - t) * x + t * t, 2 * t * (1 - t) * y
    distances = np.hypot(alpha, beta) * provenance["norms"][0]
    attributes = {"directions": dict(provenance), "position": "t"}
    return TrajectoryResult(alpha, beta, t, np.zeros(points), distances, np.zeros(0), attributes)
