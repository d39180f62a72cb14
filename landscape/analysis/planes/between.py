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
from landscape.analysis.planes.plane import Extent, Plane, linear_combination, make_plane
from landscape.errors import LandscapeError

UNIT = "the distance between the first two checkpoints"


def line_between(objective: Objective, other: Mapping[str, Tensor]) -> Plane:
    """Return the line from the objective's weights (α = 0) to another state dict of the same model (α = 1).

    >>> import torch, landscape
    >>> model, other = torch.nn.Linear(2, 1), torch.nn.Linear(2, 1)
    >>> objective = landscape.Objective(model, "mse", torch.eye(2), torch.ones(2, 1), device="cpu")
    >>> line = landscape.line_between(objective, other.state_dict())
    >>> torch.allclose(line.at(1.0)["weight"], other.weight)
    True

    Args:
        objective: its weights are the origin.
        other: state dict of the other end.

    Raises:
        LandscapeError: if the other state lacks a parameter or has another shape.
    """
    buffers = (state_buffers(objective), state_buffers(objective, other))
    provenance = {"kind": "between", "connection": "straight line", "unit": UNIT}
    line = make_plane(objective.origin, [difference(objective.origin, other)], provenance)
    extent = ((0.0, 1.0), (0.0, 0.0))
    return dataclasses.replace(line, endpoint_buffers=buffers, barycentric=((1.0,),), extent=extent)


@dataclass(frozen=True)
class Triangle:
    """Positions of three models on the plane through them, in units of the distance from the first to the second.

    The first is at (0, 0), the second at (1, 0), and the third above the line through both.

    >>> Triangle((0.5, 2.0), ((1.0, 0.0), (-0.25, 0.5))).extent
    ((0.0, 1.0), (0.0, 2.0))

    Attributes:
        third: (α, β) of the third, β > 0.
        coefficients: `[direction][difference]`, of the differences second − first and third − first.
    """

    third: tuple[float, float]
    coefficients: tuple[tuple[float, float], tuple[float, float]]

    @classmethod
    def from_provenance(cls, provenance: Mapping[str, Any]) -> Triangle:
        """Return the positions recorded in a plane's provenance."""
        (a, b), (c, d) = provenance["coefficients"]
        x, y = provenance["third"]
        return cls((x, y), ((a, b), (c, d)))

    @property
    def extent(self) -> Extent:
        """Interval along each direction that the axes should cover."""
        (x, y) = self.third
        return (min(0.0, x), max(1.0, x)), (0.0, y)


def triangle(first: Weights, second: Mapping[str, Tensor], third: Mapping[str, Tensor]) -> Triangle:
    """Return the positions of three models of the same architecture, by Gram-Schmidt in float64.

    >>> import torch
    >>> triangle({"w": torch.zeros(2)}, {"w": torch.tensor([2.0, 0.0])}, {"w": torch.tensor([1.0, 4.0])}).third
    (0.5, 2.0)

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
    geometry: Triangle | None = None,
) -> Plane:
    """Return the plane through the objective's weights and two other state dicts of the same model.

    The first direction leads to the second model, at (1, 0); the other is orthogonal to it and as long. Distances on
    the plane are those in weight space, in units of the distance from the first model to the second.

    >>> import torch, landscape
    >>> a, b, c = (torch.nn.Linear(2, 1) for _ in range(3))
    >>> objective = landscape.Objective(a, "mse", torch.eye(2), torch.ones(2, 1), device="cpu")
    >>> plane = landscape.plane_through(objective, b.state_dict(), c.state_dict(), labels=("a", "b", "c"))
    >>> [(mark["label"], mark["alpha"], mark["beta"]) for mark in plane.marks[:2]]
    [('a', 0.0, 0.0), ('b', 1.0, 0.0)]

    Args:
        objective: the first model, at the origin.
        second: state dict at (1, 0).
        third: state dict with β > 0.
        labels: labels of the three models at their marks.
        geometry: positions computed before, so that the directions are the same to the bit.

    Raises:
        LandscapeError: if they lie on a line, or differ in names or shapes.
    """
    geometry = geometry or triangle(objective.origin, second, third)
    differences = [difference(objective.origin, state) for state in (second, third)]
    directions = [linear_combination(row, differences, objective.origin) for row in geometry.coefficients]
    provenance = {"kind": "three", "unit": UNIT, "coefficients": [list(row) for row in geometry.coefficients]}
    positions = zip(labels, ((0.0, 0.0), (1.0, 0.0), geometry.third), strict=True)
    return dataclasses.replace(
        make_plane(objective.origin, directions, {**provenance, "third": list(geometry.third)}),
        endpoint_buffers=(state_buffers(objective), state_buffers(objective, second), state_buffers(objective, third)),
        barycentric=geometry.coefficients,
        extent=geometry.extent,
        marks=tuple({"label": label, "alpha": x, "beta": y} for label, (x, y) in positions),
    )


def difference(origin: Weights, other: Mapping[str, Tensor]) -> Weights:
    """Return other − origin over the parameters of `origin`.

    Raises:
        LandscapeError: if the other state lacks a parameter or has another shape.
    """
    check_same_tensors(origin, other)
    return {name: other[name].to(w) - w for name, w in origin.items()}


def state_buffers(objective: Objective, other: Mapping[str, Tensor] | None = None) -> Weights:
    """Return the buffers that a state dict holds: those of the objective's model, or of another state dict.

    Raises:
        LandscapeError: if the other state lacks a buffer or has another shape.
    """
    persistent = objective.network.module.state_dict().keys()
    buffers = {name: buffer for name, buffer in objective.network.buffers.items() if name in persistent}
    if other is None:
        return buffers
    check_same_tensors(buffers, other)
    return {name: other[name].to(buffer) for name, buffer in buffers.items()}


def check_same_tensors(tensors: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> None:
    """Check that another state dict has tensors of these names and shapes.

    Raises:
        LandscapeError: if it lacks one or has another shape.
    """
    for name, tensor in tensors.items():
        if name not in other or other[name].shape != tensor.shape:
            shape = tuple(other[name].shape) if name in other else "nothing"
            raise LandscapeError(
                f"the two models differ: {name} is {tuple(tensor.shape)} in the first and {shape} in the second"
            )
