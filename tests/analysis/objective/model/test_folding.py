"""BatchNorm folded into convolutions: values and derivatives of the original network, or the plain path, and why."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from landscape.analysis.objective.objective import Objective
from landscape.analysis.objective.weights import flatten, unflatten
from landscape.analysis.operators.operator import CurvatureOperator
from landscape.models import build

N = 6
IMAGES = torch.randn(N, 2, 5, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
LABELS = torch.tensor([0, 1, 2, 0, 1, 2])


class Head(nn.Module):
    """Mean over the pixels, then a linear layer."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.linear = nn.Linear(channels, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x.mean((2, 3)))


class Residual(nn.Module):
    """A block with a shortcut, so that one output feeds two layers."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(2, 2, 3, padding=1, bias=False), nn.BatchNorm2d(2)
        self.conv2, self.bn2 = nn.Conv2d(2, 2, 3, padding=1, bias=False), nn.BatchNorm2d(2)
        self.head = Head(2)

    def forward(self, x: Tensor) -> Tensor:
        y = torch.tanh(self.bn1(self.conv1(x)))
        return self.head(torch.tanh(self.bn2(self.conv2(y)) + y))


class Norm1d(nn.Module):
    """A convolution over sequences."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.bn, self.linear = nn.Conv1d(2, 3, 3), nn.BatchNorm1d(3), nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(torch.tanh(self.bn(self.conv(x.flatten(2)))).mean(2))


FOLDED: dict[str, tuple[Callable[[], nn.Module], int]] = {  # name → model, BatchNorms folded
    "bias": (lambda: nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.Tanh(), Head(3)), 1),
    "no bias": (lambda: nn.Sequential(nn.Conv2d(2, 3, 3, bias=False), nn.BatchNorm2d(3), nn.Tanh(), Head(3)), 1),
    "not affine": (lambda: nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3, affine=False), nn.Tanh(), Head(3)), 1),
    "large eps": (lambda: nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3, eps=0.3), nn.Tanh(), Head(3)), 1),
    "depthwise": (
        lambda: nn.Sequential(nn.Conv2d(2, 4, 3, groups=2, bias=False), nn.BatchNorm2d(4), nn.Tanh(), Head(4)),
        1,
    ),
    "first in an activation": (
        lambda: nn.Sequential(nn.BatchNorm2d(2), nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.Tanh(), Head(3)),
        1,
    ),
    "residual": (Residual, 2),
    "sequence": (Norm1d, 1),
}


def lively(model: nn.Module) -> nn.Module:
    """Return the model in float64 with BatchNorms far from the identity."""
    generator = torch.Generator().manual_seed(7)

    def uniform(tensor: Tensor, low: float, high: float) -> None:
        tensor.data.copy_(low + (high - low) * torch.rand(tensor.shape, generator=generator))

    for module in model.double().modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d) and module.running_mean is not None:
            uniform(module.running_mean, -0.5, 0.5)
            uniform(module.running_var, 0.3, 2.0)
            if module.affine:
                uniform(module.weight, -1.5, 1.5)
                uniform(module.bias, -0.5, 0.5)
    return model.eval()


def made(factory: Callable[[], nn.Module]) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return lively(factory())


def objective(model: nn.Module, inputs: Any = IMAGES, labels: Tensor = LABELS, **options: Any) -> Objective:
    return Objective(
        model, "cross_entropy", inputs, labels, device="cpu", **{"precision": "float64", "batch_size": 4, **options}
    )


def dense_hessian(model: nn.Module) -> tuple[Tensor, Tensor, Tensor]:
    """Return loss, gradient and Hessian of the plain model over its own parameters, by double backward."""
    parameters = list(model.parameters())
    loss = F.cross_entropy(model(IMAGES), LABELS)
    gradient = torch.cat([g.flatten() for g in torch.autograd.grad(loss, parameters, create_graph=True)])
    rows = [
        torch.cat([g.flatten() for g in torch.autograd.grad(entry, parameters, retain_graph=True)])
        for entry in gradient
    ]
    return loss.detach(), gradient.detach(), torch.stack(rows)


@pytest.mark.parametrize("name", FOLDED)
def test_value_gradient_and_full_hessian_are_those_of_the_original_parameters(name: str) -> None:
    factory, count = FOLDED[name]
    model = made(factory)
    folded = objective(model, batch_size=N)
    assert folded.is_folded
    assert folded.not_folded_because == ""
    assert folded.network._folding is not None
    assert len(folded.network._folding.pairs) == count
    loss, gradient, H = dense_hessian(model)
    assert list(folded.origin) == [n for n, _ in model.named_parameters()]
    assert folded.loss() == pytest.approx(loss.item(), rel=1e-12)
    torch.testing.assert_close(flatten(folded.gradient()[1]), gradient, rtol=1e-9, atol=1e-12)
    product = CurvatureOperator(folded)
    found = torch.stack([product(column) for column in torch.eye(folded.size, dtype=torch.float64)])
    torch.testing.assert_close(found, H, rtol=1e-8, atol=1e-11)
    assert product.mode.order == "reverse over reverse"


