"""A small classifier and a quadratic, with planes through them in closed form."""

from typing import Any

import torch
from torch import Tensor, nn

from landscape.analysis.objective.objective import Objective

N = 8
INPUTS = torch.randn(N, 4, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
LABELS = torch.tensor([0, 1, 2, 0, 1, 2, 0, 1])


def network(seed: int = 1) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.Tanh(), nn.Linear(5, 3)).double()
        model[1].running_mean.normal_()
        model[1].running_var.uniform_(0.3, 3)
    return model.eval()


def objective(model: nn.Module | None = None, **options: Any) -> Objective:
    return Objective(model or network(), "cross_entropy", INPUTS, LABELS, device="cpu", precision="float64", **options)


class Quadratic(nn.Module):
    """A model whose loss is ½ wᵀ A w + bᵀ w, the same for every example."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        half = torch.randn(6, 6, generator=generator, dtype=torch.float64)
        self.A, self.b = half @ half.T, torch.randn(6, generator=generator, dtype=torch.float64)
        self.w = nn.Parameter(torch.randn(2, 3, generator=generator, dtype=torch.float64))

    def value(self, w: Tensor) -> Tensor:
        return 0.5 * w @ self.A @ w + self.b @ w

    def forward(self, x: Tensor) -> Tensor:
        return self.value(self.w.flatten()).expand(len(x))


def quadratic() -> tuple[Quadratic, Objective]:
    model = Quadratic()
    given = Objective(model, lambda y, _: y, INPUTS, LABELS, device="cpu", precision="float64", fold=False)
    return model, given
