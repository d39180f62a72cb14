"""The line or plane along any one or two directions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from landscape.analysis.objective.objective import Objective
from landscape.analysis.objective.weights import Weights, norm
from landscape.analysis.planes.plane import Plane, make_plane
from landscape.errors import LandscapeError

DISTANCE = "a Euclidean distance of 1 in weight space"  # what a step of 1 is along a direction of length 1


@dataclass(frozen=True)
class Direction:
    """A direction in weight space, and how it can be made again."""

    name: str  # for people: "random", "gradient", "top1", ...
    vector: Weights  # of the moving parameters, on the objective's device
    recipe: Mapping[str, Any]  # JSON-able; its "kind" is that of the planes along it


def plane_along(objective: Objective, *directions: Direction, orthogonal: bool = False) -> Plane:
    """Return the line or plane through the objective's weights along one or two directions, as long as they come.

    Args:
        objective: whose weights are the origin.
        directions: from `random_direction`, `gradient_direction`, `sam_direction`, `eigenvector_directions` or
            `user_direction`, in any mixture.
        orthogonal: whether the second is made orthogonal to the first, at the length it had.

    Raises:
        LandscapeError: for none or more than two directions, for one that is zero, and for two that are parallel where
            they are to be orthogonal.
    """
    if len(directions) not in (1, 2):
        raise LandscapeError(f"got {len(directions)} directions; expected one for a line or two for a plane")
    zero = next((direction.name for direction in directions if norm(direction.vector) == 0), None)
    if zero is not None:
        raise LandscapeError(f"the direction {zero!r} is zero in all of params={objective.params!r}; choose another")
    recipe = {**_shared(directions), "along": [direction.name for direction in directions], "orthogonal": orthogonal}
    return make_plane(objective.origin, [direction.vector for direction in directions], recipe, orthogonal=orthogonal)


def _shared(directions: Sequence[Direction]) -> dict[str, Any]:
    """Return theirs where it is the same; else the kind of the first that is not random, and theirs as parts."""
    recipes = [dict(direction.recipe) for direction in directions]
    if all(recipe == recipes[0] for recipe in recipes):
        return recipes[0]
    kinds = [str(recipe["kind"]) for recipe in recipes]
    return {"kind": next((kind for kind in kinds if kind != "random"), "random"), "parts": recipes}