def test_the_bilinear_term_is_there() -> None:
    """The folding is bilinear in weight and γ: their mixed block is not zero, and Jᵀ H J alone would miss it."""
    model = made(FOLDED["no bias"][0])
    folded = objective(model)
    _, _, H = dense_hessian(model)
    step = {name: torch.zeros_like(w) for name, w in folded.origin.items()}
    step["1.weight"] = torch.ones_like(step["1.weight"])  # γ
    product = unflatten(CurvatureOperator(folded)(flatten(step)), folded.origin)["0.weight"]
    expected = unflatten(H @ flatten(step), folded.origin)["0.weight"]
    assert expected.abs().max() > 1e-3
    torch.testing.assert_close(product, expected)


def test_resnet20() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = lively(build("resnet20"))
    for module in model.modules():  # γ near 1: with random signs a network this deep says nothing
        if isinstance(module, nn.BatchNorm2d):
            module.weight.data.abs_().add_(0.5)
    generator = torch.Generator().manual_seed(3)
    images = torch.randn(5, 3, 8, 8, generator=generator, dtype=torch.float64)
    labels = torch.tensor([0, 3, 5, 7, 9])
    folded = objective(model, images, labels)
    assert folded.network._folding is not None
    assert len(folded.network._folding.pairs) == 19
    parameters = list(model.parameters())
    vectors = [torch.randn(p.shape, generator=generator, dtype=torch.float64) for p in parameters]
    loss = F.cross_entropy(model(images), labels)
    gradient = torch.autograd.grad(loss, parameters, create_graph=True)
    product = torch.autograd.grad(sum((g * v).sum() for g, v in zip(gradient, vectors, strict=True)), parameters)
    assert folded.loss() == pytest.approx(loss.item(), rel=1e-10)
    v = dict(zip(folded.origin, vectors, strict=True))
    found_gradient, found_product = (
        folded.gradient()[1],
        unflatten(CurvatureOperator(folded)(flatten(v)), folded.origin),
    )
    scale = max(p.abs().max().item() for p in product)
    for name, g, p in zip(folded.origin, gradient, product, strict=True):
        torch.testing.assert_close(found_gradient[name], g.detach(), rtol=1e-7, atol=1e-10)
        torch.testing.assert_close(found_product[name], p, rtol=1e-7, atol=1e-10 * scale)
    low = objective(model.float(), images.float(), labels, precision="float32")
    assert low.is_folded
    assert low.loss() == pytest.approx(loss.item(), rel=1e-4)


@pytest.mark.parametrize("name", FOLDED)
def test_values_elsewhere_and_in_other_precisions_are_the_plain_path_s(name: str) -> None:
    model = made(FOLDED[name][0])
    folded, plain = objective(model), objective(model, fold=False)
    assert (plain.is_folded, plain.not_folded_because) == (False, "folding was switched off")
    generator = torch.Generator().manual_seed(5)
    weights = {n: w + torch.randn(w.shape, generator=generator).double() for n, w in folded.origin.items()}
    buffers = {n: b * 1.5 for n, b in folded.network.buffers.items() if b.is_floating_point()}
    for precision, tolerance in (("float64", 1e-11), ("float32", 1e-5), ("bfloat16", 0.1)):
        a = folded.evaluate(weights, buffers=buffers, precision=precision)["train"]["loss"].value  # type: ignore[arg-type]
        b = plain.evaluate(weights, buffers=buffers, precision="float64")["train"]["loss"].value
        assert a == pytest.approx(b, rel=tolerance)


