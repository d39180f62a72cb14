"""SAM and ASAM sharpness: the rise of the loss after one ascent step, on all examples or as m-sharpness."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from landscape.analysis.objective.objective import Objective
from landscape.analysis.objective.weights import Weights, displaced
from landscape.analysis.sharpness.diagnostics import Rounding, samples_of
from landscape.analysis.sharpness.labels import jsonable_norm, label_of, norm_detail, over_subsets
from landscape.analysis.sharpness.protocol import Cost, OnStep
from landscape.analysis.sharpness.solvers.ascent_step import (
    ETA,
    Scope,
    asam_perturbation,
    check_norm,
    gradient_norm,
    sam_perturbation,
)
from landscape.analysis.sharpness.subsets import count_subsets, subsets
from landscape.errors import LandscapeError
from landscape.results import Floats, MeasureResult
from landscape.stats.mean import mean_of


@dataclass(frozen=True)
class OneStep:
    """The rise of the loss after an ascent step that a subclass defines."""

    name: ClassVar[str]
    rho: float
    p: float = 2.0
    m: int | None = None  # size of the subsets that the step and the rise are of; None: all the examples together

    def __post_init__(self) -> None:
        check_norm(self.p)
        if self.m is not None and self.m < 1:
            raise LandscapeError(f"got subsets of m = {self.m} examples; expected at least 1")

    @property
    def label(self) -> str:
        """For people."""
        size = "" if self.m is None else f"m = {self.m}"
        return label_of(
            f"{self.name.upper()} sharpness", norm_detail(self.p), *self._details(), size, f"ρ = {self.rho:g}"
        )

    def parameters(self, seed: int) -> dict[str, Any]:
        """Return the parameters that repeat it, JSON-able."""
        drawn = {} if self.m is None else {"seed": seed}
        return {"rho": self.rho, "p": jsonable_norm(self.p), "m": self.m, **self._more(), **drawn}

    def cost(self, examples: int, radii: int = 1) -> Cost:
        """Return the passes and products of a curve of some radii."""
        return Cost(forwards=(1 + radii) * examples, gradients=examples)

    def measure(self, objective: Objective, *, seed: int = 0, on_step: OnStep | None = None) -> MeasureResult:
        """Return L(w + ε̂) − L(w) with its standard error over the examples (ε̂ held), or over the subsets."""
        return next(self.curve(objective, [self.rho], seed=seed, on_step=on_step))

    def curve(
        self,
        objective: Objective,
        radii: Sequence[float],
        *,
        seed: int = 0,
        on_step: OnStep | None = None,
        resumed: bool = False,
    ) -> Iterator[MeasureResult]:
        """Yield the same at several radii ρ, which share their gradients.

        The first radius counts the shared evaluations, unless the curve is `resumed` after radii measured before.
        """
        step = on_step or (lambda _: None)
        curve = self._on_all if self.m is None else self._on_subsets
        for index, result in enumerate(curve(objective, radii, seed, lambda: step(self.name))):
            yield result if index or resumed else dataclasses.replace(result, evaluations=result.evaluations + 2)

    def _on_all(
        self, objective: Objective, radii: Sequence[float], seed: int, step: Callable[[], None]
    ) -> Iterator[MeasureResult]:
        _, gradient = objective.gradient()
        step()
        base = objective.per_example()
        step()
        rounding, single = Rounding(objective), objective.has_per_example_loss
        for rho in radii:
            perturbation = self.perturbation(gradient, objective.origin, rho)
            with np.errstate(invalid="ignore"):  # of inf and NaN
                rises = objective.per_example(displaced(objective.origin, [(1.0, perturbation)])) - base
            step()
            rise = mean_of(rises, per_example=single)
            yield self._result(
                rho,
                seed,
                value=rise.value,
                stderr=rise.stderr,
                meaning="rise of the loss after one ascent step; standard error over the examples",
                evaluations=1,
                diagnostics={
                    "gradient_norm": gradient_norm(gradient),
                    "rounding": rounding.error(perturbation),
                    **(samples_of(rises, "examples") if single else {}),
                },
            )

    def _on_subsets(
        self, objective: Objective, radii: Sequence[float], seed: int, step: Callable[[], None]
    ) -> Iterator[MeasureResult]:
        assert self.m is not None
        available = objective.data[objective.splits[0]].examples
        count, used = count_subsets(available, self.m), min(self.m, available)
        rises: Floats = np.empty((len(radii), count))
        rounding = [0.0] * len(radii)
        for s, subset in enumerate(subsets(objective, self.m, seed=seed)):
            _, gradient = subset.gradient()
            base = subset.per_example()
            step()
            checked = Rounding(subset)
            for r, rho in enumerate(radii):
                perturbation = self.perturbation(gradient, subset.origin, rho)
                with np.errstate(invalid="ignore"):
                    rises[r, s] = (subset.per_example(displaced(subset.origin, [(1.0, perturbation)])) - base).mean()
                if s == 0:
                    rounding[r] = checked.error(perturbation)
        for index, rho in enumerate(radii):
            rise = mean_of(rises[index])
            yield self._result(
                rho,
                seed,
                value=rise.value,
                stderr=rise.stderr,
                meaning=f"rise of the loss after one ascent step, {over_subsets(count, used)}; standard error over the "
                "subsets",
                evaluations=1,
                diagnostics={"rounding": rounding[index], **samples_of(rises[index], "subsets")},
            )

    def _result(self, rho: float, seed: int, **measured: Any) -> MeasureResult:
        at = dataclasses.replace(self, rho=rho)
        return MeasureResult(name=self.name, label=at.label, parameters=at.parameters(seed), **measured)

    def perturbation(self, gradient: Weights, weights: Weights, rho: float) -> Weights:
        """Return ε̂."""
        raise NotImplementedError

    def _details(self) -> tuple[str, ...]:
        return ()

    def _more(self) -> dict[str, Any]:
        return {}


@dataclass(frozen=True)
class SamSharpness(OneStep):
    """SAM sharpness: L(w + ε̂) − L(w) for SAM's ε̂ (Foret et al. 2021, arXiv:2010.01412, eq. 2).

    >>> import torch, landscape
    >>> objective = landscape.Objective(torch.nn.Linear(2, 1), "mse", torch.eye(2), torch.ones(2, 1), device="cpu")
    >>> landscape.sharpness(objective, [landscape.SamSharpness(rho=0.1)]).measures[0].label
    'SAM sharpness, ρ = 0.1'

    Args:
        rho: radius ρ of the ascent step.
        p: its norm.
        m: examples per subset for m-sharpness; None for all examples together.
    """

    name: ClassVar[str] = "sam"
    rho: float = 0.05

    def perturbation(self, gradient: Weights, weights: Weights, rho: float) -> Weights:
        """Return SAM's ε̂."""
        return sam_perturbation(gradient, rho, self.p)


