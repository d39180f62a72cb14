"""Each layer's top eigenvalue and trace against the diagonal blocks of dense float64 matrices."""

import numpy as np
import pytest
import torch
from cases import curvature_problem as make
from torch import Tensor, nn

from landscape.analysis.curvature.layers import layer_parameters, layers
from landscape.analysis.objective.objective import Objective
from landscape.analysis.operators.operator import CurvatureOperator

BLOCKS = {"0": slice(0, 16), "1": slice(16, 20), "5": slice(20, 29)}


@pytest.mark.parametrize("operator", ["hessian", "ggn", "fisher"])
def test_they_are_the_diagonal_blocks(operator: str) -> None:
    A = make.dense()[operator]
    seen: list[tuple[str, int]] = []
    found = layers(
        make.classifier(),
        operator=operator,
        tolerance=1e-6,
        trace_products=20,
        on_product=lambda name, done: seen.append((name, done)),
    )
    assert found.names == tuple(BLOCKS)
    assert found.parameters.tolist() == [16, 4, 9]
    assert found.converged.all()
    for i, where in enumerate(BLOCKS.values()):
        block = A[where, where]
        assert abs(found.top[i] - torch.linalg.eigvalsh(block)[-1].item()) <= found.bounds[i] + 1e-12
        assert found.trace[i] == pytest.approx(block.trace().item(), rel=1e-9)
    assert (found.trace_stderr == 0).all()  # of layers as small as this it is exact
    assert len(seen) == found.products
    assert list(dict.fromkeys(seen)) == [("0", 0), ("1", 1), ("5", 2)]
    assert found.attributes["operator"] == operator


def test_float32_bounds_hold_the_rounding_error() -> None:
    A = make.dense()["hessian"]
    found = layers(make.classifier(precision="float32"), trace_products=12, seed=2)
    assert found.converged.all()
    for i, where in enumerate(BLOCKS.values()):
        block = A[where, where]
        assert 0 < abs(found.top[i] - torch.linalg.eigvalsh(block)[-1].item()) <= found.bounds[i]
        assert abs(found.trace[i] - block.trace().item()) <= 6 * found.trace_stderr[i] + 1e-5
    assert found.trace_stderr[0] > 0  # its 16 parameters are more than the products


def test_a_budget_too_small_is_flagged() -> None:
    found = layers(make.classifier(), max_products=2, tolerance=1e-10)
    assert not found.converged[0]


def test_parameters_that_stay_are_left_out() -> None:
    found = layers(make.classifier(params="5.*"), trace_products=9)
    assert found.names == ("5",)
    assert found.top[0] == pytest.approx(torch.linalg.eigvalsh(make.dense()["hessian"][20:, 20:])[-1].item(), rel=1e-3)


def test_shared_weights_belong_to_the_first_layer_that_has_them() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.ones(()))
            self.first, self.second = nn.Linear(3, 3, bias=False), nn.Linear(3, 3)
            self.second.weight = self.first.weight

        def forward(self, x: Tensor) -> Tensor:
            return self.scale * self.second(torch.tanh(self.first(x)))

    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Tied().double()
    x = torch.randn(5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    o = Objective(model, "cross_entropy", x, torch.arange(5) % 3, device="cpu", precision="float64")
    found = layers(o, trace_products=9)
    assert found.names == ("(root)", "first", "second")
    assert found.parameters.tolist() == [1, 9, 3]
    A = CurvatureOperator(o)(torch.eye(13, dtype=torch.float64)).numpy()
    np.testing.assert_allclose(found.trace, [A[0, 0], A[1:10, 1:10].trace(), A[10:, 10:].trace()], rtol=1e-9)


def test_parameters_by_module() -> None:
    names = ["conv.weight", "conv.bias", "stem", "block.0.fc.weight"]
    assert layer_parameters(names) == {
        "conv": ["conv.weight", "conv.bias"],
        "(root)": ["stem"],
        "block.0.fc": ["block.0.fc.weight"],
    }
