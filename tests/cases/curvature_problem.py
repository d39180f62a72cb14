"""A small classifier, and its curvature matrices dense and in float64 (loaded by path: tests are not a package)."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from landscape.analysis.objective.objective import Objective

N = 9
INPUTS = torch.randn(N, 2, 3, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
LABELS = torch.randint(0, 3, (N,), generator=torch.Generator().manual_seed(2))


class Quadratic(nn.Module):
    """½ Σ λ w², whatever the example."""

    def __init__(self, spectrum: list[float]) -> None:
        super().__init__()
        self.spectrum = nn.Buffer(torch.tensor(spectrum, dtype=torch.float64))
        self.w = nn.Parameter(torch.ones(len(spectrum), dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        return (0.5 * self.spectrum * self.w.square()).sum() * torch.ones_like(x[:, 0])


def quadratic(spectrum: list[float], **options: Any) -> Objective:
    return Objective(
        Quadratic(spectrum),
        lambda outputs, _: outputs,
        torch.ones(4, 1),
        torch.zeros(4),
        device="cpu",
        **{"precision": "float64", **options},
    )


def network() -> nn.Module:
    """Return a convolution with a BatchNorm folded into it, and a linear layer; 29 parameters."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(
            nn.Conv2d(2, 2, 2, bias=False), nn.BatchNorm2d(2), nn.Tanh(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(2, 3)
        )
        model[1].running_var.uniform_(0.3, 2)
        model[1].weight.data.uniform_(0.5, 2)
    return model.double().eval()


def classifier(**options: Any) -> Objective:
    return Objective(
        network(), "cross_entropy", INPUTS, LABELS, device="cpu", **{"precision": "float64", "batch_size": 4, **options}
    )


def dense() -> dict[str, Tensor]:
    """Return the matrices of that classifier's mean loss over all its parameters, by explicit Jacobians."""
    model = network()
    names, shapes = zip(*((n, p.shape) for n, p in model.named_parameters()), strict=True)
    origin = torch.cat([p.detach().flatten() for p in model.parameters()])

    def outputs(vector: Tensor) -> Tensor:
        parts = vector.split([s.numel() for s in shapes])
        weights = {n: part.view(s) for n, part, s in zip(names, parts, shapes, strict=True)}
        return torch.func.functional_call(model, weights, (INPUTS,))

    H = torch.autograd.functional.hessian(lambda v: F.cross_entropy(outputs(v), LABELS), origin)
    J = torch.autograd.functional.jacobian(outputs, origin).flatten(0, 1)
    p = torch.softmax(outputs(origin), 1)
    inner = torch.block_diag(*((torch.diag_embed(p) - p[:, :, None] * p[:, None, :]) / N))
    slopes = torch.autograd.functional.jacobian(lambda v: F.cross_entropy(outputs(v), LABELS, reduction="none"), origin)
    return {"hessian": H.detach(), "ggn": (J.T @ inner @ J).detach(), "fisher": slopes.T @ slopes / N}
