"""Directions along eigenvectors of the Hessian."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from landscape.analysis.objective.weights import Weights
from landscape.analysis.planes.along import DISTANCE, Direction
from landscape.errors import LandscapeError
from landscape.results import SpectrumResult

_NAME = re.compile(r"(top|bottom)([1-9][0-9]*)")  # top1: the largest eigenvalue; bottom1: the most negative


def eigenvector_directions(
    spectrum: SpectrumResult, vectors: Sequence[Weights], names: Sequence[str] = ("top1", "top2")
) -> tuple[Direction, ...]:
    """Return directions of length 1 along eigenvectors, as `landscape.eigenvectors` gives them.

    Args:
        spectrum: the eigenvalues, the top ones first.
        vectors: one per eigenvalue.
        names: which: "top1" is the largest eigenvalue's, "bottom1" the most negative one's.

    Raises:
        LandscapeError: for a name that is no such thing, or that the spectrum lacks.
    """
    places = {name: index for index, name in enumerate(pair_names(spectrum))}
    for name in names:
        if name not in places:
            raise LandscapeError(f"no eigenvector {name!r}; expected one of {', '.join(places)}")
    return tuple(_direction(spectrum, vectors[places[name]], name, places[name]) for name in names)


def pair_names(spectrum: SpectrumResult) -> list[str]:
    """Return the names of a spectrum's pairs in its order: top1, top2, ..., bottom2, bottom1."""
    top, bottom = int((spectrum.ends > 0).sum()), int((spectrum.ends < 0).sum())
    return [f"top{k}" for k in range(1, top + 1)] + [f"bottom{k}" for k in range(bottom, 0, -1)]


def pairs_needed(names: Sequence[str]) -> tuple[int, int]:
    """Return the numbers of top and of bottom eigenvalues that contain those of these names; 0 and 0 for others."""
    found = [match for name in names if (match := _NAME.fullmatch(name))]
    counts = {"top": 0, "bottom": 0}
    for match in found:
        counts[match[1]] = max(counts[match[1]], int(match[2]))
    return counts["top"], counts["bottom"]


def _direction(spectrum: SpectrumResult, vector: Weights, name: str, index: int) -> Direction:
    attributes: Mapping[str, Any] = spectrum.attributes
    recipe = {
        "kind": "eigenvectors",
        "which": name,
        "operator": attributes.get("operator", "hessian"),
        "eigenvalue": float(spectrum.eigenvalues[index]),
        "bound": float(spectrum.bounds[index]),
        "converged": bool(spectrum.converged[index]),
        "unit": DISTANCE,
    }
    return Direction(name, vector, recipe)
