"""Lines and planes along given directions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from landscape.analysis.objective.objective import Objective
from landscape.analysis.objective.weights import Weights, norm
from landscape.analysis.planes.plane import Plane, make_plane
from landscape.errors import LandscapeError

EUCLIDEAN_UNIT = "a Euclidean distance of 1 in weight space"  # unit of a coordinate along a direction of length 1


@dataclass(frozen=True)
class Direction:
    """A direction in weight space.

    >>> import torch
    >>> Direction("mine", {"weight": torch.ones(2)}, {"kind": "user"}).name
    'mine'

    Attributes:
        name: shown to people: "random", "gradient", "top1", ...
        vector: a tensor for each moving parameter, on the objective's device.
        provenance: JSON-able description to rebuild it from; its "kind" becomes that of the planes along it.
    """

    name: str
    vector: Weights
    provenance: Mapping[str, Any]


def plane_along(objective: Objective, *directions: Direction, orthogonal: bool = False) -> Plane:
    """Return the line or plane through the objective's weights along one or two directions, whose lengths stay.

    >>> import torch, landscape
    >>> objective = landscape.Objective(torch.nn.Linear(2, 1), "mse", torch.eye(2), torch.ones(2, 1), device="cpu")
    >>> gradient, random = landscape.gradient_direction(objective), landscape.random_direction(objective, 1)
    >>> landscape.plane_along(objective, gradient, random).provenance["along"]
    ['gradient', 'random']

    Args:
        objective: its weights are the origin.
        directions: from `random_direction`, `gradient_direction`, `sam_direction`, `eigenvector_directions` or
            `user_direction`.
        orthogonal: make the second direction orthogonal to the first; its length stays.

    Raises:
        LandscapeError: for no or more than two directions, a direction that is zero, or parallel directions that are to
            be made orthogonal.
    """
    if len(directions) not in (1, 2):
        raise LandscapeError(f"got {len(directions)} directions; expected one for a line or two for a plane")
    zero = next((direction.name for direction in directions if norm(direction.vector) == 0), None)
    if zero is not None:
        raise LandscapeError(f"the direction {zero!r} is zero in all of params={objective.params!r}; choose another")
    provenance = {
        **_joint_provenance(directions),
        "along": [direction.name for direction in directions],
        "orthogonal": orthogonal,
    }
    return make_plane(
        objective.origin, [direction.vector for direction in directions], provenance, orthogonal=orthogonal
    )


def _joint_provenance(directions: Sequence[Direction]) -> dict[str, Any]:
    """Return the provenance of equal ones; else the first kind that is not random, with all of them as parts."""
    provenances = [dict(direction.provenance) for direction in directions]
    if all(provenance == provenances[0] for provenance in provenances):
        return provenances[0]
    kinds = [str(provenance["kind"]) for provenance in provenances]
    return {"kind": next((kind for kind in kinds if kind != "random"), "random"), "parts": provenances}
