"""A plane, a line or a curve in weight space: where a surface's points lie."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from landscape.analysis.objective.model.batchnorm import blended_buffers
from landscape.analysis.objective.weights import Weights, digest, dot, moved, norm
from landscape.errors import LandscapeError

Extent: TypeAlias = tuple[tuple[float, float], tuple[float, float]]  # (lowest, highest) along each direction


@dataclass(frozen=True)
class Plane:
    """An origin and one (a line) or two directions in weight space.

    `recipe` says how the directions can be made again, and holds their hashes. Between models, `ends` are their
    buffers, the origin's first, and `shares` says how much of each other model's weights, less the origin's, a step of
    1 along each direction adds.
    """

    origin: Weights
    directions: tuple[Weights, ...]
    recipe: Mapping[str, Any]
    ends: tuple[Weights, ...] = field(default=(), repr=False)
    shares: tuple[tuple[float, ...], ...] = ()  # [direction][model after the first]
    extent: Extent | None = None  # what axes should cover; None where any span will do
    marks: tuple[Mapping[str, Any], ...] = ()  # known points: label, alpha, beta

    @property
    def is_line(self) -> bool:
        """True if points have one coordinate."""
        return len(self.directions) == 1

    def steps(self, alpha: float, beta: float = 0.0) -> tuple[float, ...]:
        """Return the coordinate of a point along each direction."""
        return (alpha, beta)[: len(self.directions)]

    def at(self, alpha: float, beta: float = 0.0) -> Weights:
        """Return the weights origin + α d₁ + β d₂; the origin itself, to the bit, at (0, 0)."""
        steps = zip(self.steps(alpha, beta), self.directions, strict=True)
        return moved(self.origin, [(step, direction) for step, direction in steps if step != 0.0])

    def buffers_at(self, alpha: float, beta: float = 0.0) -> Weights | None:
        """Return the buffers at a point between models; None where they stay the model's."""
        if not self.ends:
            return None
        coordinates = (alpha, beta)[: len(self.shares)]
        columns = zip(*self.shares, strict=True)
        others = [sum(x * c for x, c in zip(coordinates, column, strict=True)) for column in columns]
        return blended_buffers(self.ends, [1 - sum(others), *others])


def make_plane(
    origin: Weights, directions: Sequence[Weights], recipe: Mapping[str, Any], *, orthogonal: bool = False
) -> Plane:
    """Return the line or plane along these directions, its recipe completed by cosine, hashes and norms.

    Args:
        origin: the weights at (0, 0).
        directions: one or two, of names and shapes in `origin`.
        recipe: what is known of their making.
        orthogonal: whether the second is made orthogonal to the first, at the length it had.

    Raises:
        LandscapeError: for two that are parallel where they are to be orthogonal.
    """
    vectors = list(directions)
    complete = dict(recipe)
    if len(vectors) == 2:
        if orthogonal:
            vectors[1] = orthogonalized(vectors[1], vectors[0])
        complete["cosine"] = dot(vectors[0], vectors[1]) / (norm(vectors[0]) * norm(vectors[1]))
    complete["hashes"] = [digest(vector) for vector in vectors]
    complete["norms"] = [norm(vector) for vector in vectors]
    return Plane(origin, tuple(vectors), complete)


def orthogonalized(d: Weights, against: Weights) -> Weights:
    """Return d without its component along `against`, at the length d had.

    Raises:
        LandscapeError: if the two are parallel.
    """
    rest = moved(d, [(-dot(d, against) / dot(against, against), against)])
    if norm(rest) <= 1e-6 * norm(d):
        raise LandscapeError("the two directions are parallel; a plane needs at least two moving parameters")
    scale = norm(d) / norm(rest)
    return {name: scale * part for name, part in rest.items()}


def combined(coefficients: Sequence[float], vectors: Sequence[Mapping[str, Any]], like: Weights) -> Weights:
    """Return Σ coefficient · vector, summed in float64 one by one: the same bits on every machine."""
    total = {}
    for name, w in like.items():
        entries = w.new_zeros(w.shape, device="cpu").double()
        for coefficient, vector in zip(coefficients, vectors, strict=True):
            entries += coefficient * vector[name].detach().cpu().double()
        total[name] = entries.to(w)
    return total
