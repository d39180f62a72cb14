"""Products summed over shards of the examples against dense float64 matrices and the operator of one process."""

from typing import Any

import numpy as np
import pytest
import torch
from cases.curvature_problem import INPUTS, LABELS, classifier, dense, network
from cases.workers import PackedWorkers
from torch import Tensor, nn

from landscape.analysis.curvature.eigenvalues import hessian
from landscape.analysis.curvature.layers import layers
from landscape.analysis.curvature.trace import trace
from landscape.analysis.objective.objective import Objective
from landscape.analysis.operators.operator import CurvatureOperator
from landscape.analysis.operators.sharding import share_products
from landscape.execution import open as open_workers


@pytest.mark.parametrize("count", [2, 3, 20])  # more workers than examples, too
@pytest.mark.parametrize("operator", ["hessian", "ggn", "fisher"])
def test_products_are_those_of_the_dense_matrix(operator: str, count: int) -> None:
    objective, matrix = classifier(), dense()[operator]
    workers = PackedWorkers(count)
    with share_products(objective, workers) as shards:
        assert shards == min(count, len(INPUTS))
        product = CurvatureOperator(objective, operator)
        identity = torch.eye(product.size, dtype=torch.float64)
        torch.testing.assert_close(product(identity), matrix, rtol=1e-10, atol=1e-12)
        torch.testing.assert_close(product(identity[0]), matrix[0], rtol=1e-10, atol=1e-12)
        assert product.num_matvecs == product.size + 1
    assert len(workers.requests) == 2 * shards
    torch.testing.assert_close(CurvatureOperator(objective, operator)(identity[1]), matrix[1], rtol=1e-10, atol=1e-12)
    assert len(workers.requests) == 2 * shards  # computed here again


def weighted(outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Return the sum of each example's loss, and its weight, which differs widely between shards."""
    weights = torch.where(targets == 0, 10.0, 0.1).double()
    return weights * nn.functional.cross_entropy(outputs, targets, reduction="none"), weights


def batch_mean(outputs: Tensor, targets: Tensor) -> Tensor:
    return nn.functional.cross_entropy(outputs, targets) + outputs.mean().square()


READY = [(INPUTS[i : i + 4], LABELS[i : i + 4]) for i in range(0, 9, 4)]  # the last one holds a single example


@pytest.mark.parametrize(
    ("loss", "data", "options"),
    [
        (weighted, (INPUTS, LABELS), {}),
        (batch_mean, READY, {}),
        ("cross_entropy", (INPUTS, LABELS), {"batchnorm": "recalibrated", "calibration_examples": 5}),
        ("cross_entropy", READY, {"batchnorm": "recalibrated", "calibration": 2 * INPUTS}),
        ("cross_entropy", (INPUTS, LABELS), {"params": "0.*,5.*", "fold": False}),
    ],
    ids=["weighted", "batch means", "recalibrated", "calibration", "some parameters"],
)
def test_any_objective_can_be_cut_into_shards(loss: Any, data: Any, options: Any) -> None:
    objective = Objective(network(), loss, {"train": data}, device="cpu", precision="float64", **options)
    product = CurvatureOperator(objective)
    vector = torch.randn(product.size, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    expected = product(vector)
    with share_products(objective, PackedWorkers(2)):
        torch.testing.assert_close(CurvatureOperator(objective)(vector), expected, rtol=1e-10, atol=1e-12)


def test_everything_built_on_products_uses_the_shards() -> None:
    objective, workers = classifier(precision="float32"), PackedWorkers(2)
    alone = hessian(objective, top=3, bottom=2), trace(objective, products=12, seed=1), layers(objective)
    with share_products(objective, workers):
        shared = hessian(objective, top=3, bottom=2), trace(objective, products=12, seed=1), layers(objective)
    exact = np.linalg.eigvalsh(dense()["hessian"].numpy())
    expected = [*exact[::-1][:3], *exact[:2]]
    bounds = shared[0].bounds
    assert (np.abs(np.sort(shared[0].eigenvalues) - np.sort(expected)) <= bounds.max() + 1e-12).all()
    np.testing.assert_allclose(shared[0].eigenvalues, alone[0].eigenvalues, atol=2 * bounds.max())
    assert shared[1].trace == pytest.approx(alone[1].trace, rel=1e-4)
    np.testing.assert_allclose(shared[2].top, alone[2].top, rtol=1e-3, atol=1e-6)
    assert shared[0].attributes["derivative_mode"] == alone[0].attributes["derivative_mode"]


def test_a_worker_keeps_the_graphs_of_living_operators_only() -> None:
    objective, workers = classifier(), PackedWorkers(2)
    with share_products(objective, workers):
        first, second = CurvatureOperator(objective), CurvatureOperator(objective, "ggn")
        v = torch.ones(first.size, dtype=torch.float64)
        first(v), second(v)
        functions = list(workers._functions.values())
        assert [len(function._operators) for function in functions] == [2, 2]
        assert functions[0]._operators[0].memory_share == 1.0
        first.release()
        second(v)
        assert [set(function._operators) for function in functions] == [{1}, {1}]
        first(v)
        assert [set(function._operators) for function in functions] == [{1, 2}, {1, 2}]


def test_one_worker_computes_as_ever() -> None:
    objective = classifier()
    with open_workers() as workers, share_products(objective, workers) as shards:
        assert shards == 1
        CurvatureOperator(objective)(torch.ones(29, dtype=torch.float64))
