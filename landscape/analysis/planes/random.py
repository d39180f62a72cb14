"""The plane or line along seeded random directions (Li et al. 2018)."""

from __future__ import annotations

from typing import Any, Literal

from landscape.analysis.objective.objective import Objective
from landscape.analysis.planes.along import Direction, plane_along
from landscape.analysis.planes.normalization import (
    Normalization,
    OneDimensional,
    normalized,
    raw_direction,
    transposed_weights,
    zero_entries,
)
from landscape.analysis.planes.plane import Plane
from landscape.errors import LandscapeError


def random_plane(
    objective: Objective,
    *,
    seed: int = 0,
    dimensions: Literal[1, 2] = 2,
    normalization: Normalization = "filter",
    one_dimensional: OneDimensional = "zero",
    orthogonal: bool = False,
) -> Plane:
    """Return the plane (or line) through the objective's weights along seeded random normalized directions.

    Two models of the same architecture and one seed get the same raw directions, each normalized to its own weights.
    Directions are left as drawn unless `orthogonal`; the recipe records their cosine.

    Raises:
        LandscapeError: for an unknown option, or a direction that is zero in all parameters.
    """
    drawn = [
        random_direction(objective, number, seed=seed, normalization=normalization, one_dimensional=one_dimensional)
        for number in range(dimensions)
    ]
    return plane_along(objective, *drawn, orthogonal=orthogonal)


def random_direction(
    objective: Objective,
    number: int = 0,
    *,
    seed: int = 0,
    normalization: Normalization = "filter",
    one_dimensional: OneDimensional = "zero",
) -> Direction:
    """Return the random direction of this number and seed, normalized to the objective's weights.

    Raises:
        LandscapeError: for an unknown option, or a direction that is zero in all parameters.
    """
    origin = objective.origin
    raw = raw_direction({name: w.shape for name, w in origin.items()}, seed, number)
    scaled = normalized(
        {name: d.to(origin[name].dtype) for name, d in raw.items()},
        origin,
        normalization=normalization,
        one_dimensional=one_dimensional,
        transposed=transposed_weights(objective.network.module),
    )
    if not any(d.any() for d in scaled.values()):
        raise LandscapeError(
            f"the random direction is zero in all of params={objective.params!r} with one_dimensional="
            f"{one_dimensional!r} and normalization={normalization!r}; choose others, for example 'scaled'"
        )
    recipe: dict[str, Any] = {
        "kind": "random",
        "seed": seed,
        "normalization": normalization,
        "one_dimensional": one_dimensional,
    }
    recipe |= zero_entries(scaled, one_dimensional=one_dimensional)
    return Direction("random", {name: d.to(origin[name]) for name, d in scaled.items()}, recipe)
