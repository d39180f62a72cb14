"""Sharpness measures: SAM's, Keskar's, the average-case one, and the largest Hessian eigenvalue."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from landscape.analysis.curvature import hessian
from landscape.analysis.directions import raw_direction
from landscape.analysis.estimates import estimate_of
from landscape.analysis.keskar import box_half_widths, maximize_in_box
from landscape.analysis.objective import Objective
from landscape.analysis.provenance import describe
from landscape.analysis.weights import flatten, moved, norm, unflatten
from landscape.results import Floats, Measure, Sharpness, Spectrum

OnStep = Callable[[str], None]  # called with the measure's name after each evaluation

KESKAR_EPSILONS = (1e-3, 5e-4)


def sharpness(
    objective: Objective,
    *,
    epsilons: Sequence[float] = KESKAR_EPSILONS,
    restarts: int = 1,
    rho: float = 0.05,
    average_rho: float = 0.1,
    pairs: int = 10,
    lambda_max: bool = True,
    tolerance: float = 1e-3,
    seed: int = 0,
    on_step: OnStep | None = None,
) -> Sharpness:
    """Return the sharpness measures of an objective at its weights, on its first split.

    Args:
        objective: whose loss, at whose weights.
        epsilons: box sizes of Keskar's ε-sharpness.
        restarts: random starts of its maximization besides the vertex.
        rho: radius of SAM's perturbation.
        average_rho: relative size of the Gaussian perturbations of the average-case measure.
        pairs: antithetic pairs of it.
        lambda_max: whether to compute the largest Hessian eigenvalue.
        tolerance: of that eigenvalue's residual, relative.
        seed: of all random draws.
        on_step: called with the name of the measure after each evaluation.
    """
    started = time.perf_counter()
    measures = [
        keskar_sharpness(objective, epsilon, restarts=restarts, seed=seed, on_step=on_step) for epsilon in epsilons
    ]
    measures.append(sam_sharpness(objective, rho, on_step=on_step))
    measures.append(average_sharpness(objective, average_rho, pairs=pairs, seed=seed, on_step=on_step))
    if lambda_max:
        measures.append(largest_eigenvalue(objective, tolerance=tolerance, seed=seed, on_step=on_step))
    attributes = {**describe(objective), "seed": seed, "seconds": time.perf_counter() - started}
    return Sharpness(tuple(measures), attributes)


def keskar_sharpness(
    objective: Objective, epsilon: float, *, restarts: int = 1, seed: int = 0, on_step: OnStep | None = None
) -> Measure:
    """Return Keskar's φ(ε, A = I) in percent: a lower bound of the maximum (arXiv:1609.04836, Metric 2.1)."""
    x = flatten(objective.origin)

    def function(z: Floats) -> tuple[float, Floats]:
        weights = unflatten(x + torch.from_numpy(z).to(x), objective.origin)
        value, gradient = objective.gradient(weights)
        return value, flatten(gradient).cpu().double().numpy()

    found = maximize_in_box(
        function,
        box_half_widths(x.cpu().numpy(), epsilon),
        restarts=restarts,
        seed=seed,
        on_evaluation=None if on_step is None else lambda: on_step("keskar"),
    )
    return Measure(
        name="keskar",
        label=f"Keskar ε-sharpness, ε = {epsilon:g}",
        value=found.sharpness,
        stderr=math.nan,
        meaning="percent; lower bound of the maximum over the box, best of the starts",
        evaluations=found.evaluations,
        parameters={
            "epsilon": epsilon,
            "restarts": restarts,
            "seed": seed,
            "space": "full",
            "starts": list(found.starts),
        },
    )


def sam_sharpness(objective: Objective, rho: float = 0.05, *, on_step: OnStep | None = None) -> Measure:
    """Return L(w + ε̂) − L(w) for SAM's one-step perturbation ε̂ = ρ g / ‖g‖₂ (arXiv:2010.01412, eq. 2, p = 2).

    The standard error is that of the paired difference over the examples, with ε̂ held.
    """
    _, gradient = objective.gradient()
    length = norm(gradient)
    step = rho / length if length > 0 else 0.0
    weights = moved(objective.origin, [(step, gradient)])
    with np.errstate(invalid="ignore"):  # of inf and NaN
        difference = objective.per_example(weights) - objective.per_example()
    rise = estimate_of(difference, single=objective.has_per_example_loss)
    if on_step is not None:
        for _ in range(3):
            on_step("sam")
    return Measure(
        name="sam",
        label=f"SAM sharpness, ρ = {rho:g}",
        value=rise.value,
        stderr=rise.stderr,
        meaning="rise of the loss after one ascent step; standard error over the examples",
        evaluations=3,
        parameters={"rho": rho, "p": 2, "gradient_norm": length},
    )


def average_sharpness(
    objective: Objective,
    rho: float = 0.1,
    *,
    adaptive: bool = True,
    pairs: int = 10,
    seed: int = 0,
    on_step: OnStep | None = None,
) -> Measure:
    """Return the mean of L(w + δ) − L(w), δ ~ N(0, ρ² diag(c²)), c = |w| or 1 (arXiv:2302.07011, eq. 2).

    Over antithetic pairs ±δ; the standard error is over the pairs.
    """
    base = objective.loss()
    shapes = {name: w.shape for name, w in objective.origin.items()}
    rises = []
    for pair in range(pairs):
        noise = {name: d.to(objective.origin[name]) for name, d in raw_direction(shapes, seed, pair).items()}
        if adaptive:
            noise = {name: d * objective.origin[name].abs() for name, d in noise.items()}
        both = []
        for sign in (1.0, -1.0):
            both.append(objective.loss(moved(objective.origin, [(sign * rho, noise)])) - base)
            if on_step is not None:
                on_step("average")
        rises.append(sum(both) / 2)
    mean = estimate_of(np.asarray(rises), single=True)
    return Measure(
        name="average",
        label=f"average-case sharpness{', adaptive' if adaptive else ''}, ρ = {rho:g}",
        value=mean.value,
        stderr=mean.stderr,
        meaning=f"mean rise over {pairs} antithetic pairs of Gaussian perturbations; standard error over the pairs",
        evaluations=1 + 2 * pairs,
        parameters={"rho": rho, "adaptive": adaptive, "pairs": pairs, "seed": seed},
    )


def largest_eigenvalue(
    objective: Objective, *, tolerance: float = 1e-3, seed: int = 0, on_step: OnStep | None = None
) -> Measure:
    """Return λ_max of the Hessian, within the stated residual of an exact eigenvalue."""

    def on_product(count: int, relative: Tensor) -> None:
        if on_step is not None:
            on_step("lambda_max")

    return lambda_max_measure(hessian(objective, top=1, tolerance=tolerance, seed=seed, on_product=on_product))


def lambda_max_measure(spectrum: Spectrum) -> Measure:
    """Return the largest eigenvalue of a spectrum as a measure."""
    bound, converged = float(spectrum.bounds[0]), bool(spectrum.converged[0])
    parameters = {name: spectrum.attributes.get(name) for name in ("operator", "tolerance", "seed")}
    return Measure(
        name="lambda_max",
        label="λ_max of the Hessian",
        value=float(spectrum.eigenvalues[0]),
        stderr=math.nan,
        meaning=f"an eigenvalue lies within ± {bound:.2g} of it{'' if converged else '; NOT CONVERGED'}",
        evaluations=spectrum.products,
        parameters={**parameters, "bound": bound, "residual": float(spectrum.residuals[0]), "converged": converged},
    )
