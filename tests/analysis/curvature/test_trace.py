"""Hutchinson's and Hutch++'s estimates against matrices whose trace and norm are known."""

import math

import numpy as np
import pytest
import torch
from cases import curvature_problem as make
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from landscape.analysis.curvature import trace as module
from landscape.analysis.curvature.trace import estimate_traces, trace
from landscape.errors import LandscapeError

SEEDS = 300


def symmetric(spectrum: list[float] | np.ndarray, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    Q = torch.linalg.qr(torch.randn(len(spectrum), len(spectrum), generator=generator, dtype=torch.float64))[0]
    return Q @ torch.diag(torch.as_tensor(spectrum, dtype=torch.float64)) @ Q.T


@pytest.mark.parametrize("operator", ["hessian", "ggn", "fisher"])
def test_with_as_many_products_as_parameters_they_are_the_dense_matrix_s(operator: str) -> None:
    A = make.dense()[operator]
    found = trace(make.classifier(), operator=operator)
    assert found.method == "exact"
    assert found.products == len(A)
    assert found.trace == pytest.approx(A.trace().item(), rel=1e-9)
    assert found.frobenius == pytest.approx(A.norm().item(), rel=1e-9)
    assert found.trace_stderr == found.frobenius_stderr == 0


@pytest.mark.parametrize("method", ["hutch++", "hutchinson"])
def test_of_a_network_within_its_standard_errors(method: module.Method) -> None:
    A = make.dense()["hessian"]
    calls: list[int] = []
    found = trace(make.classifier(), method=method, products=20, seed=3, on_product=lambda: calls.append(1))
    assert len(calls) == found.products == 20
    assert abs(found.trace - A.trace().item()) < 4 * found.trace_stderr
    assert abs(found.frobenius - A.norm().item()) < 4 * found.frobenius_stderr
    assert found.attributes()["trace"] == {
        "value": found.trace,
        "stderr": found.trace_stderr,
        "method": method,
        "products": 20,
    }


@pytest.mark.parametrize("method", ["hutch++", "hutchinson"])
def test_over_many_seeds_it_is_unbiased_and_its_standard_error_is_the_spread(method: module.Method) -> None:
    A = symmetric(np.concatenate([np.linspace(-2, 3, 40), [8, 12, -6]]))
    found = [estimate_traces(A.matmul, len(A), method=method, products=24, seed=seed) for seed in range(SEEDS)]
    squares = [(f.frobenius**2, 2 * f.frobenius * f.frobenius_stderr) for f in found]
    for estimates, exact in (
        ([(f.trace, f.trace_stderr) for f in found], A.trace().item()),
        (squares, A.square().sum().item()),
    ):
        values, errors = np.array(estimates).T
        assert abs(values.mean() - exact) < 4 * values.std() / math.sqrt(SEEDS)
        assert 0.75 < math.sqrt((errors**2).mean()) / values.std() < 1.3


def test_hutch_plus_plus_is_exact_on_what_its_sketch_spans() -> None:
    A = symmetric([9.0, 4, -3, 1, 0.5] + [0.0] * 55)
    found = estimate_traces(A.matmul, 60, products=18)
    assert found.trace == pytest.approx(11.5, rel=1e-10)
    assert found.frobenius == pytest.approx(math.sqrt(81 + 16 + 9 + 1 + 0.25), rel=1e-10)
    assert found.trace_stderr < 1e-10
    assert found.frobenius_stderr < 1e-10
    assert estimate_traces(A.matmul, 60, products=18, method="hutchinson").trace_stderr > 0.1


def test_where_a_few_eigenvalues_dominate_hutch_plus_plus_is_far_more_accurate() -> None:
    A = symmetric(100 * 0.8 ** np.arange(100))
    errors = {
        method: np.mean([abs(estimate_traces(A.matmul, 100, method=method, seed=s).trace - 500) for s in range(20)])
        for method in ("hutch++", "hutchinson")
    }
    assert errors["hutch++"] < 0.1 * errors["hutchinson"]


@given(n=st.integers(1, 30), products=st.integers(6, 40), seed=st.integers(0, 2**31))
@settings(max_examples=30, deadline=None)
def test_products_are_counted_and_signs_suffice_for_diagonal_matrices(n: int, products: int, seed: int) -> None:
    """zᵀDz is the trace for any signs z: Hutchinson's estimate of a diagonal matrix has no error."""
    used = 0

    def product(vectors: Tensor) -> Tensor:
        nonlocal used
        used += vectors.shape[1]
        return torch.arange(n, dtype=torch.float64)[:, None] * vectors

    found = estimate_traces(product, n, method="hutchinson", products=products, seed=seed)
    assert found.products == used == min(n, products)
    assert found.trace == pytest.approx(n * (n - 1) / 2, abs=1e-9)


def test_where_memory_is_short_fewer_vectors_are_sketched(monkeypatch: pytest.MonkeyPatch) -> None:
    A = symmetric([9.0, 4, -3, 1, 0.5] + [0.1] * 55)
    monkeypatch.setattr(module, "MAX_BASIS_BYTES", 2 * 4 * 60 * 3)
    found = [estimate_traces(A.matmul, 60, products=18, seed=seed) for seed in range(40)]
    assert {f.products for f in found} == {18}
    values = np.array([f.trace for f in found])
    assert abs(values.mean() - 17) < 4 * values.std() / math.sqrt(len(values))


def test_zero_and_the_same_bits_for_a_seed() -> None:
    zero = estimate_traces(torch.zeros_like, 50, products=12)
    assert (zero.trace, zero.frobenius, zero.frobenius_stderr) == (0, 0, 0)
    A = symmetric(np.arange(50.0))
    assert estimate_traces(A.matmul, 50, products=12, seed=5) == estimate_traces(A.matmul, 50, products=12, seed=5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "exact"}, "unknown method 'exact'; expected one of hutch\\+\\+, hutchinson"),
        ({"products": 5}, "got 5 products; expected at least 6 for hutch\\+\\+"),
        ({"products": 1, "method": "hutchinson"}, "expected at least 2 for hutchinson"),
    ],
)
def test_what_does_not_fit_is_refused(options: dict, message: str) -> None:
    with pytest.raises(LandscapeError, match=message):
        estimate_traces(lambda v: v, 100, **options)


def test_a_loss_that_diverges_is_an_error() -> None:
    with pytest.raises(LandscapeError, match="NaN or inf"):
        trace(make.quadratic([1.0, float("nan")]))
