"""Directions in weight space and the planes and lines they span."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from landscape.analysis.batchnorm import interpolated_buffers
from landscape.analysis.objective import Objective
from landscape.analysis.weights import Weights, digest, dot, moved, norm
from landscape.errors import LandscapeError

Normalization: TypeAlias = Literal["filter", "layer", "weight", "none"]
OneDimensional: TypeAlias = Literal["zero", "scaled", "li-code"]

_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_TINY = 1e-10  # Li et al.'s guard against filters that are zero


@dataclass(frozen=True)
class Plane:
    """An origin and one (a line) or two directions in weight space.

    `recipe` says how the directions can be made again, and holds their hashes.
    """

    origin: Weights
    directions: tuple[Weights, ...]
    recipe: Mapping[str, Any]
    ends: tuple[Weights, Weights] | None = field(default=None, repr=False)  # buffers at 0 and 1, between two models

    @property
    def is_line(self) -> bool:
        """Whether there is only one direction."""
        return len(self.directions) == 1

    def at(self, alpha: float, beta: float = 0.0) -> Weights:
        """Return the weights origin + α d₁ + β d₂; the origin itself, to the bit, at (0, 0)."""
        return moved(self.origin, [(c, d) for c, d in zip((alpha, beta), self.directions, strict=False) if c != 0.0])

    def buffers_at(self, alpha: float) -> Weights | None:
        """Return the buffers at a point between two models; None where they stay the model's."""
        return None if self.ends is None else interpolated_buffers(*self.ends, alpha)


def raw_direction(shapes: Mapping[str, torch.Size], seed: int, number: int) -> Weights:
    """Return N(0, 1) draws in float32, the same on every machine.

    Each parameter has a Philox stream of its own, keyed by (seed, direction number, parameter name), so that a draw
    does not depend on what else the model holds.
    """
    drawn = {}
    for name, shape in shapes.items():
        key = int.from_bytes(hashlib.sha256(f"{seed}/{number}/{name}".encode()).digest()[:16], "little")
        stream = np.random.Generator(np.random.Philox(key=key))
        drawn[name] = torch.from_numpy(stream.standard_normal(tuple(shape), dtype=np.float32).reshape(tuple(shape)))
    return drawn


