"""The learning rate: a function of the step, or of the validation loss."""

from __future__ import annotations

import math
from typing import Literal, TypeAlias

from torch.optim import Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau

Schedule: TypeAlias = Literal["cosine", "constant", "swa", "plateau"]

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


def plateau_scheduler(optimizer: Optimizer) -> ReduceLROnPlateau:
    """Return a scheduler that halves the learning rate after 3 epochs without a lower validation loss (as Keras)."""
    return ReduceLROnPlateau(optimizer, factor=0.5, patience=2, threshold=1e-4, threshold_mode="abs")


def _cosine(fraction: float) -> float:
    return 0.5 * (1 + math.cos(math.pi * fraction))
