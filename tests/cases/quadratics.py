"""Losses whose sharpness is known in closed form, and a network that can be rescaled (loaded by path)."""

from typing import Any

import torch
from torch import Tensor, nn

from landscape.analysis.objective.objective import Objective

N = 16
CURVATURE = torch.tensor([4.0, 1.0, 0.5, 3.0, 2.0], dtype=torch.float64)
WEIGHTS = torch.tensor([1.0, -2.0, 0.0, 0.5, 3.0], dtype=torch.float64)
EXAMPLES = torch.randn(N, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
LABELS = torch.arange(N) % 3


class Quadratic(nn.Module):
    """½ Σ λ (w − x)² for each example x, plus a cubic term if asked."""

    def __init__(self, curvature: Tensor, w: Tensor, cubic: float = 0.0) -> None:
        super().__init__()
        self.curvature = nn.Buffer(curvature.double())
        self.a, self.b = nn.Parameter(w[:2].double().clone()), nn.Parameter(w[2:].double().clone().view(1, -1))
        self.cubic = cubic

    def forward(self, x: Tensor) -> Tensor:
        rest = torch.cat([self.a, self.b.flatten()]) - x
        return (0.5 * self.curvature * rest**2 + self.cubic * rest**3).sum(1)


def identity(outputs: Tensor, _: Tensor) -> Tensor:
    return outputs


def quadratic(
    w: Tensor = WEIGHTS, x: Tensor = EXAMPLES, *, cubic: float = 0.0, loss: Any = identity, **options: Any
) -> Objective:
    return Objective(
        Quadratic(CURVATURE, w, cubic), loss, x, torch.zeros(len(x)), device="cpu", precision="float64", **options
    )


def gradient(w: Tensor = WEIGHTS, x: Tensor = EXAMPLES) -> Tensor:
    """Return the gradient of the mean loss, (5,)."""
    return CURVATURE * (w - x.mean(0))


def relu_network(scale: float = 1.0) -> nn.Module:
    """Return two layers, one scaled up and the other down: the same function whatever the scale."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(5, 6), nn.ReLU(), nn.Linear(6, 3)).double()
    with torch.no_grad():
        model[0].weight *= scale
        model[0].bias *= scale
        model[2].weight /= scale
    return model


def classifier(scale: float = 1.0, **options: Any) -> Objective:
    """Return the cross-entropy of that network."""
    return Objective(
        relu_network(scale), "cross_entropy", EXAMPLES, LABELS, device="cpu", **{"precision": "float64", **options}
    )
