"""A curve between two models: a quadratic Bézier curve with one control point (Garipov et al. 2018)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from landscape.analysis.objective.model.batchnorm import blended_buffers
from landscape.analysis.objective.objective import Objective
from landscape.analysis.objective.weights import Weights, digest, moved, norm
from landscape.analysis.planes.between import UNIT, difference, kept_buffers
from landscape.analysis.planes.plane import Plane
from landscape.errors import LandscapeError
from landscape.results import TrajectoryResult


@dataclass(frozen=True)
class Curve(Plane):
    """φ(t) = (1−t)² w₀ + 2t(1−t) θ + t² w₁ (arXiv:1802.10026, section 3.3), with t as α.

    Its directions are w₁ − w₀ and the bend θ − (w₀ + w₁)/2: φ(t) = w₀ + t (w₁ − w₀) + 2t(1−t) bend.
    """

    @property
    def is_line(self) -> bool:
        """Points have one coordinate, t."""
        return True

    def steps(self, alpha: float, beta: float = 0.0) -> tuple[float, ...]:
        """Return the coordinates of a point along the line and along the bend."""
        return (alpha, 2 * alpha * (1 - alpha))

    @property
    def control(self) -> Weights:
        """The control point θ."""
        line, bend = self.directions
        return moved(self.origin, [(0.5, line), (1.0, bend)])


def curve_through(objective: Objective, other: Mapping[str, Tensor], control: Mapping[str, Tensor]) -> Curve:
    """Return the Bézier curve from the objective's weights (t = 0) to another state dict (t = 1) by a control point.

    Raises:
        LandscapeError: if a state lacks a parameter or has another shape.
    """
    line, to_control = difference(objective.origin, other), difference(objective.origin, control)
    bend = {name: step - 0.5 * line[name] for name, step in to_control.items()}
    directions = (line, bend)
    recipe = {
        "kind": "bezier",
        "connection": "curve",
        "unit": UNIT,
        "hashes": [digest(direction) for direction in directions],
        "norms": [norm(direction) for direction in directions],
    }
    ends = (kept_buffers(objective), kept_buffers(objective, other))
    extent = ((0.0, 1.0), (0.0, 0.0))
    return Curve(objective.origin, directions, recipe, ends, shares=((1.0,),), extent=extent)


def control_state(objective: Objective, curve: Curve) -> dict[str, Tensor]:
    """Return a state dict of the control point: its buffers half way between the ends', for a plane through it."""
    kept = objective.network.module.state_dict()
    still = {name: tensor.detach() for name, tensor in kept.items() if name not in curve.origin}
    return {**still, **blended_buffers(curve.ends, (0.5, 0.5)), **curve.control}


def curve_path(recipe: Mapping[str, Any], *, points: int = 51) -> TrajectoryResult:
    """Return a Bézier curve as a path on the plane through its ends and its control point.

    Args:
        recipe: of `plane_through`, the control point the third.
        points: along the curve, evenly spaced in t.

    Raises:
        LandscapeError: for a plane of another kind, or fewer than two points.
    """
    if "third" not in recipe or points < 2:
        raise LandscapeError(
            "a curve is drawn on the plane through its ends and its control point, by two points or more"
        )
    t = np.linspace(0.0, 1.0, points)
    x, y = recipe["third"]
    alpha, beta = 2 * t * (1 - t) * x + t * t, 2 * t * (1 - t) * y
    distances = np.hypot(alpha, beta) * recipe["norms"][0]
    attributes = {"directions": dict(recipe), "position": "t"}
    return TrajectoryResult(alpha, beta, t, np.zeros(points), distances, np.zeros(0), attributes)
