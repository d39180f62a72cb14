"""Derivatives that are not those of the loss are found by difference quotients, and their modules named."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from landscape.analysis.curvature.eigenvalues import hessian
from landscape.analysis.curvature.trace import trace
from landscape.analysis.objective.objective import Objective
from landscape.analysis.operators.reliability import DerivativeWarning, derivative_warnings
from landscape.analysis.planes.gradient import gradient_direction
from landscape.analysis.sharpness import SamSharpness
from landscape.analysis.sharpness.measure import sharpness
from landscape.models import build
from landscape.models.checkpoint import load_checkpoint

X = torch.randn(12, 4, generator=torch.Generator().manual_seed(1))
LABELS = torch.arange(12) % 3
IMAGES = torch.randn(6, 3, 16, 16, generator=torch.Generator().manual_seed(1))
CHECKPOINTS = Path(__file__).parents[3] / "checkpoints"


class Rounded(nn.Module):
    """A straight-through estimator."""

    def forward(self, x: Tensor) -> Tensor:
        return x + (x.round() - x).detach()


class Reverse(torch.autograd.Function):
    """The identity, with the gradient's sign reversed."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> Tensor:
        return -slope


class Reversed(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return Reverse.apply(x)


class SignedLinear(nn.Linear):
    """A linear layer with binary weights, whose gradient is passed through."""

    def forward(self, x: Tensor) -> Tensor:
        binary = self.weight.sign() * self.weight.abs().mean()
        return F.linear(x, self.weight + (binary - self.weight).detach(), self.bias)


class Gated(nn.Module):
    """A gate whose gradient is stopped."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.gate = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(self.body(x)) * torch.sigmoid(self.gate(x)).detach()


class Cube(torch.autograd.Function):
    """x³ with a right gradient that looks linear to the second derivative."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.slope = 3 * x.detach() ** 2
        return x**3

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> Tensor:
        return ctx.slope * slope


class Cubed(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return Cube.apply(x)


class FusedNorm(nn.Module):
    """torch's own kernel of weight normalization, whose second derivative is wrong."""

    def __init__(self) -> None:
        super().__init__()
        self.v, self.g = nn.Parameter(torch.randn(4, 4)), nn.Parameter(torch.rand(4, 1) + 0.5)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, torch._weight_norm(self.v, self.g, 0))


class InFloat32(nn.Module):
    """What keeps a model from running in float64."""

    def forward(self, x: Tensor) -> Tensor:
        return x.float() @ torch.eye(4)


def objective(*layers: nn.Module, loss: Any = "cross_entropy") -> Objective:
    return Objective(nn.Sequential(*layers, nn.Linear(4, 3)), loss, X, LABELS, device="cpu")


@pytest.fixture(autouse=True)
def _seeded() -> Any:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


@pytest.mark.parametrize(
    ("layer", "what"),
    [
        (Rounded, "gradient of the loss differs .* suspected: 2 .Rounded.;"),
        (Reversed, "gradient of the loss differs .* suspected: 2 .Reversed.;"),
        (lambda: SignedLinear(4, 4), "gradient of the loss differs .* suspected: 2 .SignedLinear.;"),
        (Gated, "gradient of the loss differs .* suspected: 2 .Gated.;"),
        (Cubed, "second derivatives of the loss differ .* suspected: 2 .Cubed.;"),
        (FusedNorm, "second derivatives of the loss differ .* suspected: 2 .FusedNorm.;"),
    ],
)
def test_wrong_derivatives_are_warned_of_and_their_module_named(layer: Callable[[], nn.Module], what: str) -> None:
    o = objective(nn.Linear(4, 4), nn.Tanh(), layer())
    with pytest.warns(DerivativeWarning, match=what):
        found = hessian(o, top=1, max_products=3)
    assert found.attributes["warnings"] == list(derivative_warnings(o))


@pytest.mark.parametrize("layer", [Rounded, Reversed, lambda: SignedLinear(4, 4), Gated])
def test_wrong_gradients_are_found_in_float32_where_the_model_does_not_run_in_float64(
    layer: Callable[[], nn.Module],
) -> None:
    found = derivative_warnings(objective(nn.Linear(4, 4), InFloat32(), nn.Tanh(), layer()))
    assert len(found) == 1
    assert "suspected: 3 (" in found[0]


def test_a_loss_that_stops_its_gradient_is_suspected() -> None:
    def loss(outputs: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(outputs, targets, reduction="none") * (1 + outputs.square().mean(1).detach())

    (message,) = derivative_warnings(objective(loss=loss))
    assert "suspected: the loss function;" in message


def test_every_measurement_with_gradients_warns() -> None:
    for measure in (
        lambda o: trace(o, products=6),
        lambda o: sharpness(o, [SamSharpness()]),
        lambda o: gradient_direction(o),
    ):
        with pytest.warns(DerivativeWarning, match="suspected: 2"):
            measure(objective(nn.Linear(4, 4), nn.Tanh(), Reversed()))
    with pytest.warns(DerivativeWarning):
        result = sharpness(objective(Reversed(), nn.Linear(4, 4), Reversed()), [SamSharpness()])
    assert len(result.attributes["warnings"]) == 1


SMOOTH_OR_BENT = {
    "ReLU": lambda: [nn.Linear(4, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 4)],
    "ReLU in float32": lambda: [nn.Linear(4, 64), nn.ReLU(), nn.Linear(64, 4), InFloat32(), nn.ReLU()],
    "clipped": lambda: [nn.Linear(4, 4), nn.Hardtanh(), nn.Hardswish(), nn.PReLU()],
    "maxout": lambda: [nn.Linear(4, 16), nn.MaxPool1d(4)],
    "normalized": lambda: [nn.Linear(4, 4), nn.LayerNorm(4), nn.GELU(), nn.BatchNorm1d(4), nn.Dropout(0.5)],
    "weight norm": lambda: [nn.utils.parametrizations.weight_norm(nn.Linear(4, 4)), nn.Tanh()],
    "nothing": list,
}


@pytest.mark.parametrize("name", SMOOTH_OR_BENT)
def test_sound_models_are_not_warned_of(name: str) -> None:
    assert derivative_warnings(objective(*SMOOTH_OR_BENT[name]())) == ()


def test_kinks_that_the_weights_lie_on_are_no_reason_for_a_warning() -> None:
    model = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 8, 3), nn.ReLU(), nn.Flatten()
    )
    model.append(nn.Linear(72, 3))
    for parameter in model.parameters():
        if parameter.ndim == 1:
            parameter.data.zero_()
    images = torch.relu(torch.randn(12, 1, 10, 10) - 1)  # mostly zeros, at which ReLU has its kink
    assert derivative_warnings(Objective(model, "cross_entropy", images, LABELS, device="cpu")) == ()