def normalized(
    direction: Mapping[str, Tensor],
    weights: Mapping[str, Tensor],
    *,
    normalization: Normalization = "filter",
    one_dimensional: OneDimensional = "zero",
    transposed: Mapping[str, int] | None = None,
) -> Weights:
    """Return the direction scaled to the weights (Li et al. 2018, arXiv:1712.09913, section 4).

    Args:
        direction: one tensor per parameter, on the CPU (norms are taken in float64, so that they, and the direction's
            hash, do not depend on instruction sets and threads).
        weights: of the same names and shapes.
        normalization: "filter": each filter gets the norm of the weights' filter; "layer": each tensor; "weight":
            elementwise d · |w|; "none".
        one_dimensional: biases and norm parameters: "zero", "scaled" (as one filter), or "li-code" (d := w).
        transposed: groups of those weights whose output units lie along dimension 1 (transposed convolutions).
    """
    result = {}
    for name, d in direction.items():
        w = weights[name].to(d)
        if w.ndim <= 1 and one_dimensional != "scaled":
            result[name] = torch.zeros_like(d) if one_dimensional == "zero" else w.clone()
        elif normalization == "weight":
            result[name] = d * w.abs()
        elif normalization == "none":
            result[name] = d.clone()
        elif normalization == "layer" or w.ndim <= 1:
            result[name] = _rescaled(d, w.double().norm(), d.double().norm())
        else:
            groups = (transposed or {}).get(name)
            result[name] = _rescaled(d, _filter_norms(w.double(), groups), _filter_norms(d.double(), groups))
    return result


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
    """
    _expect("normalization", normalization, ("filter", "layer", "weight", "none"))
    _expect("one_dimensional", one_dimensional, ("zero", "scaled", "li-code"))
    origin = objective.origin
    directions: list[Weights] = []
    for number in range(dimensions):
        raw = raw_direction({name: w.shape for name, w in origin.items()}, seed, number)
        scaled = normalized(
            {name: d.to(origin[name].dtype) for name, d in raw.items()},
            origin,
            normalization=normalization,
            one_dimensional=one_dimensional,
            transposed=_transposed_weights(objective.network.module),
        )
        if not any(d.any() for d in scaled.values()):
            raise LandscapeError(
                f"the random direction is zero in all of params={objective.params!r} with one_dimensional="
                f"{one_dimensional!r} and normalization={normalization!r}; choose others, for example 'scaled'"
            )
        directions.append({name: d.to(origin[name]) for name, d in scaled.items()})
    recipe: dict[str, Any] = {
        "kind": "random",
        "seed": seed,
        "normalization": normalization,
        "one_dimensional": one_dimensional,
        "orthogonal": orthogonal,
    }
    if dimensions == 2:
        if orthogonal:
            directions[1] = _orthogonalized(directions[1], directions[0])
        recipe["cosine"] = dot(directions[0], directions[1]) / (norm(directions[0]) * norm(directions[1]))
    recipe["hashes"] = [digest(direction) for direction in directions]
    recipe["norms"] = [norm(direction) for direction in directions]
    return Plane(origin, tuple(directions), recipe)


def line_between(objective: Objective, other: Mapping[str, Tensor]) -> Plane:
    """Return the line from the objective's weights (α = 0) to another state dict of the same model (α = 1).

    Raises:
        LandscapeError: if the other state lacks a parameter or has another shape.
    """
    origin, kept = objective.origin, objective.network.module.state_dict().keys()
    buffers = {name: b for name, b in objective.network.buffers.items() if name in kept}  # not those of no state
    for name, w in [*origin.items(), *buffers.items()]:
        if name not in other or other[name].shape != w.shape:
            found = tuple(other[name].shape) if name in other else "nothing"
            raise LandscapeError(
                f"the two models differ: {name} is {tuple(w.shape)} in the first and {found} in the second"
            )
    direction = {name: other[name].to(w) - w for name, w in origin.items()}
    recipe = {"kind": "between", "hashes": [digest(direction)], "norms": [norm(direction)]}
    ends = (buffers, {name: other[name].to(b) for name, b in buffers.items()})
    return Plane(origin, (direction,), recipe, ends)


def _filter_norms(w: Tensor, groups: int | None) -> Tensor:
    """Return the norm of the filter each entry belongs to, broadcastable to the shape of `w`."""
    if groups is None:
        rows: Tensor = torch.linalg.vector_norm(w, dim=tuple(range(1, w.ndim)), keepdim=True)
        return rows
    grouped = w.reshape(groups, w.shape[0] // groups, *w.shape[1:])
    norms: Tensor = torch.linalg.vector_norm(grouped, dim=(1, *range(3, grouped.ndim)), keepdim=True)
    return norms.expand_as(grouped).reshape(w.shape)


def _rescaled(d: Tensor, target: Tensor, length: Tensor) -> Tensor:
    return (d.double() * (target / (length + _TINY))).to(d.dtype)


def _transposed_weights(model: nn.Module) -> dict[str, int]:
    modules = model.named_modules()
    return {f"{name}.weight".lstrip("."): m.groups for name, m in modules if isinstance(m, _TRANSPOSED)}


def _orthogonalized(d: Weights, against: Weights) -> Weights:
    """Return d without its component along `against`, at the length d had."""
    rest = moved(d, [(-dot(d, against) / dot(against, against), against)])
    if norm(rest) <= 1e-6 * norm(d):
        raise LandscapeError("the two random directions are parallel; a plane needs at least two moving parameters")
    scale = norm(d) / norm(rest)
    return {name: scale * part for name, part in rest.items()}


def _expect(option: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise LandscapeError(f"unknown {option} {value!r}; expected one of {', '.join(choices)}")