@dataclass(frozen=True)
class AsamSharpness(OneStep):
    """ASAM sharpness: L(w + ε̂) − L(w) for ASAM's ε̂, relative to the weights (Kwon et al. 2021, arXiv:2102.11600).

    >>> import torch, landscape
    >>> objective = landscape.Objective(torch.nn.Linear(2, 1), "mse", torch.eye(2), torch.ones(2, 1), device="cpu")
    >>> landscape.sharpness(objective, [landscape.AsamSharpness(rho=0.1)]).measures[0].label
    'ASAM sharpness, ρ = 0.1'

    Args:
        rho: radius ρ of the ascent step.
        p: its norm.
        m: examples per subset; None for all examples together.
        eta: η in T = diag(|w| + η).
        scope: "all", or "weights-only": T = 1 for parameters without "weight" in their name, as in the authors' code.
    """

    name: ClassVar[str] = "asam"
    rho: float = 0.5
    eta: float = ETA
    scope: Scope = "all"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.eta < math.inf:
            raise LandscapeError(f"got eta = {self.eta:g}; expected a number of at least 0")
        if self.scope not in ("all", "weights-only"):
            raise LandscapeError(f"unknown scope {self.scope!r}; expected all or weights-only")

    def perturbation(self, gradient: Weights, weights: Weights, rho: float) -> Weights:
        """Return ASAM's ε̂."""
        return asam_perturbation(gradient, weights, rho, self.p, eta=self.eta, scope=self.scope)

    def _details(self) -> tuple[str, ...]:
        eta = "" if self.eta == ETA else f"η = {self.eta:g}"
        return eta, "" if self.scope == "all" else "weights only"

    def _more(self) -> dict[str, Any]:
        return {"eta": self.eta, "scope": self.scope}
