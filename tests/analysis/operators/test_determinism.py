"""What makes a loss other than one deterministic function of the weights is found and said."""

import warnings
from collections.abc import Callable

import pytest
import torch
from cases import curvature_problem as make
from torch import Tensor, nn
from torch.nn import functional as F

from landscape.analysis.curvature.density import density
from landscape.analysis.curvature.eigenvalues import hessian
from landscape.analysis.curvature.layers import layers
from landscape.analysis.curvature.trace import trace
from landscape.analysis.objective.model_loss import ModelLoss
from landscape.analysis.objective.objective import Objective
from landscape.analysis.operators.determinism import DeterminismWarning, determinism_warnings
from landscape.analysis.sharpness import SamSharpness, sharpness

X = torch.randn(12, 4, generator=torch.Generator().manual_seed(1))
LABELS = torch.arange(12) % 3


class AlwaysDropping(nn.Module):
    """Dropout that evaluation mode does not switch off."""

    def forward(self, x: Tensor) -> Tensor:
        return F.dropout(x, 0.5, training=True)


class BatchCentred(nn.Module):
    """Inputs less their mean over the batch."""

    def forward(self, x: Tensor) -> Tensor:
        return x - x.mean(0)


def objective(*layers: nn.Module) -> Objective:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(*layers, nn.Linear(4, 3))
    return Objective(model, "cross_entropy", X, LABELS, device="cpu")


def test_ordinary_dropout_and_batchnorm_are_one_function_in_evaluation_mode() -> None:
    assert determinism_warnings(make.classifier()) == ()
    assert determinism_warnings(objective(nn.Dropout(0.5), nn.BatchNorm1d(4))) == ()


def test_dropout_that_stays_on_is_warned_of_and_recorded() -> None:
    o = objective(AlwaysDropping())
    before = torch.random.get_rng_state()
    assert [message.split(" (")[0] for message in determinism_warnings(o)] == [
        "two passes over the same inputs give different outputs"
    ]
    assert torch.equal(torch.random.get_rng_state(), before)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = hessian(o, top=1, max_products=3)
    assert [w.category for w in caught] == [DeterminismWarning]
    assert found.attributes["warnings"] == list(determinism_warnings(o))


@pytest.mark.parametrize(
    "measure",
    [
        lambda o: trace(o, products=6),
        lambda o: density(o, vectors=1, steps=2),
        lambda o: layers(o, max_products=3, trace_products=6),
    ],
)
def test_every_measurement_of_curvature_warns(measure: Callable[[Objective], object]) -> None:
    with pytest.warns(DeterminismWarning, match="two passes"):
        measure(objective(AlwaysDropping()))


@pytest.mark.parametrize("layer", [BatchCentred, lambda: nn.BatchNorm1d(4, track_running_stats=False)])
def test_statistics_of_the_batch_are_warned_of(layer: type[nn.Module]) -> None:
    found = determinism_warnings(objective(layer()))
    assert len(found) == 1
    assert "depends on the others in its batch" in found[0]


def test_statistics_of_the_batch_that_were_asked_for_are_not_warned_of() -> None:
    model = nn.Sequential(nn.BatchNorm1d(4), nn.Linear(4, 3))
    assert determinism_warnings(Objective(model, "cross_entropy", X, LABELS, batchnorm="batch", device="cpu")) == ()
    model.insert(0, AlwaysDropping())
    assert len(determinism_warnings(Objective(model, "cross_entropy", X, LABELS, batchnorm="batch", device="cpu"))) == 1


def test_one_example_has_no_halves() -> None:
    o = Objective(nn.Linear(4, 3), "cross_entropy", X[:1], LABELS[:1], device="cpu")
    assert determinism_warnings(o) == ()


def test_a_scalar_loss_that_is_no_mean_of_its_parts_is_warned_of() -> None:
    weight = torch.tensor([1.0, 3.0, 9.0])

    def weighted(outputs: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(outputs, targets, weight)

    def summed(outputs: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(outputs, targets, reduction="sum")

    def mean(outputs: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(outputs, targets)

    def pair(outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        return F.cross_entropy(outputs, targets, weight, reduction="sum"), weight[targets].sum()

    def contrastive(model: nn.Module, x: Tensor) -> Tensor:
        z = model(x)
        return F.cross_entropy(z @ z.T, torch.arange(len(z)))

    for loss, warned in ((weighted, True), (summed, True), (mean, False), (pair, False)):
        o = Objective(nn.Linear(4, 3), loss, X, LABELS, device="cpu")
        assert [("depends on batch_size" in message) for message in determinism_warnings(o)] == [True] * warned
    o = Objective(nn.Linear(4, 3), ModelLoss(contrastive), X, device="cpu")
    with pytest.warns(DeterminismWarning, match="depends on batch_size"):
        found = sharpness(o, [SamSharpness()])
    assert found.attributes["warnings"] == list(determinism_warnings(o))
