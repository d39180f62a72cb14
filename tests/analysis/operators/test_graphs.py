"""Products with the Hessian and the GGN against dense float64 matrices, curvlinops and hessian_eigenthings."""

import warnings

import numpy as np
import pytest
import scipy.sparse.linalg
import torch
from cases.derivative_problem import INPUTS, LABELS, REALS, N, Power, dense, matrix, network, objective
from hessian_eigenthings import GGNOperator, HessianOperator, lanczos
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from landscape.analysis.curvature.eigenvalues import hessian
from landscape.analysis.objective.objective import Objective
from landscape.analysis.objective.precision import full_float32
from landscape.analysis.objective.weights import flatten, unflatten
from landscape.analysis.operators.derivative_mode import derivative_modes
from landscape.analysis.operators.operator import CurvatureOperator

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # torch scripts something of its own when this is imported
    from curvlinops import GGNLinearOperator, HessianLinearOperator

LOSSES = {"cross_entropy": (LABELS, F.cross_entropy, nn.CrossEntropyLoss()), "mse": (REALS, F.mse_loss, nn.MSELoss())}


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is:DeprecationWarning")  # curvlinops's use of torch
@pytest.mark.parametrize("loss", LOSSES)
def test_products_are_the_dense_matrices_and_curvlinops_s(loss: str) -> None:
    targets, function, criterion = LOSSES[loss]
    model = network()
    found = objective(model, loss, targets)
    H, G = dense(model(INPUTS), lambda outputs: function(outputs, targets), list(model.parameters()))
    batches = [(INPUTS[i : i + 5], targets[i : i + 5]) for i in range(0, N, 5)]  # it weighs batches equally
    for operator, expected, theirs in (("hessian", H, HessianLinearOperator), ("ggn", G, GGNLinearOperator)):
        A = matrix(CurvatureOperator(found, operator), found.size)
        torch.testing.assert_close(A, expected, rtol=1e-9, atol=1e-12)
        torch.testing.assert_close(A, A.T, rtol=1e-9, atol=1e-13)
        linear = theirs(model, criterion, list(model.parameters()), batches)
        torch.testing.assert_close(A, linear @ torch.eye(found.size, dtype=torch.float64), rtol=1e-8, atol=1e-11)
        assert derivative_modes(found)[operator].order == "reverse over reverse"
    assert np.linalg.eigvalsh(matrix(CurvatureOperator(found, "ggn"), found.size).numpy()).min() > -1e-12
    assert np.linalg.eigvalsh(H.detach().numpy()).min() < -1e-3  # so that the two are not the same thing


@pytest.mark.parametrize("loss", LOSSES)
def test_products_and_eigenvalues_are_hessian_eigenthings_s(loss: str) -> None:
    targets, function, _ = LOSSES[loss]
    model = network()
    found = objective(model, loss, targets)
    batches = [(INPUTS, targets)]  # it weighs batches equally
    by_them = {
        "hessian": HessianOperator(model, batches, lambda net, batch: function(net(batch[0]), batch[1])),
        "ggn": GGNOperator(
            model,
            batches,
            lambda net, batch: net(batch[0]),
            lambda outputs, batch: function(outputs, batch[1]),
        ),
    }
    v = torch.randn(found.size, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    for operator, theirs in by_them.items():
        torch.testing.assert_close(CurvatureOperator(found, operator)(v), theirs.matvec(v), rtol=1e-9, atol=1e-12)
        expected = lanczos(theirs, k=3, which="LA", tol=1e-10, max_iter=found.size, seed=0).eigenvalues
        values = hessian(found, top=3, operator=operator, tolerance=1e-8).eigenvalues
        np.testing.assert_allclose(np.sort(values), np.sort(expected.numpy()), rtol=1e-7)


def test_the_operator_for_scipy_gives_the_eigenvalues_of_the_dense_matrix() -> None:
    model = network()
    H, _ = dense(model(INPUTS), lambda outputs: F.cross_entropy(outputs, LABELS), list(model.parameters()))
    operator = CurvatureOperator(objective(model)).as_scipy()
    expected = np.linalg.eigvalsh(H.detach().numpy())
    found = scipy.sparse.linalg.eigsh(operator, k=3, which="LA", return_eigenvectors=False)
    np.testing.assert_allclose(np.sort(found), expected[-3:], rtol=1e-8)


@given(seed=st.integers(0, 2**32), operator=st.sampled_from(["hessian", "ggn"]), scale=st.floats(1e-3, 1e3))
@settings(max_examples=25, deadline=None)
def test_products_are_symmetric_and_linear(seed: int, operator: str, scale: float) -> None:
    product, n = CurvatureOperator(SHARED, operator), SHARED.size
    u, v = torch.randn(2, n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    Au, Av = product(u), product(v)
    assert (v @ Au).item() == pytest.approx((u @ Av).item(), rel=1e-9, abs=1e-12)
    torch.testing.assert_close(product(scale * u - v), scale * Au - Av, rtol=1e-9, atol=1e-11 * scale)
    if operator == "ggn":
        assert u @ Au >= -1e-12


SHARED = objective(network())


def test_derivatives_elsewhere_on_another_split_and_of_a_part_of_the_parameters() -> None:
    model = network()
    data = {"train": (INPUTS, LABELS), "test": (INPUTS[:6], LABELS[:6])}
    found = Objective(model, "cross_entropy", data, device="cpu", precision="float64", params="2.*", batch_size=4)
    weights = {name: w + 0.2 for name, w in found.origin.items()}
    moved = network()
    for parameter in moved[2].parameters():
        parameter.data += 0.2
    H, G = dense(moved(INPUTS[:6]), lambda outputs: F.cross_entropy(outputs, LABELS[:6]), list(moved[2].parameters()))
    vector = {name: torch.randn_like(w) for name, w in found.origin.items()}
    for operator, expected in (("hessian", H), ("ggn", G)):
        product = CurvatureOperator(found, operator, weights=weights, split="test")(flatten(vector))
        torch.testing.assert_close(product, expected @ flatten(vector))


def test_parameters_the_loss_does_not_depend_on_have_zero_rows() -> None:
    class Spare(nn.Module):
        def __init__(self, *, by_hand: bool) -> None:
            super().__init__()
            self.spare = nn.Parameter(torch.ones(2))
            self.body = network(Power(by_hand=by_hand))

        def forward(self, x: Tensor) -> Tensor:
            return self.body(x)

    for by_hand in (False, True):
        found = objective(Spare(by_hand=by_hand))
        assert found.gradient()[1]["spare"].tolist() == [0, 0]
        ones = torch.ones(found.size, dtype=torch.float64)
        for operator in ("hessian", "ggn"):
            product = unflatten(CurvatureOperator(found, operator)(ones), found.origin)
            assert product["spare"].tolist() == [0, 0]
            assert product["body.0.weight"].count_nonzero() > 0


def test_float32_products_are_within_rounding_of_float64() -> None:
    model = network()
    exact, low = objective(model), objective(model.float(), precision="float32")
    v = torch.randn(exact.size, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for operator in ("hessian", "ggn"):
        difference = CurvatureOperator(low, operator)(v) - CurvatureOperator(exact, operator)(v)
        assert difference.norm() < 1e-5 * CurvatureOperator(exact, operator)(v).norm()


def test_float32_is_not_rounded_to_tf32_within_a_pass_and_the_callers_choice_comes_back() -> None:
    before = torch.backends.cudnn.allow_tf32
    with full_float32():
        assert not torch.backends.cudnn.allow_tf32
    assert torch.backends.cudnn.allow_tf32 == before
