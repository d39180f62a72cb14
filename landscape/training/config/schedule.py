"""The learning rate: a function of the step, or of the validation loss."""

from __future__ import annotations

import math
from typing import Literal, TypeAlias

from torch.optim import Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau

Schedule: TypeAlias = Literal["cosine", "constant", "swa", "plateau"]
RhoSchedule: TypeAlias = Literal["constant", "lr", "linear"]

SWA_FACTOR = 0.2  # of the peak, while weights are averaged (Izmailov et al. 2018 take 0.2 to 0.5)


def learning_rate(
    schedule: Schedule, peak: float, *, step: int, steps: int, warmup: float, average_from: float = 0.75
) -> float:
    """Return the learning rate of step 0 … steps − 1: a linear warm-up, then the schedule.

    "cosine": half a cosine towards 0 (Loshchilov & Hutter 2017, arXiv:1608.03983). "swa": half a cosine to a fifth of
    the peak at the start of the averaging, then constant (Izmailov et al. 2018, arXiv:1803.05407, keep it high so that
    the averaged weights differ). "constant", and "plateau" until the validation loss lowers it: the peak.

    >>> [round(learning_rate("cosine", 1.0, step=step, steps=10, warmup=0.2), 3) for step in (0, 1, 2, 6)]
    [0.5, 1.0, 1.0, 0.5]
    """
    rising = round(warmup * steps)
    if step < rising:
        return peak * (step + 1) / rising
    if schedule == "cosine":
        return peak * _cosine((step - rising) / (steps - rising))
    if schedule == "swa":
        falling = max(1, round(average_from * steps) - rising)
        return peak * (SWA_FACTOR + (1 - SWA_FACTOR) * _cosine(min(1.0, (step - rising) / falling)))
    return peak


def perturbation_radius(
    schedule: RhoSchedule, rho: float, *, minimum: float, lr: float, peak: float, progress: float
) -> float:
    """Return SAM's radius of a step.

    "constant": ρ. "lr": in proportion to the learning rate η, ρ_min + (ρ − ρ_min) η / η_max (Zhuang et al. 2022,
    arXiv:2203.08065, Algorithm 1, with η_min = 0). "linear": from ρ_min at the first step to ρ at the last, so that
    late steps are the sharpness-aware ones.

    >>> [perturbation_radius("lr", 0.1, minimum=0.02, lr=lr, peak=1.0, progress=0.5) for lr in (1.0, 0.5, 0.0)]
    [0.1, 0.06, 0.02]

    Args:
        schedule: of the radius.
        rho: the largest radius.
        minimum: ρ_min.
        lr: learning rate of the step.
        peak: largest learning rate.
        progress: fraction of the steps taken, 0 at the first step and 1 at the last.
    """
    if schedule == "constant":
        return rho
    return minimum + (rho - minimum) * (lr / peak if schedule == "lr" else progress)


def plateau_scheduler(optimizer: Optimizer) -> ReduceLROnPlateau:
    """Return a scheduler that halves the learning rate after 3 epochs without a lower validation loss (as Keras)."""
    return ReduceLROnPlateau(optimizer, factor=0.5, patience=2, threshold=1e-4, threshold_mode="abs")


def _cosine(fraction: float) -> float:
    return 0.5 * (1 + math.cos(math.pi * fraction))
