"""Callbacks of a training run: what it reports after each step and each epoch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from torch import nn
from torch.optim import Optimizer

OnStep: TypeAlias = Callable[[int, int], None]  # number of finished steps, and of all steps of the run
OnUpdate: TypeAlias = Callable[[int, nn.Module, Optimizer], object]  # number of finished steps, model, optimizer


@dataclass(frozen=True)
class EpochReport:
    """Progress after an epoch."""

    recipe: str
    epoch: int  # 1 … epochs
    epochs: int
    row: Mapping[str, float]  # value of each column of the history in this epoch
    images_per_second: float  # in training steps, without evaluation; a SAM step counts its images once
