import pytest
import torch
from torch import nn

from landscape.workflow.doctor.minimum import minimum

N = 60
GENERATOR = torch.Generator().manual_seed(0)
INPUTS = torch.randn(N, 3, generator=GENERATOR)
LABELS = torch.randint(0, 2, (N,), generator=GENERATOR)  # noise: the loss has a minimum at finite weights


def loss_of(weight: torch.Tensor) -> torch.Tensor:
    return nn.functional.cross_entropy(INPUTS.double() @ weight.view(2, 3).T, LABELS)


def regression(weight: torch.Tensor) -> nn.Linear:
    model = nn.Linear(3, 2, bias=False)
    model.weight.data = weight.view(2, 3).float()
    return model


@pytest.fixture(scope="module")
def optimum() -> torch.Tensor:
    """Return the weights of logistic regression, by Newton's method in float64."""
    weight = torch.zeros(6, dtype=torch.float64)
    for _ in range(20):
        gradient = torch.autograd.functional.jacobian(loss_of, weight)
        weight = weight - torch.linalg.pinv(torch.autograd.functional.hessian(loss_of, weight)) @ gradient
    return weight


def test_a_minimum_is_one(load, optimum) -> None:
    finding = minimum(load(regression(optimum), INPUTS, LABELS))
    assert finding.status == "ok", finding
    eigenvalues = torch.linalg.eigvalsh(torch.autograd.functional.hessian(loss_of, optimum))
    assert finding.values["lambda_max"] == pytest.approx(float(eigenvalues[-1]), rel=0.05)
    assert finding.values["lambda_min"] == pytest.approx(0, abs=0.01)  # softmax does not see a shift of all outputs
    assert finding.values["gradient_norm"] < 1e-6
    assert finding.values["loss"] == pytest.approx(float(loss_of(optimum)), rel=1e-6)


def test_a_slope_is_not(load, optimum) -> None:
    weight = optimum + 2.0 * torch.tensor([1.0, -1, 1, -1, 1, -1], dtype=torch.float64)
    finding = minimum(load(regression(weight), INPUTS, LABELS))
    assert finding.status == "warning"
    gradient = torch.autograd.functional.jacobian(loss_of, weight).norm()
    top = torch.linalg.eigvalsh(torch.autograd.functional.hessian(loss_of, weight))[-1]
    assert finding.values["gradient_norm"] == pytest.approx(float(gradient), rel=1e-4)
    assert finding.values["descent"] == pytest.approx(float(gradient**2 / (2 * top)), rel=0.06)
    assert "one gradient step would lower the loss by" in finding.message


def test_a_saddle_is_not(load) -> None:
    """At weights of zero, the loss of a linear network of two layers is w2 w1 c to second order: eigenvalues ±."""
    model = nn.Sequential(nn.Linear(3, 1, bias=False), nn.Linear(1, 2, bias=False))
    for weight in model.parameters():
        nn.init.zeros_(weight)
    finding = minimum(load(model, INPUTS, LABELS))
    assert finding.status == "warning"
    assert finding.values["lambda_min"] == pytest.approx(-finding.values["lambda_max"], rel=0.05)
    assert "strong negative curvature" in finding.message
