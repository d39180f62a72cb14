"""Models and losses that hold float32 constants do not run in float64; their numbers are kept all the same."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from landscape.analysis.curvature.eigenvalues import hessian
from landscape.analysis.curvature.layers import layers
from landscape.analysis.objective.objective import Objective
from landscape.analysis.operators.rounding import matvec_rounding_error
from landscape.analysis.sharpness import AverageSharpness, KeskarSharpness, SamSharpness
from landscape.analysis.sharpness.measure import sharpness

X = torch.randn(24, 4, generator=torch.Generator().manual_seed(1))
LABELS = torch.arange(24) % 3
SHARES = torch.tensor([1.0, 2.0, 3.0])


class Recurrent(nn.Module):
    """A GRU whose first state is made in the forward pass, in float32 or in the inputs' type."""

    def __init__(self, *, constant: bool) -> None:
        super().__init__()
        self.constant = constant
        self.body, self.head = nn.GRU(2, 3, batch_first=True), nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        h0 = torch.zeros(1, len(x), 3) if self.constant else x.new_zeros(1, len(x), 3)
        return self.head(self.body(x.view(len(x), 2, 2), h0)[0][:, -1])


def weighted(outputs: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(outputs, targets, weight=SHARES, reduction="none")


def weighted_in_any_precision(outputs: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(outputs, targets, weight=SHARES.to(outputs), reduction="none")


def pair(case: str) -> tuple[Objective, Objective]:
    """Return an objective that only runs in float32, and the same in float64."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        if case == "model":
            models: list[nn.Module] = [Recurrent(constant=flag) for flag in (True, False)]
            models[1].load_state_dict(models[0].state_dict())
            losses: list[Any] = ["cross_entropy", "cross_entropy"]
        else:
            models = [nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 3))] * 2
            losses = [weighted, weighted_in_any_precision]
    only, exact = (
        Objective(model, loss, X, LABELS, device="cpu", batch_size=8, precision=precision)
        for model, loss, precision in zip(models, losses, ("float32", "float64"), strict=True)
    )
    return only, exact


@pytest.mark.parametrize("case", ["model", "loss"])
def test_curvature_in_float32_alone_is_kept_and_says_how_its_rounding_was_measured(case: str) -> None:
    o, exact = pair(case)
    found, expected = hessian(o, top=2), hessian(exact, top=2, tolerance=1e-9)
    np.testing.assert_allclose(found.eigenvalues, expected.eigenvalues, rtol=1e-3)
    assert found.converged.all()
    assert 0 < found.attributes["product_error"] < 1e-4
    assert found.attributes["product_error_against"].startswith("another batch order")
    assert layers(o).attributes["product_error_against"].startswith("another batch order")
    assert found.attributes["warnings"] == []


@pytest.mark.parametrize("case", ["model", "loss"])
def test_sharpness_in_float32_alone_is_kept(case: str) -> None:
    o, exact = pair(case)
    measures = [SamSharpness(0.3), KeskarSharpness(1e-3), AverageSharpness(pairs=2)]
    found, expected = sharpness(o, measures), sharpness(exact, measures)
    for one, other in zip(found.measures, expected.measures, strict=True):
        assert one.value == pytest.approx(other.value, rel=0.02)
        assert one.diagnostics["rounding"] < 1e-4


def test_rounding_is_measured_against_float64_where_it_runs() -> None:
    _, o = pair("loss")
    single = Objective(o.network.module, weighted_in_any_precision, X, LABELS, device="cpu")
    assert hessian(single, top=1).attributes["product_error_against"] == "float64"
    assert hessian(o, top=1).attributes["product_error_against"] == "float64 throughout"


def test_a_model_that_needs_float32_is_said_to() -> None:
    with pytest.raises(Exception, match=r"does not run in float64.*use precision='float32'"):
        Objective(Recurrent(constant=True), "cross_entropy", X, LABELS, device="cpu", precision="float64")


def test_rounding_of_sorted_data_is_that_of_all_classes() -> None:
    """The last quarter of the examples, one class, has losses around 1e6 in float32."""
    x = torch.randn(400, 4, generator=torch.Generator().manual_seed(0))
    labels = (torch.arange(400) >= 300).long()

    def loss(outputs: Tensor, targets: Tensor) -> Tensor:
        return outputs.square().mean(1) + 1e6 * targets * torch.cos(outputs).mean(1)

    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Linear(4, 2)
    both = Objective(model, loss, x, labels, device="cpu", batch_size=100)
    first = Objective(model, loss, x[:100], labels[:100], device="cpu")
    measures = [sharpness(o, [SamSharpness(0.3)]).measures[0].diagnostics["rounding"] for o in (both, first)]
    assert measures[0] > 100 * measures[1]
    products = [matvec_rounding_error(o, torch.ones(o.size)).size for o in (both, first)]
    assert products[0] > 100 * products[1]
