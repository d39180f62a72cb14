"""Convolutions that add and rectify: the values of the network as it is, whatever its forward pass looks like."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from landscape.analysis import fusing
from landscape.analysis.folding import find_folding
from landscape.analysis.fusing import fused
from landscape.analysis.objective import Objective
from landscape.models import build

pytestmark = pytest.mark.skipif(not fusing._available(), reason="this torch has no oneDNN kernels")

X = torch.randn(6, 3, 8, 8, generator=torch.Generator().manual_seed(0))
Y = torch.tensor([0, 1, 2, 3, 4, 0])


class Net(nn.Module):
    """Two convolutions with BatchNorm between a head and a way to join them."""

    def __init__(self, join: Callable[["Net", Tensor], Tensor]) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1, groups=2)
        self.bn1, self.bn2 = nn.BatchNorm2d(8), nn.BatchNorm2d(8)
        self.act, self.head = nn.ReLU(inplace=True), nn.Linear(8, 5)
        self.join = join

    def one(self, x: Tensor) -> Tensor:
        return self.bn1(self.conv1(x))

    def two(self, x: Tensor) -> Tensor:
        return self.bn2(self.conv2(x))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.join(self, x).mean((2, 3)))


def shifted(model: nn.Module) -> nn.Module:
    """Return the model in evaluation mode with statistics and shifts that matter."""
    generator = torch.Generator().manual_seed(1)
    for name, tensor in model.state_dict().items():
        if tensor.is_floating_point() and tensor.ndim <= 1:
            tensor.copy_(torch.rand(tensor.shape, generator=generator) + (0.5 if "var" in name else -0.3))
    return model.eval()


JOINS: dict[str, tuple[int, Callable[[Net, Tensor], Tensor]]] = {  # kernels expected, forward pass
    "function": (1, lambda n, x: F.relu(n.one(x))),
    "module in place": (1, lambda n, x: n.act(n.one(x))),
    "method": (1, lambda n, x: n.one(x).relu_()),
    "residual": (2, lambda n, x: F.relu(n.two(y := F.relu(n.one(x))) + y)),
    "residual, other order": (2, lambda n, x: torch.relu(torch.add(y := F.relu(n.one(x)), n.two(y)))),
    "no activation": (0, lambda n, x: n.one(x) * 2),
    "used twice": (0, lambda n, x: F.relu(y := n.one(x)) - y),
    "called twice": (1, lambda n, x: F.relu(n.two(F.relu(n.two(F.relu(n.one(x))))))),
    "added in place": (1, lambda n, x: F.relu((y := F.relu(n.one(x))).add_(n.two(y))) + y),
    "doubled": (1, lambda n, x: F.relu(torch.add(n.two(y := F.relu(n.one(x))), y, alpha=2))),
    "a number": (0, lambda n, x: F.relu(n.one(x) + 1)),
}


def kernels(network: nn.Module) -> int:
    return sum(isinstance(module, fusing._Rectified) for module in network.modules())


@pytest.mark.parametrize("name", JOINS)
def test_values_are_those_of_the_network_as_it_is(name: str) -> None:
    count, join = JOINS[name]
    model = shifted(Net(join))
    folding = find_folding(model)
    network = fused(folding.network)
    assert (0 if network is None else kernels(network)) == count
    if network is not None:
        assert [n for n, _ in network.named_parameters()] == [n for n, _ in folding.network.named_parameters()]
    objective = Objective(model, "cross_entropy", X, Y, device="cpu", batch_size=4)
    with torch.no_grad():
        expected = F.cross_entropy(model(X.clone()), Y, reduction="none").double()
    torch.testing.assert_close(torch.from_numpy(objective.per_example()), expected, rtol=1e-5, atol=1e-6)
    exact = Objective(model, "cross_entropy", X, Y, device="cpu", precision="float64")  # no such kernels
    torch.testing.assert_close(torch.from_numpy(exact.per_example()), expected, rtol=1e-5, atol=1e-6)
    for size in (1, 4):
        low = objective.sums(precision="bfloat16", batch_size=size)[0, 0]
        assert float(low[0] / low[2]) == pytest.approx(float(expected.mean()), rel=0.05)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_any_layout_is_taken(layout: torch.memory_format) -> None:
    folding = find_folding(shifted(Net(JOINS["residual"][1])))
    network = fused(folding.network)
    assert network is not None
    with torch.no_grad():
        x = X.bfloat16().contiguous(memory_format=layout)
        found, expected = network.bfloat16()(x), folding.network.bfloat16()(x)
    torch.testing.assert_close(found, expected, rtol=0.05, atol=0.02)


def test_a_sum_of_two_shapes_is_left_as_it_is() -> None:
    model = shifted(Net(lambda n, x: F.relu(n.one(x) + x.mean((1, 2, 3), keepdim=True))))
    assert fused(find_folding(model).network) is not None  # the shapes are not known yet
    objective = Objective(model, "cross_entropy", X, Y, device="cpu")
    with torch.no_grad():
        assert objective.loss() == pytest.approx(float(F.cross_entropy(model(X), Y)), rel=1e-5)


def test_what_is_read_after_it_was_changed_in_place_is_read_so() -> None:
    """The convolution would run later than it did, on an input that has been rectified in between."""
    model = shifted(Net(lambda n, x: F.relu((y := n.one(x), n.two(y), y.relu_())[1] + y)))
    objective = Objective(model, "cross_entropy", X, Y, device="cpu")
    with torch.no_grad():
        assert objective.loss() == pytest.approx(float(F.cross_entropy(model(X), Y)), rel=1e-5)


def test_resnet20_fuses_every_activation_and_bfloat16_loses_nothing() -> None:
    model = shifted(build("resnet20"))
    folding = find_folding(model)
    network = fused(folding.network)
    assert network is not None
    assert kernels(network) == 19
    x = torch.randn(16, 3, 32, 32, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        expected = model(x)
        plain, found = (
            torch.func.functional_call(
                net,
                {k: t.bfloat16() for k, t in _folded(folding, model).items()},
                x.bfloat16().contiguous(memory_format=torch.channels_last),
            )
            for net in (folding.network, network)
        )
    errors = [float((outputs.float() - expected).abs().mean()) for outputs in (plain, found)]
    assert errors[1] < 1.2 * errors[0]
    assert errors[1] < 0.05 * float(expected.abs().mean())


def test_derivatives_do_not_go_through_the_kernels() -> None:
    model = shifted(Net(JOINS["residual"][1]))
    objective = Objective(model, "cross_entropy", X, Y, device="cpu")
    ones = {name: torch.ones_like(w) for name, w in objective.origin.items()}
    exact = Objective(model, "cross_entropy", X, Y, device="cpu", precision="float64", fold=False)
    found, expected = objective.hessian_product(ones), exact.hessian_product({k: v.double() for k, v in ones.items()})
    for name, product in found.items():
        torch.testing.assert_close(product.double(), expected[name], rtol=1e-3, atol=1e-4)
    assert float(sum(p.abs().sum() for p in found.values())) > 0.1


def _folded(folding: object, model: nn.Module) -> dict[str, Tensor]:
    tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    return folding.fold(tensors)  # type: ignore[attr-defined,no-any-return]
