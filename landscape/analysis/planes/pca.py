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
from landscape.analysis.planes.along import EUCLIDEAN_UNIT
from landscape.analysis.planes.between import check_same_tensors
from landscape.analysis.planes.plane import Plane, make_plane
from landscape.errors import LandscapeError
from landscape.results import Floats, TrajectoryResult

MEMORY = 2**30  # bytes of snapshots in memory; each snapshot is read again for every further block
_MIN_VARIANCE = 1e-10  # of the first component; a second one with less is rounding


@dataclass(frozen=True)
class Components:
    """The first two principal components of T snapshots about an origin.

    Attributes:
        coefficients: (2, T) of the unit vectors, as linear combinations of the differences snapshot − origin.
        coordinates: (T, 2) of the snapshots along them.
        residuals: (T,) distances of the snapshots from the plane.
        distances: (T,) distances of the snapshots from the origin.
        explained: (T,) share of the variance of each component, descending.
    """

    coefficients: Floats
    coordinates: Floats
    residuals: Floats
    distances: Floats
    explained: Floats


def gram_matrix(origin: Weights, states: Sequence[Mapping[str, Tensor]], *, memory: int = MEMORY) -> Floats:
    """Return the (T, T) inner products of the states' differences from the origin, in float64.

    Two blocks of states are in memory at a time, `memory` bytes in all, whatever T is.
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

    They are the right singular vectors of the T × n matrix of differences. The variance is about the origin, so that no
    plane through the origin lies closer to the snapshots.

    >>> principal_components(np.diag([9.0, 1.0])).explained.tolist()
    [0.9, 0.1]

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
    if len(gram) < 2 or not variances[1] > _MIN_VARIANCE * variances[0]:
        raise LandscapeError(
            f"the {len(gram)} snapshots span no plane: they lie on a line through the final weights; expected at least "
            "two that differ from them in different directions"
        )
    coefficients = (mean @ vectors[:, :2]).T / np.sqrt(variances[:2, None])
    coordinates = gram @ coefficients.T
    signs = np.sign(
        coordinates[np.abs(coordinates).argmax(axis=0), [0, 1]]
    )  # the coordinate of largest magnitude is positive
    coefficients, coordinates = coefficients * signs[:, None], coordinates * signs
    squares = np.diag(gram)
    residuals = np.sqrt(np.maximum(squares - (coordinates**2).sum(1), 0.0))
    return Components(coefficients, coordinates, residuals, np.sqrt(squares), variances / variances.sum())


def pca_plane(
    objective: Objective,
    states: Sequence[Mapping[str, Tensor]],
    *,
    positions: Sequence[float] | None = None,
    centred: bool = False,
) -> tuple[Plane, TrajectoryResult]:
    """Return the plane of a trajectory's first two principal components, and the trajectory projected on it.

    The plane goes through the objective's weights. The directions have length 1 and are orthogonal, so that distances
    on the plane are those in weight space (Li et al. 2018, arXiv:1712.09913, section 7).

    >>> import torch, landscape
    >>> models = [torch.nn.Linear(3, 1) for _ in range(4)]
    >>> objective = landscape.Objective(models[-1], "mse", torch.eye(3), torch.ones(3, 1), device="cpu")
    >>> plane, trajectory = landscape.pca_plane(objective, [model.state_dict() for model in models[:-1]])
    >>> trajectory.alpha.shape
    (3,)

    Args:
        objective: end of the trajectory, at the origin.
        states: T state dicts in order, or a sequence that reads each on demand, such as `find_snapshots` returns.
        positions: (T,) position of each on the trajectory, ascending; epochs 0, 1, 2, ... by default.
        centred: as in `principal_components`.

    Raises:
        LandscapeError: for states of another model, or that span no plane.
    """
    return project(objective.origin, states, positions=positions, centred=centred)


def project(
    origin: Weights,
    states: Sequence[Mapping[str, Tensor]],
    *,
    positions: Sequence[float] | None = None,
    centred: bool = False,
) -> tuple[Plane, TrajectoryResult]:
    """Return the plane and the trajectory of `pca_plane` about any weights."""
    components = principal_components(gram_matrix(origin, states), centred=centred)
    provenance = {
        "kind": "pca",
        "centred": centred,
        "unit": EUCLIDEAN_UNIT,
        "explained": components.explained.tolist(),
        "coefficients": components.coefficients.tolist(),
    }
    plane = rebuild_plane(origin, states, provenance)
    x, y = components.coordinates.T
    extent = (min(0.0, float(x.min())), max(0.0, float(x.max()))), (min(0.0, float(y.min())), max(0.0, float(y.max())))
    along = np.arange(len(states), dtype=np.float64) if positions is None else np.asarray(positions, dtype=np.float64)
    attributes = {"directions": dict(plane.provenance), "position": "epoch"}
    trajectory = TrajectoryResult(
        x, y, along, components.residuals, components.distances, components.explained, attributes
    )
    return dataclasses.replace(plane, extent=extent), trajectory


def rebuild_plane(origin: Weights, states: Sequence[Mapping[str, Tensor]], provenance: Mapping[str, Any]) -> Plane:
    """Return the plane of `pca_plane` with this provenance, its directions the same to the bit on any machine."""
    totals = [{name: torch.zeros(w.shape, dtype=torch.float64) for name, w in origin.items()} for _ in range(2)]
    for i in range(len(states)):
        for name, step in _difference(origin, states, i).items():
            for total, coefficients in zip(totals, provenance["coefficients"], strict=True):
                total[name] += coefficients[i] * step
    directions = [{name: part.to(origin[name]) for name, part in total.items()} for total in totals]
    return make_plane(origin, directions, provenance)


def _rows(origin: Weights, states: Sequence[Mapping[str, Tensor]], start: int, stop: int) -> Tensor:
    """Return the differences of a block of states from the origin, one flat float64 row each."""
    block = range(start, min(stop, len(states)))
    return torch.stack([torch.cat([d.flatten() for d in _difference(origin, states, i).values()]) for i in block])


def _difference(origin: Weights, states: Sequence[Mapping[str, Tensor]], index: int) -> dict[str, Tensor]:
    """Return a state less the origin in float64 on the CPU."""
    state = states[index]
    try:
        check_same_tensors(origin, state)
    except LandscapeError as error:
        raise LandscapeError(f"snapshot {index + 1} of {len(states)}: {error}") from error
    return {name: state[name].detach().cpu().double() - w.detach().cpu().double() for name, w in origin.items()}
