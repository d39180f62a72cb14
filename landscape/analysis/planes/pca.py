"""The plane of a training trajectory's first two principal components (Li et al. 2018, section 7)."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from landscape.analysis.objective.objective import Objective
from landscape.analysis.objective.weights import Weights
from landscape.analysis.planes.along import DISTANCE
from landscape.analysis.planes.between import check_same
from landscape.analysis.planes.plane import Plane, make_plane
from landscape.errors import LandscapeError
from landscape.results import Floats, TrajectoryResult

MEMORY = 2**30  # bytes of snapshots held at a time; each is read again for every further block
_RANK = 1e-10  # share of the variance below which a second component is rounding


@dataclass(frozen=True)
class Components:
    """The first two principal components of T snapshots about an origin, as combinations of their differences."""

    coefficients: Floats  # (2, T) of the unit vectors on (snapshot − origin)
    coordinates: Floats  # (T, 2) of the snapshots along them
    residuals: Floats  # (T,) distance from their plane
    distances: Floats  # (T,) distance from the origin
    explained: Floats  # (T,) share of the variance of each component, descending


def gram_matrix(origin: Weights, states: Sequence[Mapping[str, Tensor]], *, memory: int = MEMORY) -> Floats:
    """Return the (T, T) inner products of the states' differences from the origin, in float64.

    Memory holds two blocks of states at a time, whatever T is.
    """
    bytes_each = 8 * sum(w.numel() for w in origin.values())
    block = max(1, memory // (2 * bytes_each))
    starts = range(0, len(states), block)
    gram = np.zeros((len(states), len(states)))
    for i in starts:
        left = _rows(origin, states, i, i + block)
        for j in range(i, len(states), block):
            right = left if i == j else _rows(origin, states, j, j + block)
            gram[i : i + block, j : j + block] = (left @ right.T).numpy()
            gram[j : j + block, i : i + block] = gram[i : i + block, j : j + block].T
    return gram


def principal_components(gram: Floats, *, centred: bool = False) -> Components:
    """Return the first two principal components from the inner products of differences from the origin.

    They are the right singular vectors of the T × n matrix of differences, whose variance is about the origin, so that
    no plane through the origin lies closer to the snapshots.

    Args:
        gram: (T, T) inner products.
        centred: subtract the snapshots' mean first, as the code of Li et al. does; the plane still goes through the
            origin.

    Raises:
        LandscapeError: if the snapshots span no plane.
    """
    mean = np.eye(len(gram)) - (np.full_like(gram, 1 / len(gram)) if centred else 0.0)
    variances, vectors = np.linalg.eigh(mean @ gram @ mean)
    variances, vectors = np.maximum(variances[::-1], 0.0), vectors[:, ::-1]
    if len(gram) < 2 or not variances[1] > _RANK * variances[0]:
        raise LandscapeError(
            f"the {len(gram)} snapshots span no plane: they lie on a line through the final weights; expected at least "
            "two that differ from them in different directions"
        )
    coefficients = (mean @ vectors[:, :2]).T / np.sqrt(variances[:2, None])
    coordinates = gram @ coefficients.T
    signs = np.sign(coordinates[np.abs(coordinates).argmax(axis=0), [0, 1]])  # the farthest snapshot is at a plus
    coefficients, coordinates = coefficients * signs[:, None], coordinates * signs
    squares = np.diag(gram)
    off = np.maximum(squares - (coordinates**2).sum(1), 0.0)
    return Components(coefficients, coordinates, np.sqrt(off), np.sqrt(squares), variances / variances.sum())


def pca_plane(
    objective: Objective,
    states: Sequence[Mapping[str, Tensor]],
    *,
    positions: Sequence[float] | None = None,
    centred: bool = False,
    memory: int = MEMORY,
) -> tuple[Plane, TrajectoryResult]:
    """Return the plane through the objective's weights along a trajectory's principal components, and the way on it.

    The directions have length 1 and are orthogonal, so that distances on the plane are those in weight space.

    Args:
        objective: the end of the trajectory, at the origin.
        states: weights along the way, the first ones first: state dicts, or a sequence that reads each when asked for.
        positions: where on the way they are, ascending; epochs 0, 1, 2, ... by default.
        centred: as in `principal_components`.
        memory: bytes of states to hold at a time.

    Raises:
        LandscapeError: for states of another model, or that span no plane.
    """
    return project(objective.origin, states, positions=positions, centred=centred, memory=memory)


def project(
    origin: Weights,
    states: Sequence[Mapping[str, Tensor]],
    *,
    positions: Sequence[float] | None = None,
    centred: bool = False,
    memory: int = MEMORY,
) -> tuple[Plane, TrajectoryResult]:
    """Return the result of `pca_plane` about any weights."""
    found = principal_components(gram_matrix(origin, states, memory=memory), centred=centred)
    recipe = {
        "kind": "pca",
        "centred": centred,
        "unit": DISTANCE,
        "explained": found.explained.tolist(),
        "coefficients": found.coefficients.tolist(),
    }
    plane = plane_again(origin, states, recipe)
    x, y = found.coordinates.T
    extent = (min(0.0, float(x.min())), max(0.0, float(x.max()))), (min(0.0, float(y.min())), max(0.0, float(y.max())))
    where = np.arange(len(states), dtype=np.float64) if positions is None else np.asarray(positions, dtype=np.float64)
    attributes = {"directions": dict(plane.recipe), "position": "epoch"}
    way = TrajectoryResult(x, y, where, found.residuals, found.distances, found.explained, attributes)
    return dataclasses.replace(plane, extent=extent), way


def plane_again(origin: Weights, states: Sequence[Mapping[str, Tensor]], recipe: Mapping[str, Any]) -> Plane:
    """Return the plane of a recipe that `pca_plane` made, its directions the same to the bit on any machine."""
    totals = [{name: torch.zeros(w.shape, dtype=torch.float64) for name, w in origin.items()} for _ in range(2)]
    for i in range(len(states)):
        for name, step in _difference(origin, states, i).items():
            for total, coefficients in zip(totals, recipe["coefficients"], strict=True):
                total[name] += coefficients[i] * step
    directions = [{name: part.to(origin[name]) for name, part in total.items()} for total in totals]
    return make_plane(origin, directions, recipe)


def _rows(origin: Weights, states: Sequence[Mapping[str, Tensor]], start: int, stop: int) -> Tensor:
    places = range(start, min(stop, len(states)))
    return torch.stack([torch.cat([d.flatten() for d in _difference(origin, states, i).values()]) for i in places])


def _difference(origin: Weights, states: Sequence[Mapping[str, Tensor]], index: int) -> dict[str, Tensor]:
    """Return a state less the origin in float64 on the CPU."""
    state = states[index]
    try:
        check_same(origin, state)
    except LandscapeError as error:
        raise LandscapeError(f"snapshot {index + 1} of {len(states)}: {error}") from error
    return {name: state[name].detach().cpu().double() - w.detach().cpu().double() for name, w in origin.items()}
