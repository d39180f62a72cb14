"""Stochastic Lanczos quadrature against moments and spectra of dense float64 matrices."""

import numpy as np
import pytest
import torch
from cases import curvature_problem as make

from landscape.analysis.curvature import density as module
from landscape.analysis.curvature.density import density
from landscape.errors import LandscapeError
from landscape.results import DensityResult, Floats

SPECTRUM = [9.0, 4, 2, 1, 0.5, 0, -0.5, -3]


def gaussian(t: Floats, centre: float, sigma: float) -> Floats:
    return np.exp(-0.5 * ((t - centre) / sigma) ** 2) / (sigma * np.sqrt(2 * np.pi))


def integral(found: DensityResult) -> float:
    return float(np.trapezoid(found.density, found.eigenvalue))


def start(n: int, seed: int) -> torch.Tensor:
    v = torch.randn(n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return v / v.norm()


@pytest.mark.parametrize("operator", ["hessian", "ggn", "fisher"])
def test_quadrature_is_exact_to_the_degree_of_gauss(operator: str) -> None:
    """With m steps, Σ τ² θ^k = vᵀ A^k v for k up to 2m − 1 (Golub & Meurant 2010, section 6.2)."""
    A, steps = make.dense()[operator], 4
    found = density(make.classifier(), operator=operator, vectors=1, steps=steps, seed=7)
    v = start(len(A), 7)
    for k in range(2 * steps):
        exact = float(v @ torch.linalg.matrix_power(A, k) @ v)
        assert (found.weights[0] * found.nodes[0] ** k).sum() == pytest.approx(exact, rel=1e-8, abs=1e-12)
    assert found.products == steps
    assert found.attributes["operator"] == operator


def test_with_as_many_steps_as_parameters_the_nodes_are_the_eigenvalues() -> None:
    A = make.dense()["hessian"]
    found = density(make.classifier(), vectors=2, steps=99)
    exact = np.linalg.eigvalsh(A.numpy())
    assert found.nodes.shape == (2, len(A))
    different = exact[np.diff(exact, prepend=-np.inf) > 1e-9]  # a Krylov space holds one copy of a repeated 0
    for nodes, weights in zip(found.nodes, found.weights, strict=True):
        np.testing.assert_allclose(nodes[weights > 0], different, atol=1e-8 * exact[-1])
    values, vectors = np.linalg.eigh(A.numpy())
    weights = (vectors.T @ start(len(A), 0).numpy()) ** 2
    for k in (1, 2, 5):
        assert (found.weights[0] * found.nodes[0] ** k).sum() == pytest.approx((weights * values**k).sum())


@pytest.mark.parametrize("sigma", [None, 1e-4, 0.3, 50.0])
def test_the_density_integrates_to_1_whatever_its_width(sigma: float | None) -> None:
    found = density(make.quadratic(SPECTRUM), vectors=3, steps=6, sigma=sigma)
    assert integral(found) == pytest.approx(1, abs=1e-6)
    np.testing.assert_allclose(found.weights.sum(axis=1), 1, atol=1e-12)
    assert (np.diff(found.eigenvalue) > 0).all()
    assert found.sigma == (sigma or 0.09)  # a hundredth of the largest, to one digit
    assert found.attributes["sigma_chosen"] == (sigma is None)
    t = found.eigenvalue
    mean = sum(
        w * gaussian(t, node, found.sigma) / 3 for n, ws in zip(found.nodes, found.weights, strict=True)
        for node, w in zip(n, ws, strict=True)
    )  # fmt: skip
    np.testing.assert_allclose(found.density, mean, rtol=1e-9, atol=1e-300)


def test_over_many_vectors_it_is_the_smeared_spectrum_within_its_standard_error() -> None:
    found = density(make.quadratic(SPECTRUM), vectors=150, steps=8, sigma=0.5, seed=1)
    t = found.eigenvalue
    exact = np.mean([gaussian(t, value, 0.5) for value in SPECTRUM], axis=0)
    seen = exact > 1e-3
    z = (found.density[seen] - exact[seen]) / found.stderr[seen]
    assert np.abs(z).max() < 4
    assert np.sqrt((z**2).mean()) > 0.2  # nor is the error overstated


def test_an_exhausted_space_is_filled_up_with_weights_of_zero() -> None:
    found = density(make.quadratic([4.0, 4, 4, 1, 1, 0]), vectors=2, steps=6)
    assert found.products == 6  # 3 different eigenvalues, twice
    np.testing.assert_allclose(found.nodes[:, :3], [[0, 1, 4]] * 2, atol=1e-9)
    assert (found.weights[:, 3:] == 0).all()
    assert integral(found) == pytest.approx(1, abs=1e-6)


def test_one_vector_has_no_standard_error_and_a_zero_matrix_a_density() -> None:
    found = density(make.quadratic([0.0, 0.0]), vectors=1)
    assert np.isnan(found.stderr).all()
    assert found.sigma == 1
    assert integral(found) == pytest.approx(1, abs=1e-6)


def test_seeds_and_progress() -> None:
    seen: list[int] = []
    options = {"vectors": 2, "steps": 3}
    first = density(make.quadratic(SPECTRUM), on_product=lambda: seen.append(1), **options)
    again, other = (density(make.quadratic(SPECTRUM), seed=seed, **options) for seed in (0, 1))
    assert len(seen) == first.products == 6
    assert (first.density == again.density).all()
    assert (first.nodes != other.nodes).any()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"vectors": 0}, "got 0 vectors and 60 steps; expected at least 1 of each"),
        ({"steps": 0}, "expected at least 1 of each"),
        ({"sigma": 0.0}, "got a width of 0.0; expected a positive number"),
        ({"sigma": float("inf")}, "expected a positive number"),
        ({"operator": "newton"}, "unknown operator 'newton'"),
    ],
)
def test_what_does_not_fit_is_refused(options: dict, message: str) -> None:
    with pytest.raises(LandscapeError, match=message):
        density(make.quadratic(SPECTRUM), **options)


def test_more_vectors_than_memory_holds_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_BASIS_BYTES", 4 * 8 * 5)
    with pytest.raises(LandscapeError, match="give at most 5 steps"):
        density(make.quadratic(SPECTRUM), steps=6)
