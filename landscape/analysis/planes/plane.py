"""A plane, a line or a curve in weight space, on which the points of a surface lie."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from landscape.analysis.objective.model.batchnorm import blended_buffers
from landscape.analysis.objective.weights import Weights, digest, displaced, dot, norm
from landscape.errors import LandscapeError

Extent: TypeAlias = tuple[tuple[float, float], tuple[float, float]]  # (lowest, highest) along each direction


@dataclass(frozen=True)
class Plane:
    """An origin w₀ and one (a line) or two directions d₁, d₂ in weight space: w(α, β) = w₀ + α d₁ + β d₂.

    >>> import torch
    >>> plane = Plane({"w": torch.zeros(2)}, ({"w": torch.tensor([1.0, 0.0])}, {"w": torch.tensor([0.0, 2.0])}))
    >>> plane.at(0.5, -1.0)["w"].tolist()
    [0.5, -2.0]

    Attributes:
        origin: weights at (0, 0).
        directions: one or two.
        provenance: JSON-able description to rebuild the directions from, with their hashes.
        endpoint_buffers: buffers of the models that the plane goes through, the origin's first; empty if buffers stay.
        barycentric: `[direction][model after the first]`, the share of that model's weights (less the origin's) in each
            direction.
        extent: interval along each direction that axes should cover; None if any span will do.
        marks: known points, each with label, alpha and beta.
    """

    origin: Weights
    directions: tuple[Weights, ...]
    provenance: Mapping[str, Any] = field(default_factory=dict)
    endpoint_buffers: tuple[Weights, ...] = field(default=(), repr=False)
    barycentric: tuple[tuple[float, ...], ...] = ()
    extent: Extent | None = None
    marks: tuple[Mapping[str, Any], ...] = ()

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
        return displaced(self.origin, [(step, direction) for step, direction in steps if step != 0.0])

    def buffers_at(self, alpha: float, beta: float = 0.0) -> Weights | None:
        """Return the buffers at a point between models; None if they are those of the origin everywhere."""
        if not self.endpoint_buffers:
            return None
        coordinates = (alpha, beta)[: len(self.barycentric)]
        columns = zip(*self.barycentric, strict=True)
        others = [sum(x * c for x, c in zip(coordinates, column, strict=True)) for column in columns]
        return blended_buffers(self.endpoint_buffers, [1 - sum(others), *others])


def make_plane(
    origin: Weights, directions: Sequence[Weights], provenance: Mapping[str, Any], *, orthogonal: bool = False
) -> Plane:
    """Return the line or plane along these directions; their cosine, hashes and norms are added to its provenance.

    >>> import torch
    >>> make_plane({"w": torch.zeros(2)}, [{"w": torch.tensor([3.0, 4.0])}], {"kind": "mine"}).provenance["norms"]
    [5.0]

    Args:
        origin: weights at (0, 0).
        directions: one or two, of names and shapes in `origin`.
        provenance: description to rebuild them from, JSON-able.
        orthogonal: make the second direction orthogonal to the first; its length stays.

    Raises:
        LandscapeError: for parallel directions that are to be made orthogonal.
    """
    vectors = list(directions)
    complete = dict(provenance)
    if len(vectors) == 2:
        if orthogonal:
            vectors[1] = orthogonalize(vectors[1], vectors[0])
        complete["cosine"] = dot(vectors[0], vectors[1]) / (norm(vectors[0]) * norm(vectors[1]))
    complete["hashes"] = [digest(vector) for vector in vectors]
    complete["norms"] = [norm(vector) for vector in vectors]
    return Plane(origin, tuple(vectors), complete)


def orthogonalize(d: Weights, against: Weights) -> Weights:
    """Return d without its component along `against`, rescaled to the length of d.

    Raises:
        LandscapeError: if the two are parallel.
    """
    rest = displaced(d, [(-dot(d, against) / dot(against, against), against)])
    if norm(rest) <= 1e-6 * norm(d):
        raise LandscapeError("the two directions are parallel; a plane needs at least two moving parameters")
    scale = norm(d) / norm(rest)
    return {name: scale * part for name, part in rest.items()}


def linear_combination(coefficients: Sequence[float], vectors: Sequence[Mapping[str, Any]], like: Weights) -> Weights:
    """Return Σ coefficient · vector, summed in order in float64 on the CPU: the same bits on every machine."""
    total = {}
    for name, w in like.items():
        entries = w.new_zeros(w.shape, device="cpu").double()
        for coefficient, vector in zip(coefficients, vectors, strict=True):
            entries += coefficient * vector[name].detach().cpu().double()
        total[name] = entries.to(w)
    return total
