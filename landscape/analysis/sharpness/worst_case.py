"""Worst-case sharpness S_max: the largest rise of the loss in a ball, mean over random subsets of the examples."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from landscape.analysis.objective.objective import Objective
from landscape.analysis.objective.weights import displaced, flatten, unflatten
from landscape.analysis.planes.normalization import raw_direction
from landscape.analysis.sharpness.diagnostics import Rounding, samples_of
from landscape.analysis.sharpness.labels import jsonable_norm, label_of, over_subsets
from landscape.analysis.sharpness.logits import Logits, with_logits
from landscape.analysis.sharpness.protocol import Cost, OnStep
from landscape.analysis.sharpness.solvers.auto_pgd import STEPS, BallMaximum, auto_pgd
from landscape.analysis.sharpness.subsets import count_subsets, subsets
from landscape.errors import LandscapeError
from landscape.results import MeasureResult
from landscape.stats.mean import mean_of

_RESTART_DRAWS = 1_000_000  # numbers of random starts begin here, away from those of random directions


@dataclass(frozen=True)
class WorstCaseSharpness:
    """Worst-case sharpness: S_max = E_{|S|=m} max_{‖δ ⊘ c‖_p ≤ ρ} [L_S(w+δ) − L_S(w)] (arXiv:2302.07011, eq. 1).

    Auto-PGD maximizes over u = δ ⊘ c from u = 0 and `restarts` random points. If adaptive, weights that are 0 stay.

    >>> import torch, landscape
    >>> objective = landscape.Objective(torch.nn.Linear(2, 1), "mse", torch.eye(2), torch.ones(2, 1), device="cpu")
    >>> landscape.sharpness(objective, [landscape.WorstCaseSharpness(rho=0.01, m=2, examples=2)]).measures[0].label
    'worst-case sharpness, adaptive, p = ∞, m = 2, ρ = 0.01'

    Args:
        rho: radius ρ of the ball.
        p: norm of the ball, 2 or inf.
        adaptive: c = |w|, otherwise 1.
        m: examples per subset.
        examples: examples of all subsets together.
        restarts: random starts besides 0.
        logits: "raw", or "normalized" as in the paper.
    """

    name: ClassVar[str] = "max"
    rho: float = 0.002
    p: float = math.inf
    adaptive: bool = True
    m: int = 128
    examples: int = 1024
    restarts: int = 0
    logits: Logits = "raw"

    def __post_init__(self) -> None:
        if self.p not in (2, math.inf):
            raise LandscapeError(f"got p = {self.p:g} for a worst case; expected 2 or inf")
        if self.restarts < 0:
            raise LandscapeError(f"got {self.restarts} restarts; expected at least 0")
        if self.m < 1 or self.examples < self.m:
            raise LandscapeError(f"got subsets of {self.m} out of {self.examples} examples; expected 1 ≤ m ≤ examples")

    @property
    def label(self) -> str:
        """For people."""
        return label_of(
            "worst-case sharpness",
            "adaptive" if self.adaptive else "",
            "p = ∞" if math.isinf(self.p) else f"p = {self.p:g}",
            "normalized logits" if self.logits == "normalized" else "",
            "" if self.m == 128 else f"m = {self.m}",
            f"ρ = {self.rho:g}",
        )

    def parameters(self, seed: int) -> dict[str, Any]:
        """Return the parameters that repeat it, JSON-able."""
        return {**dataclasses.asdict(self), "p": jsonable_norm(self.p), "steps": STEPS, "seed": seed}

    def cost(self, examples: int, radii: int = 1) -> Cost:
        """Return the passes and products of a curve of some radii."""
        used = radii * count_subsets(examples, self.m, self.examples) * min(self.m, examples)
        return Cost(forwards=2.0 * used, gradients=(STEPS + 1.0) * (self.restarts + 1) * used)

    def measure(self, objective: Objective, *, seed: int = 0, on_step: OnStep | None = None) -> MeasureResult:
        """Return S_max, of lower bounds of the maxima, with its standard error over the subsets."""
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
        """Yield the same at several radii ρ, which share nothing: `resumed` changes nothing."""
        objective = with_logits(objective, self.logits)
        for rho in radii:
            yield dataclasses.replace(self, rho=rho)._measured(objective, seed, on_step or (lambda _: None))

    def _measured(self, objective: Objective, seed: int, step: OnStep) -> MeasureResult:
        rises, evaluations, rounding = [], [], 0.0
        for number, subset in enumerate(subsets(objective, self.m, examples=self.examples, seed=seed)):
            c = _scale(subset, adaptive=self.adaptive)
            maximum = self.maximum(subset, c, seed=seed, number=number, on_evaluation=lambda: step(self.name))
            delta = unflatten(maximum.point * c, subset.origin)
            with np.errstate(invalid="ignore"):  # of inf and NaN
                paired = subset.per_example(displaced(subset.origin, [(1.0, delta)])) - subset.per_example()
            step(self.name)
            rises.append(float(paired.mean()))
            evaluations.append(maximum.evaluations + 2)
            if number == 0:
                rounding = Rounding(subset).error(delta)
        mean = mean_of(np.asarray(rises))
        used = subset.data[subset.splits[0]].examples
        return MeasureResult(
            name=self.name,
            label=self.label,
            value=mean.value,
            stderr=mean.stderr,
            meaning=f"largest rise of the loss found, a lower bound of the maximum, {over_subsets(len(rises), used)}; "
            "standard error over the subsets",
            evaluations=math.ceil(np.mean(evaluations)),
            parameters=self.parameters(seed),
            diagnostics={"rounding": rounding, **samples_of(np.asarray(rises), "subsets")},
        )

    def maximum(
        self,
        subset: Objective,
        c: Tensor,
        *,
        seed: int = 0,
        number: int = 0,
        on_evaluation: Callable[[], None] | None = None,
    ) -> BallMaximum:
        """Return the highest point u on one subset, (n,), of those that all starts reach."""
        w = flatten(subset.origin)

        def function(u: Tensor) -> tuple[float, Tensor]:
            value, gradient = subset.gradient(unflatten(w + c * u, subset.origin))
            return value, c * flatten(gradient)

        best: BallMaximum | None = None
        evaluations = 0
        for start in range(self.restarts + 1):
            u = torch.zeros_like(w) if start == 0 else self.random_start(subset, c, seed, number, start)
            maximum = auto_pgd(function, u, self.rho, p=self.p, on_evaluation=on_evaluation)
            evaluations += maximum.evaluations
            if best is None or maximum.value > best.value or math.isnan(maximum.value):
                best = maximum
            if not math.isfinite(best.value):
                break
        assert best is not None
        return dataclasses.replace(best, evaluations=evaluations)

    def random_start(self, subset: Objective, c: Tensor, seed: int, number: int, start: int) -> Tensor:
        """Return a random point that depends on no other start: uniform in the box for p = ∞, on the sphere for 2."""
        shapes = {name: w.shape for name, w in subset.origin.items()}
        drawn = raw_direction(shapes, seed, start * _RESTART_DRAWS + number)
        normal = torch.where(c != 0, flatten(drawn).to(c), 0.0)
        if math.isinf(self.p):
            return self.rho * torch.erf(normal / math.sqrt(2))  # Φ makes normal numbers uniform
        length = float(torch.linalg.vector_norm(normal))
        return normal * (self.rho / length) if length > 0 else normal


def _scale(objective: Objective, *, adaptive: bool) -> Tensor:
    """Return c, (n,)."""
    w = flatten(objective.origin)
    return w.abs() if adaptive else torch.ones_like(w)