@pytest.mark.parametrize("loss", ["cross_entropy", "mse"])
def test_a_loss_of_zero_or_one_that_saturates_is_no_reason_for_a_warning(loss: str) -> None:
    model = nn.Linear(4, 3)
    targets: Tensor = LABELS
    with torch.no_grad():
        if loss == "mse":
            targets = model(X)
        else:
            model.weight.mul_(1e4)
            targets = model(X).argmax(1)
    assert derivative_warnings(Objective(model, loss, X, targets, device="cpu")) == ()


@pytest.mark.parametrize("name", ["adam", "sam"])
def test_the_shipped_networks_are_not_warned_of(name: str) -> None:
    checkpoint = load_checkpoint(CHECKPOINTS / f"resnet20-cifar10-{name}.pt")
    model = build("resnet20")
    model.load_state_dict(checkpoint.state)
    o = Objective(model, "cross_entropy", IMAGES, torch.arange(6), device="cpu")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert derivative_warnings(o) == ()


@pytest.mark.parametrize("model", [lambda: build("resnet", depth=8, norm="group"), lambda: build("wrn", depth=10, k=1)])
def test_new_networks_are_not_warned_of(model: Callable[[], nn.Module]) -> None:
    o = Objective(model(), "cross_entropy", IMAGES, torch.arange(6), device="cpu")
    assert derivative_warnings(o) == ()
