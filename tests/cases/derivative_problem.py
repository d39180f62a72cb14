"""A small network with dense matrices of its curvature."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from landscape.analysis.objective.objective import Objective

N = 10
INPUTS = torch.randn(N, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
LABELS = torch.randint(0, 3, (N,), generator=torch.Generator().manual_seed(2))
REALS = torch.randn(N, 3, generator=torch.Generator().manual_seed(3), dtype=torch.float64)


class Cubed(torch.autograd.Function):
    """x³ with a second derivative but no forward mode, as hand-written operators are."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return 3 * x**2 * grad


class Power(nn.Module):
    """x³, by torch or by the operator above."""

    def __init__(self, *, by_hand: bool) -> None:
        super().__init__()
        self.by_hand = by_hand

    def forward(self, x: Tensor) -> Tensor:
        return Cubed.apply(x) if self.by_hand else x**3


def network(middle: nn.Module | None = None) -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(4, 3), middle or nn.Tanh(), nn.Linear(3, 3)).double()


def objective(model: nn.Module, loss: Any = "cross_entropy", targets: Tensor = LABELS, **options: Any) -> Objective:
    return Objective(model, loss, INPUTS, targets, device="cpu", **{"precision": "float64", "batch_size": 4, **options})


def matrix(product: Callable[[Tensor], Tensor], n: int) -> Tensor:
    return torch.stack([product(column) for column in torch.eye(n, dtype=torch.float64)], dim=1)


def jacobian(outputs: Tensor, parameters: list[Tensor]) -> Tensor:
    rows = [torch.autograd.grad(o, parameters, retain_graph=True, materialize_grads=True) for o in outputs.flatten()]
    return torch.stack([torch.cat([g.flatten() for g in row]) for row in rows])


def dense(outputs: Tensor, loss: Callable[[Tensor], Tensor], parameters: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Return the Hessian and the GGN of `loss(outputs)` by double backward."""
    gradient = torch.autograd.grad(loss(outputs), parameters, create_graph=True, materialize_grads=True)
    H = jacobian(torch.cat([g.flatten() for g in gradient]), parameters)
    J = jacobian(outputs, parameters)
    ends = outputs.detach().requires_grad_()
    slope = torch.autograd.grad(loss(ends), ends, create_graph=True)[0]
    inner = jacobian(slope, [ends]) if slope.requires_grad else torch.zeros(ends.numel(), ends.numel())
    return H, J.T @ inner @ J
