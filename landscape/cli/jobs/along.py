"""From the words of --along to directions: random, gradient, sam, Hessian eigenvectors, or the user's own file."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from landscape.analysis.objective.objective import Objective
from landscape.analysis.objective.weights import moving_parameters
from landscape.analysis.planes import (
    Direction,
    Plane,
    gradient_direction,
    plane_along,
    random_direction,
    read_directions,
    sam_direction,
    user_direction,
)
from landscape.analysis.planes.eigenvectors import eigenvector_directions, pairs_needed
from landscape.cli.jobs.fingerprint import code_settings
from landscape.cli.jobs.loaded_model import Subject
from landscape.cli.jobs.result_names import settings_of
from landscape.cli.jobs.vectors import Keep, keep_beside, kept_directions
from landscape.cli.options.analysis import expand
from landscape.cli.terminal import console
from landscape.errors import LandscapeError
from landscape.models.checkpoint import file_sha256

if TYPE_CHECKING:
    from landscape.cli.commands.surface import Surface as SurfaceOptions

EXPECTED = "random, gradient, sam, sam:RHO, top1, bottom1, FILE.npz, FILE.safetensors or FILE:NAME"
MAX_PRODUCTS = 400  # for eigenvectors; what has not converged by then is said


@dataclass(frozen=True)
class Along:
    """One or two directions of one checkpoint, as --along names them."""

    words: tuple[str, ...]  # each one direction; a file's as FILE:NAME
    results: Path  # beside which computed vectors are kept
    subject: Subject
    options: SurfaceOptions

    @property
    def is_line(self) -> bool:
        """Whether there is only one."""
        return len(self.words) == 1

    @property
    def base(self) -> str:
        """What results along them are called."""
        names = [re.sub(r"[^\w.]+", "_", _split_file(word)[1] or word) for word in self.words]
        return "-".join(["line" if self.is_line else "plane", *names])

    @property
    def identity(self) -> dict[str, Any]:
        """What must be equal for another run to go on with these."""
        options = self.options
        random = {"normalization": options.normalization, "one_dimensional": options.one_dimensional}
        files = {path.name: file_sha256(path) for word in self.words if (path := _split_file(word)[0]) is not None}
        return {
            "directions": "along",
            "along": [_split_file(word)[1] or word for word in self.words],
            "files": files,
            "orthogonal": options.orthogonal,
            **(random if "random" in self.words else {}),
        }

    def plane(self, objective: Objective, seed: int) -> Plane:
        """Return the plane or line along them through the objective's weights; `seed` is the random ones'."""
        found = [self._direction(objective, word, number, seed) for number, word in enumerate(self.words)]
        return plane_along(objective, *found, orthogonal=self.options.orthogonal)

    def _direction(self, objective: Objective, word: str, number: int, seed: int) -> Direction:
        path, name = _split_file(word)
        if path is not None:
            vectors = read_directions(path, objective.origin)
            return user_direction(objective, vectors[name], name=name, source=path.name)
        if word == "random":
            options = self.options
            return random_direction(
                objective,
                number,
                seed=seed,
                normalization=options.normalization,
                one_dimensional=options.one_dimensional,
            )
        if word == "gradient" or word.startswith("sam"):
            keep = self._keep(word.replace(":", "-"), word=word)
            return next(iter(kept_directions(keep, objective.origin, lambda: [self._of_gradient(word)]).values()))
        wanted = [other for other in self.words if any(pairs_needed([other]))]
        top, bottom = pairs_needed(wanted)
        keep = self._keep("eigenvectors", top=top, bottom=bottom, max_products=MAX_PRODUCTS)
        return kept_directions(keep, objective.origin, lambda: self._eigenvectors(top, bottom))[word]

    def _of_gradient(self, word: str) -> Direction:
        objective = self._differentiable()
        return gradient_direction(objective) if word == "gradient" else sam_direction(objective, rho=_rho(word))

    def _eigenvectors(self, top: int, bottom: int) -> Sequence[Direction]:
        from landscape.analysis.curvature.eigenvalues import eigenvectors
        from landscape.analysis.planes.eigenvectors import pair_names

        with console.progress(f"{self.subject.label}: eigenvectors, products", None) as advance:

            def on_product(count: int, relative: torch.Tensor) -> None:
                advance(1, f"{top + bottom - int((relative <= 1).sum())} still to converge")

            spectrum, vectors = eigenvectors(
                self._differentiable(),
                top=top,
                bottom=bottom,
                max_products=MAX_PRODUCTS,
                seed=self.options.seed,
                on_product=on_product,
            )
        if not spectrum.converged.all():
            console.warn(f"{self.subject.label}: not all eigenvectors converged in {MAX_PRODUCTS} products")
        return eigenvector_directions(spectrum, vectors, pair_names(spectrum))

    def _differentiable(self) -> Objective:
        """Return the loss that has derivatives, with the checkpoint's own statistics, on the first split."""
        return self.subject.objective(splits=self.options.splits[:1], batchnorm="fixed")

    def _keep(self, what: str, **more: Any) -> Keep:
        """Return the file in which vectors of this name, made with these settings, are kept."""
        settings = settings_of(self.subject, **more, **code_settings(self.options))
        first = self.options.splits[0]
        settings.update(splits=[first], data={first: self.subject.dataset.fingerprint(first)})
        return keep_beside(self.results, f"{self.subject.label}-{what}", settings)


def parse_along(results: Path, options: SurfaceOptions, subject: Subject) -> Along:
    """Return what --along names, for one checkpoint whose results go to this file.

    Raises:
        LandscapeError: for a word that names no direction, a file that cannot be read, or more than two directions.
    """
    names = moving_parameters(subject.model, options.params).keys()
    words: list[str] = []
    for word in options.along or ():
        path, name = _split_file(word)
        if path is not None:
            held = read_directions(path, names)
            if name and name not in held:
                raise LandscapeError(f"{path} has no direction {name!r}; it has {', '.join(held)}")
            words += [word] if name else [f"{word}:{each}" for each in held]
        elif word in ("random", "gradient", "sam") or any(pairs_needed([word])) or _rho(word) > 0:
            words.append(word)
        else:
            raise LandscapeError(f"got --along {word}; expected {EXPECTED}")
    if len(words) > 2:
        raise LandscapeError(f"--along names {len(words)} directions, {', '.join(words)}; expected one or two")
    if len(set(words)) < len(words) and words[0] != "random":
        raise LandscapeError(f"--along names {words[0]} twice; a plane needs two different directions")
    return Along(tuple(words), results, subject, options)


def _split_file(word: str) -> tuple[Path | None, str]:
    """Return the file and the name after the colon of FILE, FILE:NAME; no file for another word."""
    for path, _, name in ((word, "", ""), word.rpartition(":")):
        if Path(path).suffix in (".npz", ".safetensors"):
            return expand(path), name
    return None, ""


def _rho(word: str) -> float:
    """Return the radius of the words "sam" and "sam:RHO"; NaN for other words."""
    if word == "sam":
        return 0.05
    try:
        rho = float(word.removeprefix("sam:")) if word.startswith("sam:") else math.nan
    except ValueError:
        return math.nan
    return rho if math.isfinite(rho) else math.nan
