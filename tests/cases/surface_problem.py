"""A quadratic and a small classifier with BatchNorm."""

from typing import Any

import torch
from torch import nn

from landscape.analysis.objective.objective import Objective

N = 20


def small_network() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(2, 4, 3, bias=False), nn.BatchNorm2d(4), nn.Tanh(), nn.Flatten(), nn.Linear(16, 3)
        )


IMAGES = torch.randn(N, 2, 4, 4, generator=torch.Generator().manual_seed(1))
LABELS = torch.randint(0, 3, (N,), generator=torch.Generator().manual_seed(2))
DATA = {"train": (IMAGES, LABELS), "test": (IMAGES[:9] + 0.3, LABELS[:9])}


def classifier(**options: Any) -> Objective:
    return Objective(small_network(), "cross_entropy", DATA, device="cpu", **{"precision": "float64", **options})
