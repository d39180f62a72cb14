"""Models whose forward pass differentiates by its inputs: physics-informed networks, forces of energies."""

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

import landscape
from landscape.analysis.objective.objective import Objective
from landscape.errors import LandscapeError

N = 20


class Residual(nn.Module):
    """u″ + u for a network u, with gradients taken in the forward pass."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.u = nn.Sequential(nn.Linear(1, 6), nn.Tanh(), nn.Linear(6, 1)).double()

    def forward(self, x: Tensor) -> Tensor:
        x.requires_grad_()
        u = self.u(x)
        slope = torch.autograd.grad(u.sum(), x, create_graph=True)[0]
        return u + torch.autograd.grad(slope.sum(), x, create_graph=True)[0]


X = torch.linspace(-1, 1, N, dtype=torch.float64)[:, None]
Y = torch.sin(3 * X)


def exact_loss(model: nn.Module, weights: dict[str, Tensor]) -> Tensor:
    return F.mse_loss(functional_call(model, weights, (X.clone(),)), Y)


def test_surfaces_and_curvature_of_a_physics_informed_model() -> None:
    model = Residual()
    o = Objective(model, "mse", X, Y, precision="float64", device="cpu")
    plane = landscape.surface(o, points=3, evaluation=landscape.Evaluation(precision="float64"))
    assert plane.grid()[0, 1, 1] == pytest.approx(exact_loss(model, dict(model.named_parameters())).item())
    assert plane.grid().std() > 0
    names = list(o.origin)
    sizes = [w.numel() for w in o.origin.values()]

    def flat_loss(flat: Tensor) -> Tensor:
        parts = flat.split(sizes)
        return exact_loss(model, {n: p.reshape(o.origin[n].shape) for n, p in zip(names, parts, strict=True)})

    flat = torch.cat([w.reshape(-1) for w in o.origin.values()])
    H = torch.autograd.functional.hessian(flat_loss, flat)
    expected = torch.linalg.eigvalsh(H).flip(0)[:2]
    torch.testing.assert_close(torch.from_numpy(landscape.hessian(o, top=2).eigenvalues), expected, rtol=2e-3, atol=0)
    assert not X.requires_grad


def test_a_loss_that_differentiates_outputs_by_inputs_is_pointed_to_model_loss() -> None:
    points = X.clone().requires_grad_()

    def loss(outputs: Tensor, targets: Tensor) -> Tensor:
        return torch.autograd.grad(outputs.sum(), points)[0].square().mean(1)

    with pytest.raises(LandscapeError, match=r"one of \(model, batch\): use landscape.ModelLoss"):
        Objective(Residual(), loss, X, Y, precision="float64", device="cpu")
