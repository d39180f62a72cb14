"""A small classifier and its data, for curves between two of them."""

from typing import Any

import torch
from torch import Tensor, nn

from landscape.analysis.objective.objective import Objective

N = 12
INPUTS = torch.randn(N, 4, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
LABELS = torch.arange(N) % 3


def network(seed: int) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.Tanh(), nn.Linear(5, 3)).double()
        model[1].running_mean.normal_()
        model[1].running_var.uniform_(0.3, 3)
    return model.eval()


def objective(model: nn.Module | None = None, data: Any = None, **options: Any) -> Objective:
    given = data or {"train": (INPUTS, LABELS)}
    return Objective(model or network(0), "cross_entropy", given, device="cpu", precision="float64", **options)


def flat(state: Any) -> Tensor:
    names = [name for name, _ in network(0).named_parameters()]
    return torch.cat([state[name].detach().flatten() for name in names])
