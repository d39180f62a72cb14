"""Directions along eigenvectors of a curvature operator."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from landscape.analysis.objective.weights import Weights
from landscape.analysis.planes.along import EUCLIDEAN_UNIT, Direction
from landscape.errors import LandscapeError
from landscape.results import SpectrumResult

_NAME = re.compile(r"(top|bottom)([1-9][0-9]*)")  # top1: the largest eigenvalue; bottom1: the most negative


def eigenvector_directions(
    spectrum: SpectrumResult, vectors: Sequence[Weights], names: Sequence[str] = ("top1", "top2")
) -> tuple[Direction, ...]:
    """Return directions of length 1 along eigenvectors, from the result of `landscape.eigenvectors`.

    >>> import torch, landscape
    >>> objective = landscape.Objective(torch.nn.Linear(4, 1), "mse", torch.eye(4), torch.ones(4, 1), device="cpu")
    >>> spectrum, vectors = landscape.eigenvectors(objective, top=2)
    >>> [direction.name for direction in landscape.eigenvector_directions(spectrum, vectors)]
    ['top1', 'top2']

    Args:
        spectrum: K eigenvalues, the top ones first.
        vectors: K eigenvectors.
        names: "top1" is the eigenvector of the largest eigenvalue, "bottom1" that of the most negative one.

    Raises:
        LandscapeError: for a name that the spectrum lacks.
    """
    indices = {name: index for index, name in enumerate(eigenpair_names(spectrum))}
    for name in names:
        if name not in indices:
            raise LandscapeError(f"no eigenvector {name!r}; expected one of {', '.join(indices)}")
    return tuple(_direction(spectrum, vectors[indices[name]], name, indices[name]) for name in names)


def eigenpair_names(spectrum: SpectrumResult) -> list[str]:
    """Return the names of a spectrum's eigenpairs in its order: top1, top2, ..., bottom2, bottom1."""
    top, bottom = int((spectrum.ends > 0).sum()), int((spectrum.ends < 0).sum())
    return [f"top{k}" for k in range(1, top + 1)] + [f"bottom{k}" for k in range(bottom, 0, -1)]


def count_eigenpairs(names: Sequence[str]) -> tuple[int, int]:
    """Return the numbers of top and bottom eigenpairs to compute for these names; other names need none.

    >>> count_eigenpairs(["top2", "bottom1", "random"])
    (2, 1)
    """
    counts = {"top": 0, "bottom": 0}
    for name in names:
        if match := _NAME.fullmatch(name):
            counts[match[1]] = max(counts[match[1]], int(match[2]))
    return counts["top"], counts["bottom"]


def _direction(spectrum: SpectrumResult, vector: Weights, name: str, index: int) -> Direction:
    attributes: Mapping[str, Any] = spectrum.attributes
    provenance = {
        "kind": "eigenvectors",
        "which": name,
        "operator": attributes.get("operator", "hessian"),
        "eigenvalue": float(spectrum.eigenvalues[index]),
        "bound": float(spectrum.bounds[index]),
        "converged": bool(spectrum.converged[index]),
        "unit": EUCLIDEAN_UNIT,
    }
    return Direction(name, vector, provenance)
