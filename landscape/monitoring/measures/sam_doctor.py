"""SAM's two gradients compared: is the radius too large, or has SAM stopped at a point that is no minimum?"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.optim import Adadelta, Optimizer

from landscape.analysis.objective.objective import Objective
from landscape.analysis.objective.weights import Weights, displaced, dot, norm
from landscape.analysis.sharpness.solvers.ascent_step import Scope, asam_perturbation, sam_perturbation
from landscape.analysis.sharpness.subsets import subsets
from landscape.monitoring.measures.protocol import Probe, Reading

VANISHED = 0.1  # of the plain gradient's norm
TOO_LARGE = 3.0  # rise of the loss over its first-order value: curvature adds twice what the slope does
DRIFTED = 0.5  # standard deviations of a channel
_COUNTS = ("", "", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


@dataclass(frozen=True)
class SamDoctor:
    """Gradient g′ at the perturbed weights w + ε̂ against the gradient g at w, over batches as SAM takes them.

    Four numbers, each from means over the batches: ‖g′‖ / ‖g‖, which vanishes where SAM has stopped at a point that is
    no minimum of the loss (a hallucinated minimizer, arXiv:2509.21818); the cosine between both; the rise of the loss
    L(w + ε̂) − L(w) over its first-order value gᵀε̂ (ρ‖g‖₂ for SAM), which is 1 where the ascent step is valid; and the
    drift of BatchNorm's batch means between w and w + ε̂, root mean square over the channels in standard deviations,
    over the objective's calibration examples. A sentence says once what is off. Losses and gradients are in evaluation
    mode. The radius, its norm and ASAM's scaling are those of the optimizer: of `landscape.SAM`, or of any whose
    parameter groups have an entry `rho`.

    Args:
        batch_size: examples that share a perturbation; the training's.
        batches: number of batches, as far as the monitor's examples go; each takes two gradients.
        rho: radius for an optimizer without one; None measures nothing there.
    """

    batch_size: int = 128
    batches: int = 2
    rho: float | None = None

    name: ClassVar[str] = "sam_doctor"
    needs_previous: ClassVar[bool] = False

    def parameters(self) -> Mapping[str, Any]:
        """Return size and number of the batches, and the radius if it is given."""
        return {"batch_size": self.batch_size, "batches": self.batches, "rho": self.rho}

    def read(self, probe: Probe, memory: dict[str, Any]) -> Sequence[Reading]:
        """Return the four numbers, with a sentence for each that is off; none for an optimizer that is no SAM."""
        ascent = Ascent.of(probe.optimizer, self.rho)
        if ascent is None:
            return []
        examples = self.batch_size * self.batches
        parts = list(subsets(probe.objective, self.batch_size, examples=examples, seed=probe.seed))
        plain, perturbed, rise, slope = _compare(parts, ascent)
        length, other = norm(plain), norm(perturbed)
        shrinkage, cosine = _ratio(other, length), _ratio(dot(plain, perturbed), length * other)
        excess, drift = _ratio(rise, slope), _drift(probe.objective, plain, ascent)
        sentences = {
            "sam_gradient_ratio": _vanished(shrinkage, length),
            "sam_gradient_cosine": _against(cosine, shrinkage),
            "sam_rise_ratio": _too_large(excess),
            "sam_batchnorm_drift": _drifted(drift),
        }
        values = dict(zip(sentences, (shrinkage, cosine, excess, drift), strict=True))
        said = memory.setdefault("said", set())
        readings = []
        for name, value in values.items():
            if not (name == "sam_batchnorm_drift" and math.isnan(value)):  # a model without BatchNorm
                readings.append(Reading(name, value, warning="" if name in said else sentences[name]))
                said |= {name} if sentences[name] else set()
        return readings


@dataclass(frozen=True)
class Ascent:
    """Perturbation of a SAM optimizer: radius, norm of the ball, and ASAM's scaling."""

    rho: float
    p: float = 2.0
    scope: Scope | None = None  # of ASAM; None for SAM
    eta: float = 0.01

    @staticmethod
    def of(optimizer: Optimizer, rho: float | None = None) -> Ascent | None:
        """Return the perturbation of an optimizer; `rho` is the radius if its groups have none. None without either.

        >>> w = torch.nn.Parameter(torch.ones(1))
        >>> Ascent.of(torch.optim.SGD([w], lr=0.1), rho=0.05)
        Ascent(rho=0.05, p=2.0, scope=None, eta=0.01)
        """
        group = optimizer.param_groups[0]
        key = getattr(optimizer, "radius_key", "rho")
        is_sam = key.endswith("rho") and not isinstance(optimizer, Adadelta)  # whose rho is a decay
        radius = group.get(key, rho) if is_sam else rho
        if radius is None:
            return None
        adaptive = getattr(optimizer, "adaptive", group.get("adaptive", "none"))
        scope: Scope | None = {True: "all", "all": "all", "weights-only": "weights-only"}.get(adaptive)  # type: ignore[assignment]
        eta = float(getattr(optimizer, "eta", 0.0 if adaptive is True else 0.01))
        return Ascent(float(radius), float(getattr(optimizer, "p", 2.0)), scope, eta)

    def step(self, gradient: Weights, weights: Mapping[str, Tensor]) -> Weights:
        """Return ε̂ for a gradient at these weights."""
        if self.scope is None:
            return sam_perturbation(gradient, self.rho, self.p)
        return asam_perturbation(gradient, weights, self.rho, self.p, eta=self.eta, scope=self.scope)


