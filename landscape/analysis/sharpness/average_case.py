"""Average-case sharpness S_avg: the mean rise of the loss under Gaussian perturbations, in antithetic pairs."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from landscape.analysis.objective.objective import Objective
from landscape.analysis.objective.weights import Weights, displaced
from landscape.analysis.planes.normalization import raw_direction
from landscape.analysis.sharpness.diagnostics import Rounding, samples_of
from landscape.analysis.sharpness.labels import label_of
from landscape.analysis.sharpness.logits import Logits, with_logits
from landscape.analysis.sharpness.protocol import Cost, OnStep
from landscape.results import Floats, MeasureResult
from landscape.stats.mean import mean_of


@dataclass(frozen=True)
class AverageSharpness:
    """Average-case sharpness: S_avg = E_δ [L(w + δ) − L(w)], δ ~ N(0, ρ² diag(c²)) (arXiv:2302.07011, eq. 1).

    The mean is over antithetic pairs ±δ, in which odd terms cancel, and over all examples, which equals the mean over
    subsets.

    >>> import torch, landscape
    >>> objective = landscape.Objective(torch.nn.Linear(2, 1), "mse", torch.eye(2), torch.ones(2, 1), device="cpu")
    >>> landscape.sharpness(objective, [landscape.AverageSharpness(rho=0.2, pairs=2)]).measures[0].label
    'average-case sharpness, adaptive, ρ = 0.2'

    Args:
        rho: relative size ρ of the perturbations.
        adaptive: c = |w|, otherwise 1.
        pairs: number of antithetic pairs.
        logits: "raw", or "normalized" as in the paper.
    """

    name: ClassVar[str] = "average"
    rho: float = 0.1
    adaptive: bool = True
    pairs: int = 10
    logits: Logits = "raw"

    @property
    def label(self) -> str:
        """For people."""
        return label_of(
            "average-case sharpness",
            "adaptive" if self.adaptive else "",
            "normalized logits" if self.logits == "normalized" else "",
            f"ρ = {self.rho:g}",
        )

    def parameters(self, seed: int) -> dict[str, Any]:
        """Return the parameters that repeat it, JSON-able."""
        return {**dataclasses.asdict(self), "seed": seed}

    def cost(self, examples: int, radii: int = 1) -> Cost:
        """Return the passes and products of a curve of some radii."""
        return Cost(forwards=(1 + 2 * self.pairs * radii) * examples)

    def measure(self, objective: Objective, *, seed: int = 0, on_step: OnStep | None = None) -> MeasureResult:
        """Return S_avg with its standard error over the pairs."""
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
        """Yield the same at several radii ρ, which share the draws and the loss at the weights.

        The first radius counts that loss's evaluation, unless the curve is `resumed` after radii measured before.
        """
        step = on_step or (lambda _: None)
        objective = with_logits(objective, self.logits)
        base = objective.loss()
        step(self.name)
        rises: Floats = np.empty((len(radii), self.pairs))
        first: Weights = {}
        for pair in range(self.pairs):
            noise = self._noise(objective, seed, pair)
            first = first or noise
            for r, rho in enumerate(radii):
                with np.errstate(invalid="ignore"):  # of inf and NaN
                    both = [
                        objective.loss(displaced(objective.origin, [(sign * rho, noise)])) - base
                        for sign in (1.0, -1.0)
                    ]
                rises[r, pair] = (both[0] + both[1]) / 2
                step(self.name)
                step(self.name)
        rounding = Rounding(objective)
        for r, rho in enumerate(radii):
            mean = mean_of(rises[r])
            at = dataclasses.replace(self, rho=rho)
            yield MeasureResult(
                name=self.name,
                label=at.label,
                value=mean.value,
                stderr=mean.stderr,
                meaning=f"mean rise over {self.pairs} antithetic pairs of Gaussian perturbations; standard error over "
                "the pairs",
                evaluations=2 * self.pairs + (r == 0 and not resumed),
                parameters=at.parameters(seed),
                diagnostics={
                    "rounding": rounding.error({name: rho * d for name, d in first.items()}),
                    **samples_of(rises[r], "pairs"),
                },
            )

    def _noise(self, objective: Objective, seed: int, pair: int) -> Weights:
        """Return c ⊙ N(0, 1) draws."""
        shapes = {name: w.shape for name, w in objective.origin.items()}
        drawn = {name: d.to(objective.origin[name]) for name, d in raw_direction(shapes, seed, pair).items()}
        if not self.adaptive:
            return drawn
        return {name: d * objective.origin[name].abs() for name, d in drawn.items()}
