"""Eigenvalues of Hessian, GGN and Fisher matrix against dense float64 matrices and quadratics of known spectrum."""

from typing import Any

import numpy as np
import pytest
import torch
from cases.curvature_problem import quadratic
from torch import Tensor, nn
from torch.nn import functional as F

from landscape.analysis.curvature.eigenvalues import eigenpairs, eigenvectors, hessian
from landscape.analysis.linalg.eigenpairs import EigenRequest
from landscape.analysis.objective.objective import Objective
from landscape.analysis.objective.weights import flatten
from landscape.analysis.operators.operator import CurvatureOperator
from landscape.analysis.operators.rounding import MatvecRounding, matvec_rounding_error
from landscape.errors import LandscapeError

N = 12
INPUTS = torch.randn(N, 2, 4, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
LABELS = torch.randint(0, 3, (N,), generator=torch.Generator().manual_seed(2))


def network() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(
            nn.Conv2d(2, 3, 3, bias=False), nn.BatchNorm2d(3), nn.Tanh(), nn.Flatten(), nn.Linear(12, 3)
        )
        model[1].running_var.uniform_(0.3, 2)
        model[1].weight.data.uniform_(0.5, 2)
    return model.double().eval()


def classifier(**options: Any) -> Objective:
    data = {"train": (INPUTS, LABELS), "test": (INPUTS[:5], LABELS[:5])}
    return Objective(network(), "cross_entropy", data, device="cpu", **{"precision": "float64", **options})


def dense(x: Tensor, y: Tensor) -> dict[str, Tensor]:
    """Return the matrices over all parameters of the plain network."""
    model = network()
    names, shapes = zip(*((n, p.shape) for n, p in model.named_parameters()), strict=True)
    origin = torch.cat([p.detach().flatten() for p in model.parameters()])

    def outputs(vector: Tensor) -> Tensor:
        parts = vector.split([s.numel() for s in shapes])
        weights = {n: part.view(s) for n, part, s in zip(names, parts, shapes, strict=True)}
        return torch.func.functional_call(model, weights, (x,))

    H = torch.autograd.functional.hessian(lambda v: F.cross_entropy(outputs(v), y), origin)
    J = torch.autograd.functional.jacobian(outputs, origin).flatten(0, 1)  # (N·C, n)
    p = torch.softmax(outputs(origin), 1)
    blocks = (torch.diag_embed(p) - p[:, :, None] * p[:, None, :]) / len(y)  # ∂² of cross-entropy, by hand
    slopes = torch.autograd.functional.jacobian(lambda v: F.cross_entropy(outputs(v), y, reduction="none"), origin)
    return {
        "hessian": H.detach(),
        "ggn": (J.T @ torch.block_diag(*blocks) @ J).detach(),
        "fisher": slopes.T @ slopes / len(y),
    }


def test_a_quadratic_s_spectrum() -> None:
    spectrum = [9.0, 4, 4, 1, 0.5, 0, -0.5, -3]
    found = hessian(quadratic(spectrum), top=2, bottom=2, tolerance=1e-8)
    np.testing.assert_allclose(found.eigenvalues, [9, 4, -0.5, -3], atol=1e-7)
    assert found.ends.tolist() == [1, 1, -1, -1]
    assert found.converged.all()
    assert (np.abs(found.eigenvalues - [9, 4, -0.5, -3]) <= found.bounds + 1e-14).all()
    assert (found.bounds <= found.residuals).all()


@pytest.mark.parametrize("operator", ["hessian", "ggn", "fisher"])
def test_both_ends_of_a_network_s_spectrum(operator: Any) -> None:
    bottom = 2 if operator == "hessian" else 1  # the others' 0 is repeated
    found = hessian(classifier(batch_size=5), top=4, bottom=bottom, operator=operator, tolerance=1e-6)
    exact = np.linalg.eigvalsh(dense(INPUTS, LABELS)[operator].numpy())
    assert found.converged.all()
    np.testing.assert_allclose(found.eigenvalues[:4], exact[::-1][:4], rtol=1e-5)
    np.testing.assert_allclose(found.eigenvalues[4:], exact[:bottom][::-1], atol=1e-6 * exact[-1])
    if operator == "hessian":
        assert found.eigenvalues[-1] < -1e-3  # a saddle, as at any network that is not trained
    assert found.attributes["operator"] == operator
    assert found.attributes["derivative_mode"] == "reverse over reverse"
    assert found.attributes["tolerance"] == 1e-6
    for value, bound in zip(found.eigenvalues, found.bounds, strict=True):
        assert np.abs(exact - value).min() <= bound + 1e-12 * exact[-1]


def test_float32_eigenvalues_are_certified_by_their_residuals_against_float64() -> None:
    found = hessian(classifier(precision="float32"), top=3, tolerance=1e-3)
    exact = np.linalg.eigvalsh(dense(INPUTS, LABELS)["hessian"].numpy())
    assert found.converged.all()
    for value, bound in zip(found.eigenvalues, found.bounds, strict=True):
        assert abs(exact - value).min() <= bound + 1e-6 * exact[-1]
    assert found.eigenvalues.dtype == np.float64


def test_the_bound_holds_the_rounding_error_of_float32_products() -> None:
    found = hessian(classifier(precision="float32"), top=3, tolerance=1e-3)
    rounding = found.attributes["product_error"]
    assert 0 < rounding < 1e-4 * found.eigenvalues[0]
    assert (rounding <= found.bounds).all()
    assert (found.bounds <= found.residuals + rounding).all()
    o = classifier(precision="float32")
    v = torch.from_numpy(np.random.default_rng(0).standard_normal(o.size))
    v /= v.norm()
    exact = dense(INPUTS, LABELS)["hessian"] @ v
    # of one size: it is measured on a few of the examples, and sums are not rounded in the same order twice
    assert 0.2 < matvec_rounding_error(o, v).size / float((exact - CurvatureOperator(o)(v)).norm()) < 5
    assert hessian(classifier(), top=1).attributes["product_error"] == 0


@pytest.mark.parametrize("bent", [True, False])
def test_rounding_at_relu_s_bend_counts_beyond_the_first_examples(bent: bool) -> None:
    """Where rounding decides on which side of the bend an activation falls, second derivatives jump."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(2, 6, bias=False), nn.ReLU(), nn.Linear(6, 2))
    model[0].weight.data[:, 1] = model[0].weight.data[:, 0]
    x = torch.randn(40, 2, generator=torch.Generator().manual_seed(3))
    if bent:
        x[20] = torch.tensor([1.0, -1.0])  # every unit's activation is 0 but for rounding
    o = Objective(model, "cross_entropy", x, torch.arange(40) % 2, device="cpu")
    error = matvec_rounding_error(o, torch.randn(o.size, generator=torch.Generator().manual_seed(4))).size
    assert (error > 1e-4) == bent
    assert hessian(o, top=1, tolerance=0.1).bounds[0] >= hessian(o, top=1, tolerance=0.1).attributes["product_error"]


def test_the_bottom_alone_is_held_to_the_scale_of_the_whole_spectrum() -> None:
    spectrum = [100.0, 60, 30, *np.linspace(0.01, 5, 60), *np.linspace(-0.05, -0.01, 30)]
    found = hessian(quadratic(spectrum), top=0, bottom=1, tolerance=1e-3)
    assert found.bounds[0] > 1e-3 * abs(found.eigenvalues[0])  # the eigenvalue is near 0: no relative accuracy is asked
    assert found.bounds[0] <= 1e-3 * 0.1 * 100
    assert found.converged.all()


def test_a_rounding_error_above_the_tolerance_is_not_converged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "landscape.analysis.curvature.eigenvalues.matvec_rounding_error", lambda *_: MatvecRounding(1.0, "float64")
    )
    found = hessian(quadratic([9.0, 4, 1, 0.5]), top=2, tolerance=1e-3)
    assert not found.converged.any()


def test_another_split() -> None:
    found = hessian(classifier(), top=1, split="test", tolerance=1e-6)
    exact = np.linalg.eigvalsh(dense(INPUTS[:5], LABELS[:5])["hessian"].numpy())
    assert found.eigenvalues[0] == pytest.approx(exact[-1], rel=1e-5)
    assert found.attributes["examples"] == {"test": 5}


def test_vectors_are_unit_eigenvectors_by_parameter_name_with_a_sign_of_their_own() -> None:
    o = classifier()
    spectrum, vectors = eigenvectors(o, top=2, bottom=1, vector_tolerance=1e-7)
    H = dense(INPUTS, LABELS)["hessian"]
    assert len(vectors) == 3
    for value, vector in zip(spectrum.eigenvalues, vectors, strict=True):
        assert [(name, v.shape, v.dtype) for name, v in vector.items()] == [
            (name, w.shape, w.dtype) for name, w in o.origin.items()
        ]
        v = flatten(vector)
        torch.testing.assert_close(H @ v, v * value, rtol=1e-4, atol=1e-4)
        assert v.norm().item() == pytest.approx(1)
        assert v[v.abs().argmax()] > 0
    again = eigenvectors(o, top=2, bottom=1, vector_tolerance=1e-7, seed=5)[1]
    for one, other in zip(vectors, again, strict=True):
        torch.testing.assert_close(flatten(one), flatten(other), rtol=1e-4, atol=1e-5)


def test_a_repeated_eigenvalue_is_found_as_often_as_it_is_there() -> None:
    found = hessian(quadratic([9.0, 9, 9, 4, 1, 0.5, -0.5, -3, -3]), top=4, bottom=2)
    np.testing.assert_allclose(found.eigenvalues, [9, 9, 9, 4, -3, -3], atol=1e-2)
    assert found.converged.all()


def test_a_budget_too_small_is_flagged() -> None:
    found = hessian(classifier(), top=3, tolerance=1e-10, max_products=4)
    assert found.products == 4
    assert not found.converged.any()


def test_progress() -> None:
    seen: list[int] = []
    found, _ = eigenpairs(classifier(), EigenRequest(1), on_product=lambda count, relative: seen.append(count))
    assert seen == list(range(1, found.products + 1))


@pytest.mark.parametrize(
    ("objective", "options", "message"),
    [
        (lambda: quadratic([1.0, 2.0]), {"top": 3}, "expected 1 to 2 together"),
        (lambda: quadratic([1.0, 2.0]), {"top": 0}, "expected 1 to 2 together"),
        (lambda: quadratic([1.0, float("nan")]), {"top": 1}, "NaN or inf"),
        (lambda: quadratic([1.0, 2.0]), {"top": 1, "operator": "newton"}, "unknown operator 'newton'"),
        (lambda: quadratic([1.0, 2.0]), {"top": 1, "split": "test"}, "no split 'test' in the data; it has train"),
        (lambda: classifier(batchnorm="batch"), {"top": 1}, "derivatives are of the loss in evaluation mode"),
    ],
)
def test_what_cannot_be_computed_gets_one_clear_line(objective: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(LandscapeError, match=message) as error:
        hessian(objective(), **options)
    assert "\n" not in str(error.value)
