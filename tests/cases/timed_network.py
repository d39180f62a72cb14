"""A network whose passes cost what a test says."""

from typing import Any

import torch
from torch import Tensor, nn

from landscape.analysis.objective.objective import Objective

N = 600
INPUTS = torch.randn(N, 5, generator=torch.Generator().manual_seed(1))
LABELS = torch.randint(0, 3, (N,), generator=torch.Generator().manual_seed(2))


class Network(nn.Module):
    """Counts its passes by the precision and the batch size it sees."""

    def __init__(self, *, refuses: torch.dtype | None = None) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.body = nn.Sequential(nn.Linear(5, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Linear(8, 3))
        self.refuses = refuses

    def forward(self, x: Tensor) -> Tensor:
        if x.dtype == self.refuses:
            raise NotImplementedError("no such kernel")
        SEEN.append((x.dtype, len(x)))
        return self.body(x)


SEEN: list[tuple[torch.dtype, int]] = []


def objective(data: Any = None, **options: Any) -> Objective:
    refuses = options.pop("refuses", None)
    data = data or {"train": (INPUTS, LABELS), "test": (INPUTS[:100], LABELS[:100])}
    return Objective(Network(refuses=refuses), "cross_entropy", data, device="cpu", **options)