def _compare(parts: Sequence[Objective], ascent: Ascent) -> tuple[Weights, Weights, float, float]:
    """Return the mean gradients at w and at w + ε̂, and the mean rise of the loss and gᵀε̂, over the batches."""
    plain: Weights = {}
    perturbed: Weights = {}
    rise = slope = 0.0
    for part in parts:
        loss, gradient = part.gradient()
        step = ascent.step(gradient, part.origin)
        higher, other = part.gradient(displaced(part.origin, [(1.0, step)]))
        for sums, new in ((plain, gradient), (perturbed, other)):
            for name, value in new.items():
                sums[name] = sums[name] + value if name in sums else value.clone()
        rise, slope = rise + higher - loss, slope + dot(gradient, step)
    scale = 1 / len(parts)
    mean = [{name: scale * value for name, value in sums.items()} for sums in (plain, perturbed)]
    return mean[0], mean[1], scale * rise, scale * slope


def _drift(objective: Objective, gradient: Weights, ascent: Ascent) -> float:
    """Return the root mean square shift of BatchNorm's means at w + ε̂, in standard deviations; NaN without any."""
    names = [name for name in objective.network.buffers if name.endswith("running_mean")]
    if not names:
        return math.nan
    before = objective.network.recalibrated(None)
    after = objective.network.recalibrated(
        displaced(objective.origin, [(1.0, ascent.step(gradient, objective.origin))])
    )
    variances = [before[name.replace("running_mean", "running_var")].double() for name in names]
    shifts = [
        ((after[name].double() - before[name].double()).square() / variance)[variance > 0]
        for name, variance in zip(names, variances, strict=True)
    ]
    return math.sqrt(float(torch.cat(shifts).mean()))


def _ratio(a: float, b: float) -> float:
    return a / b if b else math.nan


def _vanished(ratio: float, length: float) -> str:
    if not ratio < VANISHED:
        return ""
    return (
        f"SAM has stopped, or nearly, at a point that is no minimum of the loss: the perturbed gradient is {ratio:.2g} "
        f"of the plain one, whose norm is {length:.2g}; take a smaller rho, or continue with the base optimizer"
    )


def _against(cosine: float, ratio: float) -> str:
    if not cosine < 0 or ratio < VANISHED:
        return ""
    return f"SAM's steps raise the loss: the perturbed gradient points against the plain one (cosine {cosine:.2f})"


def _too_large(ratio: float) -> str:
    if not ratio > TOO_LARGE:
        return ""
    count = round(ratio)
    times = _COUNTS[count] if count < len(_COUNTS) else f"{ratio:.2g}"
    return (
        f"rho is about {times} times too large: the rise of the loss is {ratio:.1f} of its first-order value; take rho "
        f"divided by {max(count, 2)}, or less"
    )


def _drifted(drift: float) -> str:
    if not drift > DRIFTED:
        return ""
    return (
        f"BatchNorm's means move by {drift:.2f} standard deviations between the passes: update its statistics in the "
        "first pass only, as SAM(model=model) does, and take a smaller rho"
    )
