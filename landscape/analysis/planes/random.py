"""Seeded random directions, and planes and lines along them (Li et al. 2018)."""

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

    Two models of the same architecture get the same raw directions from one seed, each normalized to its own weights
    (Li et al. 2018, arXiv:1712.09913, section 4). Unless `orthogonal`, directions are left as drawn; their cosine is
    recorded.

    >>> import torch, landscape
    >>> objective = landscape.Objective(torch.nn.Linear(2, 1), "mse", torch.eye(2), torch.ones(2, 1), device="cpu")
    >>> landscape.random_plane(objective, seed=3, dimensions=1).is_line
    True

    Args:
        objective: its weights are the origin.
        seed: of the directions.
        dimensions: 2 for a plane, 1 for a line.
        normalization: "filter", "layer", "weight" or "none", see `normalized`.
        one_dimensional: treatment of biases and norm parameters, see `normalized`.
        orthogonal: make the second direction orthogonal to the first; its length stays.

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

    >>> import torch, landscape
    >>> objective = landscape.Objective(torch.nn.Linear(2, 1), "mse", torch.eye(2), torch.ones(2, 1), device="cpu")
    >>> direction = landscape.random_direction(objective, seed=3)  # of the weight's norm; biases stay
    >>> torch.allclose(direction.vector["weight"].norm(), objective.origin["weight"].norm())
    True

    Args:
        objective: model and weights.
        number: 0, 1, ...: independent directions of one seed.
        seed: of the draw.
        normalization: "filter", "layer", "weight" or "none", see `normalized`.
        one_dimensional: treatment of biases and norm parameters, see `normalized`.

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
    provenance: dict[str, Any] = {
        "kind": "random",
        "seed": seed,
        "normalization": normalization,
        "one_dimensional": one_dimensional,
    }
    provenance |= zero_entries(scaled, one_dimensional=one_dimensional)
    return Direction("random", {name: d.to(origin[name]) for name, d in scaled.items()}, provenance)