class Base(nn.Module):
    """What the unusual networks below share."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.bn, self.head = nn.Conv2d(2, 2, 3, padding=1), nn.BatchNorm2d(2), Head(2)


class DataDependent(Base):
    def forward(self, x: Tensor) -> Tensor:
        y = self.bn(self.conv(x))
        return self.head(y if y.sum() > 0 else -y)


class OptionalInput(Base):
    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        if mask is not None:  # true while torch.fx traces
            x = x * mask
        return self.head(self.bn(self.conv(x)))


class SharedNorm(Base):
    def __init__(self) -> None:
        super().__init__()
        self.other = nn.Conv2d(2, 2, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.bn(self.other(torch.tanh(self.bn(self.conv(x))))))


class SharedConv(Base):
    def __init__(self) -> None:
        super().__init__()
        self.other = nn.BatchNorm2d(2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.other(self.conv(torch.tanh(self.bn(self.conv(x))))))


class TiedConv(Base):
    def __init__(self) -> None:
        super().__init__()
        self.other = nn.Conv2d(2, 2, 3, padding=1)
        self.other.weight = self.conv.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.bn(self.other(torch.tanh(self.conv(x)))))


class SplitOutput(Base):
    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        return self.head(self.bn(y) + y)


class WeightUsedTwice(Base):
    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.bn(self.conv(x)) + self.conv.weight.sum())


class NoStatistics(Base):
    def __init__(self) -> None:
        super().__init__()
        self.bn = nn.BatchNorm2d(2, track_running_stats=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.bn(self.conv(x)))


class WeightNormed(Base):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.utils.parametrizations.weight_norm(self.conv)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.bn(self.conv(x)))


class Hooked(Base):
    def __init__(self) -> None:
        super().__init__()
        self.conv.register_forward_hook(lambda module, inputs, output: output.square())

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.bn(self.conv(x)))


class TwoOutputs(Base):
    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"logits": self.head(self.bn(self.conv(x))), "x": x}


def of_logits(outputs: Any, targets: Tensor) -> Tensor:
    return F.cross_entropy(outputs["logits"] if isinstance(outputs, dict) else outputs, targets, reduction="none")


PLAIN = {
    DataDependent: "torch.fx cannot trace it",
    OptionalInput: "as torch.fx traced it, it fails",
    SharedNorm: "no BatchNorm directly after a convolution",
    SharedConv: "no BatchNorm directly after a convolution",
    TiedConv: "no BatchNorm directly after a convolution",
    SplitOutput: "no BatchNorm directly after a convolution",
    WeightUsedTwice: "outputs differ",
    NoStatistics: "no BatchNorm directly after a convolution",
    WeightNormed: "no BatchNorm directly after a convolution",
    Hooked: "no BatchNorm directly after a convolution",
    TwoOutputs: "not a single tensor",
}


@pytest.mark.parametrize("kind", PLAIN)
def test_what_cannot_be_folded_takes_the_plain_path_and_says_why(kind: type[nn.Module]) -> None:
    model = made(kind)
    found = Objective(model, of_logits, IMAGES, LABELS, device="cpu", precision="float64")
    assert not found.is_folded
    assert PLAIN[kind] in found.not_folded_because
    loss = of_logits(model(IMAGES), LABELS).mean()
    assert found.loss() == pytest.approx(loss.item(), rel=1e-12)
    parameters = dict(model.named_parameters())
    gradient = torch.autograd.grad(loss, list(parameters.values()))
    for name, g in zip(parameters, gradient, strict=True):
        torch.testing.assert_close(found.gradient()[1][name], g)


def test_a_weight_used_twice_is_seen_though_a_fresh_batchnorm_changes_nothing() -> None:
    torch.manual_seed(0)
    model = WeightUsedTwice().double()  # γ = 1, β = 0, mean 0, variance 1: folded or not, the outputs are equal
    assert not objective(model).is_folded


class Unused(Base):
    """A head that the forward pass of evaluation mode never uses, and whose weight another layer has too."""

    def __init__(self) -> None:
        super().__init__()
        self.auxiliary = nn.Linear(2, 3)  # named before `linear`: the tied weight goes by this name
        self.linear = nn.Linear(2, 3)
        self.linear.weight = self.auxiliary.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(torch.tanh(self.bn(self.conv(x))).mean((2, 3)))


def test_layers_that_are_never_used_and_ties_to_them_do_not_break_the_folding() -> None:
    model = made(Unused)
    folded = objective(model)
    assert folded.is_folded
    assert "auxiliary.weight" in folded.origin
    assert "linear.weight" not in folded.origin
    weights = {name: w + 0.3 for name, w in folded.origin.items()}
    moved = copy.deepcopy(model)
    for parameter in moved.parameters():
        parameter.data += 0.3
    loss = F.cross_entropy(moved(IMAGES), LABELS)
    loss.backward()
    assert folded.loss(weights) == pytest.approx(loss.item(), rel=1e-12)
    gradient = folded.gradient(weights)[1]
    torch.testing.assert_close(gradient["auxiliary.weight"], moved.auxiliary.weight.grad)
    assert gradient["auxiliary.bias"].count_nonzero() == 0


def test_frozen_parameters_are_folded_but_do_not_move() -> None:
    model = made(Residual)
    model.conv1.weight.requires_grad_(False)
    model.bn2.weight.requires_grad_(False)
    folded = objective(model)
    assert folded.is_folded
    loss = F.cross_entropy(model(IMAGES), LABELS)
    loss.backward()
    gradient = folded.gradient()[1]
    assert set(gradient) == {n for n, p in model.named_parameters() if p.requires_grad}
    for name, g in gradient.items():
        torch.testing.assert_close(g, model.get_parameter(name).grad)


def test_dictionaries_of_inputs_can_be_folded() -> None:
    model = made(Residual)
    found = objective(model, {"x": IMAGES}, LABELS)
    assert found.is_folded
    assert found.loss() == pytest.approx(F.cross_entropy(model(IMAGES), LABELS).item(), rel=1e-12)
