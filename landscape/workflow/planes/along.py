"""Planes along named directions: random, gradient, SAM perturbation, Hessian eigenvectors, or vectors from a file."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from landscape.analysis.curvature.eigenvalues import VECTOR_TOLERANCE, eigenpairs
from landscape.analysis.linalg.eigenpairs import EigenRequest
from landscape.analysis.objective.objective import Objective
from landscape.analysis.planes import (
    Direction,
    Plane,
    eigenvector_directions,
    gradient_direction,
    plane_along,
    random_direction,
    read_directions,
    sam_direction,
    user_direction,
)
from landscape.analysis.planes.eigenvectors import count_eigenpairs, eigenpair_names
from landscape.analysis.planes.normalization import Normalization, OneDimensional
from landscape.errors import LandscapeError
from landscape.storage.atomic_write import file_sha256
from landscape.workflow.measurement import Source
from landscape.workflow.planes.spec import PlaneSpec, seed_identity, seed_suffix
from landscape.workflow.reporter import Quiet, Reporter
from landscape.workflow.vectors import VectorFile, cached_directions, vector_file

EXPECTED = "random, gradient, sam, sam:RHO, top1, bottom1, FILE.npz, FILE.safetensors or FILE:NAME"
MAX_PRODUCTS = 400  # for eigenvectors; what has not converged by then is reported


@dataclass(frozen=True)
class PlaneAlong(PlaneSpec):
    """One or two named directions through the source's weights, from `parse_directions`.

    Args:
        directions: names, see `EXPECTED`; vectors of a file as FILE:NAME.
        source: model, weights and data that gradients and eigenvectors are computed on.
        results: analysis file beside which computed vectors are cached.
        seed: of the random directions.
        normalization: of the random directions.
        one_dimensional: treatment of biases and norm parameters by random directions.
        orthogonal: make the second direction orthogonal to the first.
        family: name that results over several seeds have in common; None for a single one.
        reporter: receives messages and progress.
    """

    directions: tuple[str, ...]
    source: Source = field(repr=False)
    results: Path
    seed: int = 0
    normalization: Normalization = "filter"
    one_dimensional: OneDimensional = "zero"
    orthogonal: bool = False
    family: str | None = None
    reporter: Reporter = field(default_factory=Quiet, repr=False)

    @property
    def name(self) -> str:
        """`line` or `plane`, followed by the directions' names."""
        names = [re.sub(r"[^\w.]+", "_", split_file(word)[1] or word) for word in self.directions]
        return "-".join(["line" if self.is_line else "plane", *names]) + seed_suffix(self.seed, self.family)

    @property
    def is_line(self) -> bool:
        """True for one direction."""
        return len(self.directions) == 1

    def identity(self) -> dict[str, Any]:
        """Return the directions' names and the hashes of their files."""
        paths = [path for word in self.directions if (path := split_file(word)[0]) is not None]
        random = {"normalization": self.normalization, "one_dimensional": self.one_dimensional}
        return {
            "directions": "along",
            "along": [split_file(word)[1] or word for word in self.directions],
            "files": {path.name: file_sha256(path) for path in paths},
            "orthogonal": self.orthogonal,
            **(random if "random" in self.directions else {}),
            **seed_identity(self.seed, self.family),
        }

    def attributes(self) -> dict[str, Any]:
        """Return the family."""
        return {} if self.family is None else {"family": self.family}

    def make(self, objective: Objective, provenance: Mapping[str, Any] | None) -> Plane:
        """Return the plane or line."""
        vectors = [self._direction(objective, word, number) for number, word in enumerate(self.directions)]
        return plane_along(objective, *vectors, orthogonal=self.orthogonal)

    def _direction(self, objective: Objective, word: str, number: int) -> Direction:
        path, name = split_file(word)
        if path is not None:
            vectors = read_directions(path, objective.origin)
            return user_direction(objective, vectors[name], name=name, source=path.name)
        if word == "random":
            return random_direction(
                objective,
                number,
                seed=self.seed,
                normalization=self.normalization,
                one_dimensional=self.one_dimensional,
            )
        if word == "gradient" or word.startswith("sam"):
            cache = self._cache(word.replace(":", "-"), word=word)
            make = self._gradient_direction
            return next(iter(cached_directions(cache, objective.origin, lambda: [make(word)], self.reporter).values()))
        top, bottom = count_eigenpairs([other for other in self.directions if any(count_eigenpairs([other]))])
        cache = self._cache("eigenvectors", top=top, bottom=bottom, max_products=MAX_PRODUCTS)
        return cached_directions(cache, objective.origin, lambda: self._eigenvectors(top, bottom), self.reporter)[word]

    def _gradient_direction(self, word: str) -> Direction:
        objective = self._differentiable()
        return gradient_direction(objective) if word == "gradient" else sam_direction(objective, rho=sam_radius(word))

    def _eigenvectors(self, top: int, bottom: int) -> Sequence[Direction]:
        label = self.source.label
        with self.reporter.progress(f"{label}: eigenvectors, products", None) as advance:

            def on_product(count: int, relative: torch.Tensor) -> None:
                advance(1, f"{max(top + bottom - int((relative <= 1).sum()), 0)} still to converge")

            request = EigenRequest(
                top, bottom, vector_tolerance=VECTOR_TOLERANCE, max_products=MAX_PRODUCTS, seed=self.seed
            )
            spectrum, vectors = eigenpairs(self._differentiable(), request, on_product=on_product)
        if not spectrum.converged.all():
            self.reporter.warn(f"{label}: not all eigenvectors converged in {MAX_PRODUCTS} products")
        return eigenvector_directions(spectrum, vectors, eigenpair_names(spectrum))

    def _differentiable(self) -> Objective:
        """Return the loss with derivatives: on the first split, with the checkpoint's own statistics."""
        return self.source.objective(first_split=True, batchnorm="fixed")

    def _cache(self, what: str, **settings: Any) -> VectorFile:
        """Return the file that vectors of this name, computed with these settings, are cached in."""
        identity = {**self.source.identity(), **settings}
        first = identity["splits"][0]
        identity.update(splits=[first], data={first: identity["data"][first]})
        return vector_file(self.results, f"{self.source.label}-{what}", identity, hashed=True)


