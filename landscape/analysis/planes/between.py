"""The line between two models, and the plane through three."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from landscape.analysis.objective.objective import Objective
from landscape.analysis.objective.weights import Weights, dot
from landscape.analysis.planes.plane import Extent, Plane, combined, make_plane
from landscape.errors import LandscapeError

UNIT = "the distance between the first two checkpoints"


def line_between(objective: Objective, other: Mapping[str, Tensor]) -> Plane:
    """Return the line from the objective's weights (α = 0) to another state dict of the same model (α = 1).

    Raises:
        LandscapeError: if the other state lacks a parameter or has another shape.
    """
    buffers = [kept_buffers(objective), kept_buffers(objective, other)]
    recipe = {"kind": "between", "connection": "straight line", "unit": UNIT}
    line = make_plane(objective.origin, [difference(objective.origin, other)], recipe)
    return dataclasses.replace(line, ends=tuple(buffers), shares=((1.0,),), extent=((0.0, 1.0), (0.0, 0.0)))


@dataclass(frozen=True)
class Triangle:
    """Positions of three models on the plane through them, in units of the distance from the first to the second.

    The first is at (0, 0), the second at (1, 0), and the third on the upper half.
    """

    third: tuple[float, float]  # (α, β), β > 0
    coefficients: tuple[
        tuple[float, float], tuple[float, float]
    ]  # of each direction, on (second − first, third − first)

    @classmethod
    def of_recipe(cls, recipe: Mapping[str, Any]) -> Triangle:
        """Return the geometry that a plane's recipe holds."""
        (a, b), (c, d) = recipe["coefficients"]
        x, y = recipe["third"]
        return cls((x, y), ((a, b), (c, d)))

    @property
    def extent(self) -> Extent:
        """Interval along each direction that the axes should cover."""
        (x, y) = self.third
        return (min(0.0, x), max(1.0, x)), (0.0, y)


def triangle(first: Weights, second: Mapping[str, Tensor], third: Mapping[str, Tensor]) -> Triangle:
    """Return the geometry of three models of the same architecture, by Gram and Schmidt in float64.

    Raises:
        LandscapeError: if they lie on a line, or differ in names or shapes.
    """
    ab, ac = difference(first, second), difference(first, third)
    aa, bb, cross = dot(ab, ab), dot(ac, ac), dot(ab, ac)
    height = bb - cross * cross / aa if aa > 0 else 0.0
    if height <= 1e-12 * bb:
        raise LandscapeError("the three checkpoints lie on a line in weight space; a plane needs three that do not")
    x, y = cross / aa, math.sqrt(height / aa)
    return Triangle((x, y), ((1.0, 0.0), (-x / y, 1 / y)))


def plane_through(
    objective: Objective,
    second: Mapping[str, Tensor],
    third: Mapping[str, Tensor],
    *,
    labels: Sequence[str] = ("first", "second", "third"),
    placed: Triangle | None = None,
) -> Plane:
    """Return the plane through the objective's weights and two other state dicts of the same model.

    The first direction leads to the second model, which is at (1, 0); the other is orthogonal to it and as long, so
    that distances on the plane are those in weight space, in units of the distance from the first to the second.

    Args:
        objective: the first model, at the origin.
        second: state dict at (1, 0).
        third: state dict with β > 0.
        labels: of the three, for their marks.
        placed: their geometry as found before, so that the directions are the same to the bit.

    Raises:
        LandscapeError: if they lie on a line, or differ in names or shapes.
    """
    placed = placed or triangle(objective.origin, second, third)
    steps = [difference(objective.origin, state) for state in (second, third)]
    directions = [combined(row, steps, objective.origin) for row in placed.coefficients]
    recipe = {"kind": "three", "unit": UNIT, "coefficients": [list(row) for row in placed.coefficients]}
    places = zip(labels, ((0.0, 0.0), (1.0, 0.0), placed.third), strict=True)
    return dataclasses.replace(
        make_plane(objective.origin, directions, {**recipe, "third": list(placed.third)}),
        ends=(kept_buffers(objective), kept_buffers(objective, second), kept_buffers(objective, third)),
        shares=placed.coefficients,
        extent=placed.extent,
        marks=tuple({"label": label, "alpha": x, "beta": y} for label, (x, y) in places),
    )


def difference(origin: Weights, other: Mapping[str, Tensor]) -> Weights:
    """Return other − origin over the parameters of `origin`.

    Raises:
        LandscapeError: if the other state lacks a parameter or has another shape.
    """
    check_same(origin, other)
    return {name: other[name].to(w) - w for name, w in origin.items()}


def kept_buffers(objective: Objective, other: Mapping[str, Tensor] | None = None) -> Weights:
    """Return the buffers that are part of the model's state: its own, or those of another state dict.

    Raises:
        LandscapeError: if the other state lacks a buffer or has another shape.
    """
    kept = objective.network.module.state_dict().keys()
    own = {name: buffer for name, buffer in objective.network.buffers.items() if name in kept}
    if other is None:
        return own
    check_same(own, other)
    return {name: other[name].to(buffer) for name, buffer in own.items()}


def check_same(own: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> None:
    """Check that another state dict has these tensors.

    Raises:
        LandscapeError: if it lacks one or has another shape.
    """
    for name, tensor in own.items():
        if name not in other or other[name].shape != tensor.shape:
            found = tuple(other[name].shape) if name in other else "nothing"
            raise LandscapeError(
                f"the two models differ: {name} is {tuple(tensor.shape)} in the first and {found} in the second"
            )