def parse_directions(given: Sequence[str], names: Sequence[str]) -> tuple[str, ...]:
    """Return the names of one or two directions; a file without a name stands for all its vectors.

    Args:
        given: as in `EXPECTED`.
        names: moving parameters of the model, which vectors of a file must match.

    Raises:
        LandscapeError: for a word that names no direction, an unreadable file, or more than two directions.
    """
    directions: list[str] = []
    for word in given:
        path, name = split_file(word)
        if path is not None:
            vectors = read_directions(path, names)
            if name and name not in vectors:
                raise LandscapeError(f"{path} has no direction {name!r}; it has {', '.join(vectors)}")
            directions += [word] if name else [f"{word}:{each}" for each in vectors]
        elif word in ("random", "gradient", "sam") or any(count_eigenpairs([word])) or sam_radius(word) > 0:
            directions.append(word)
        else:
            raise LandscapeError(
                f"got --plane {word}; expected line, plane, between, through, pca, or one or two of {EXPECTED}"
            )
    if len(directions) > 2:
        raise LandscapeError(f"--plane names {len(directions)} directions, {', '.join(directions)}; expected 1 or 2")
    if len(set(directions)) < len(directions) and directions[0] != "random":
        raise LandscapeError(f"--plane names {directions[0]} twice; a plane needs two different directions")
    return tuple(directions)


def split_file(word: str) -> tuple[Path | None, str]:
    """Return the file and the name after the colon of FILE or FILE:NAME; no file for other words."""
    for path, _, name in ((word, "", ""), word.rpartition(":")):
        if Path(path).suffix in (".npz", ".safetensors"):
            return Path(path).expanduser(), name
    return None, ""


def sam_radius(word: str) -> float:
    """Return the radius in `sam` and `sam:RHO`; NaN for other words."""
    if word == "sam":
        return 0.05
    try:
        rho = float(word.removeprefix("sam:")) if word.startswith("sam:") else math.nan
    except ValueError:
        return math.nan
    return rho if math.isfinite(rho) else math.nan
