"""Extreme eigenpairs against matrices whose spectrum is known: what is called converged is right, place by place."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor

from landscape.analysis.linalg import basis
from landscape.analysis.linalg.eigenpairs import EigenRequest
from landscape.analysis.linalg.lanczos import FLOOR, Eigenpairs, extreme_eigenpairs
from landscape.errors import LandscapeError


def symmetric(spectrum: list[float] | np.ndarray, seed: int = 0) -> Tensor:
    """Return a symmetric matrix with this spectrum in a random basis."""
    n = len(spectrum)
    generator = torch.Generator().manual_seed(seed)
    Q = torch.linalg.qr(torch.randn(n, n, generator=generator, dtype=torch.float64))[0]
    A = (Q * torch.tensor(np.asarray(spectrum), dtype=torch.float64)) @ Q.T
    return (A + A.T) / 2


class Counted:
    """A matrix as its products, counted."""

    def __init__(self, A: Tensor) -> None:
        self.A = A
        self.count = 0

    def __call__(self, v: Tensor) -> Tensor:
        assert v.norm().item() == pytest.approx(1, abs=1e-6)
        self.count += 1
        return self.A @ v.to(self.A.dtype)


def check(A: Tensor, found: Eigenpairs, tolerance: float) -> None:
    """Check what the result claims of itself: unit vectors, true residuals, bounds that hold, flags that follow."""
    exact = np.linalg.eigvalsh(A.double().numpy())
    V = found.vectors.double()
    torch.testing.assert_close(V.norm(dim=0), torch.ones(V.shape[1], dtype=torch.float64))
    residuals = (A.double() @ V - V * found.values).norm(dim=0)
    slack = 1e-12 * max(1.0, abs(exact).max())
    torch.testing.assert_close(found.residuals, residuals, rtol=1e-3, atol=slack)
    tops = found.values[found.from_top].tolist()
    bottoms = found.values[~found.from_top].tolist()
    assert tops == sorted(tops, reverse=True)
    assert bottoms == sorted(bottoms, reverse=True)
    places = np.concatenate([exact[::-1][: len(tops)], exact[::-1][len(exact) - len(bottoms) :]])
    scales = np.maximum(found.values.abs().numpy(), FLOOR * abs(exact).max())
    for value, bound, converged, right, scale in zip(
        found.values.tolist(), found.bounds.tolist(), found.converged.tolist(), places, scales, strict=True
    ):
        assert abs(exact - value).min() <= bound + slack
        if converged:
            assert bound <= tolerance * scale * (1 + 1e-9)
            assert abs(value - right) <= bound + tolerance * scale + slack  # none more extreme was missed


def wanted(A: Tensor, top: int, bottom: int) -> np.ndarray:
    exact = np.linalg.eigvalsh(A.double().numpy())[::-1]
    return np.concatenate([exact[:top], exact[len(exact) - bottom :]])


SPECTRA: dict[str, Callable[[int], np.ndarray]] = {
    "decaying": lambda n: 10 * 0.7 ** np.arange(n),
    "uniform": lambda n: np.linspace(-1, 3, n),
    "clustered top": lambda n: np.concatenate([5 + 1e-2 * np.arange(4), np.linspace(-0.2, 0.2, n - 4)]),
    "negative end": lambda n: np.concatenate([[-8, -7.5, -3], np.linspace(-0.1, 2, n - 3)]),
    "all negative": lambda n: -np.geomspace(0.1, 10, n),
    "a network's": lambda n: np.concatenate([[30, 12, 5, 2, 1.5], 1e-3 * np.linspace(-1, 1, n - 5)]),
}


@pytest.mark.parametrize("name", SPECTRA)
@pytest.mark.parametrize(("top", "bottom"), [(1, 0), (4, 0), (0, 3), (3, 2)])
def test_both_ends_of_known_spectra(name: str, top: int, bottom: int) -> None:
    A = symmetric(SPECTRA[name](80))
    product = Counted(A)
    found = extreme_eigenpairs(product, 80, EigenRequest(top=top, bottom=bottom, tolerance=1e-3, max_products=150))
    check(A, found, 1e-3)
    assert found.products == product.count <= 150
    assert found.from_top.tolist() == [True] * top + [False] * bottom
    if name != "all negative" or not top:  # its top is a heap of eigenvalues near 0, which may be flagged
        assert found.converged.all()


def test_the_spectrum_of_a_network_takes_few_products_and_few_more_to_search_for_what_was_missed() -> None:
    outliers = 176 * 0.8 ** np.arange(12)
    spectrum = np.concatenate([outliers, np.linspace(-0.6, 1, 3000)])
    found = extreme_eigenpairs(lambda v: torch.from_numpy(spectrum) * v, len(spectrum), EigenRequest(top=5))
    assert found.converged.all()
    np.testing.assert_allclose(found.values, outliers[:5], rtol=1e-3)
    assert (found.bounds <= 1e-3 * found.values).all()
    assert found.products - found.check_products <= 17
    assert 1 <= found.check_products <= 7


@pytest.mark.parametrize("copies", [2, 3])
def test_a_krylov_space_alone_would_miss_repeated_eigenvalues(copies: int) -> None:
    A = symmetric([5.0] * copies + [3.0, 2.0] + list(np.linspace(-0.5, 0.5, 80)))
    blind = extreme_eigenpairs(lambda v: A @ v, len(A), EigenRequest(top=2), check=False)
    assert blind.values.tolist() == pytest.approx([5, 3], rel=1e-3)  # that it is called converged is the point
    found = extreme_eigenpairs(lambda v: A @ v, len(A), EigenRequest(top=copies))
    assert found.converged.all()
    assert found.values.tolist() == pytest.approx([5.0] * copies, rel=1e-3)


def test_early_in_the_iteration_a_loose_tolerance_does_not_settle_for_a_smaller_eigenvalue() -> None:
    spectrum = np.concatenate([[176, 136, 105, 95, 84, 72, 53, 48, 37, 27, 19], np.linspace(-0.5, 5, 1500)])
    for seed in range(8):
        found = extreme_eigenpairs(
            lambda v: torch.from_numpy(spectrum) * v, len(spectrum), EigenRequest(top=3, tolerance=0.05, seed=seed)
        )
        assert found.converged.all()
        np.testing.assert_allclose(found.values, [176, 136, 105], rtol=0.1)


@pytest.mark.parametrize("basis", [7, 10, 30])
def test_a_small_basis_is_restarted_without_stagnating(basis: int) -> None:
    """Thick restarts cost a few times the products of an unrestricted basis; a wrong restart never gets there."""
    A = symmetric(np.linspace(-1, 3, 200))
    free = extreme_eigenpairs(lambda v: A @ v, 200, EigenRequest(top=3, tolerance=1e-4, basis=200), check=False)
    product = Counted(A)
    found = extreme_eigenpairs(
        product, 200, EigenRequest(top=3, tolerance=1e-4, basis=basis, max_products=2000), check=False
    )
    assert basis < free.products < 200  # so that it is restarted, and the free one is not a full factorization
    assert found.converged.all()
    np.testing.assert_allclose(found.values, wanted(A, 3, 0), atol=1e-3)
    assert free.products <= found.products == product.count < 8 * free.products


def test_both_ends_survive_a_restart() -> None:
    A = symmetric(np.concatenate([[-4, -3.5], np.linspace(-1, 1, 150), [2.5, 3]]))
    found = extreme_eigenpairs(
        lambda v: A @ v, 154, EigenRequest(top=2, bottom=2, basis=8, tolerance=1e-6, max_products=1000)
    )
    assert found.converged.all()
    check(A, found, 1e-6)
    np.testing.assert_allclose(found.values, [3, 2.5, -3.5, -4], atol=1e-5)


def test_a_warm_start_saves_products_and_ends_the_same() -> None:
    A = symmetric(SPECTRA["uniform"](150))
    cold = extreme_eigenpairs(lambda v: A @ v, 150, EigenRequest(top=3, tolerance=1e-3), check=False)
    noise = torch.randn(150, 3, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    warm = extreme_eigenpairs(
        lambda v: A @ v, 150, EigenRequest(top=3, tolerance=1e-3), check=False, start=cold.vectors + 1e-3 * noise
    )
    assert warm.products < 0.5 * cold.products
    torch.testing.assert_close(warm.values, cold.values, rtol=1e-3, atol=1e-3)


@given(
    spectrum=st.lists(st.floats(-100, 100), min_size=1, max_size=25),
    seed=st.integers(0, 1000),
    shares=st.tuples(st.floats(0, 1), st.floats(0, 1)),
    tolerance=st.sampled_from([1e-1, 1e-3, 1e-6]),
    budget=st.integers(1, 40),
    basis=st.integers(1, 30),
)
@example(spectrum=[0.0, 14.433252332208937, 0.0, 0.0], seed=19, shares=(0.0, 0.5), tolerance=0.1, budget=5, basis=1)
@settings(max_examples=100, deadline=None)
def test_a_claim_is_never_wrong(
    spectrum: list[float], seed: int, shares: tuple[float, float], tolerance: float, budget: int, basis: int
) -> None:
    n = len(spectrum)
    top = round(shares[0] * n)
    bottom = max(round(shares[1] * (n - top)), 1 - top)
    A = symmetric(spectrum, seed)
    product = Counted(A)
    found = extreme_eigenpairs(
        product,
        n,
        EigenRequest(top=top, bottom=bottom, tolerance=tolerance, max_products=budget, basis=basis, seed=seed),
    )
    assert len(found.values) == top + bottom
    assert found.products == product.count
    check(A, found, tolerance)


@given(seed=st.integers(0, 10_000), n=st.integers(5, 40), k=st.integers(1, 4))
@settings(max_examples=40, deadline=None)
def test_with_healthy_gaps_they_are_the_extreme_ones(seed: int, n: int, k: int) -> None:
    generator = np.random.default_rng(seed)
    spectrum = np.cumsum(generator.uniform(0.5, 2.0, n)) - n / 2
    A = symmetric(spectrum, seed)
    found = extreme_eigenpairs(
        lambda v: A @ v, n, EigenRequest(top=k, bottom=1, tolerance=1e-4, max_products=10 * n, seed=seed)
    )
    assert found.converged.all()
    np.testing.assert_allclose(found.values, wanted(A, k, 1), atol=2e-4 * abs(spectrum).max())


def test_all_eigenvalues_of_a_small_matrix() -> None:
    A = symmetric([3.0, 1, 0, -1, -2])
    for top in range(6):
        found = extreme_eigenpairs(lambda v: A @ v, 5, EigenRequest(top=top, bottom=5 - top, tolerance=1e-10))
        check(A, found, 1e-10)
        np.testing.assert_allclose(found.values, [3, 1, 0, -1, -2], atol=1e-12)
        assert found.products == 5


def test_one_parameter() -> None:
    for value in (4.0, 0.0, -2.5):
        found = extreme_eigenpairs(lambda v, value=value: value * v, 1, EigenRequest(top=1))
        assert found.values.tolist() == [value]
        assert found.products == 1
        assert found.converged.all()


def test_repeated_eigenvalues_hold_their_bounds() -> None:
    A = symmetric([5.0] * 3 + [1.0] * 7 + [-2.0] * 2)
    found = extreme_eigenpairs(lambda v: A @ v, 12, EigenRequest(top=2, bottom=1, tolerance=1e-6))
    check(A, found, 1e-6)
    assert found.values[0] == pytest.approx(5)
    assert found.values[-1] == pytest.approx(-2)


@pytest.mark.parametrize("value", [0.0, 1.0, -3.0])
def test_a_multiple_of_the_identity_exhausts_its_krylov_space_at_once(value: float) -> None:
    found = extreme_eigenpairs(lambda v: value * v, 50, EigenRequest(top=3, bottom=1, tolerance=1e-8))
    assert found.values.tolist() == pytest.approx([value] * 4)
    assert found.converged.all()
    assert found.products == 6  # one of them for a fourth at the top, one to look for more
    V = found.vectors.double()
    torch.testing.assert_close(V.T @ V, torch.eye(4, dtype=torch.float64))


def test_the_budget_is_kept_and_what_it_did_not_suffice_for_is_flagged() -> None:
    A = symmetric(np.linspace(0, 1, 300))
    product = Counted(A)
    found = extreme_eigenpairs(product, 300, EigenRequest(top=3, tolerance=1e-8, max_products=9))
    assert found.products == product.count == 9
    assert not found.converged.any()
    check(A, found, 1e-8)


def test_the_budget_does_not_cut_off_pairs_asked_for() -> None:
    A = symmetric(np.linspace(0, 1, 50))
    found = extreme_eigenpairs(lambda v: A @ v, 50, EigenRequest(top=6, bottom=2, max_products=1))
    assert len(found.values) == found.products == 8


def test_a_basis_in_float32_still_reports_true_residuals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(basis, "DOUBLE_BASIS_BYTES", 0)
    A = symmetric(SPECTRA["a network's"](100))
    found = extreme_eigenpairs(Counted(A), 100, EigenRequest(top=3, tolerance=1e-4))
    assert found.vectors.dtype == torch.float32
    assert found.converged.all()
    np.testing.assert_allclose(found.values, [30, 12, 5], rtol=1e-4)
    V = found.vectors.double()
    torch.testing.assert_close(found.residuals, (A @ V - V * found.values).norm(dim=0), rtol=0.1, atol=1e-4)


def test_progress_is_reported_after_each_product() -> None:
    A, seen = symmetric(np.linspace(-1, 3, 60)), []
    found = extreme_eigenpairs(
        lambda v: A @ v,
        60,
        EigenRequest(top=2, tolerance=1e-3),
        on_product=lambda count, relative: seen.append((count, relative)),
    )
    assert [count for count, _ in seen] == list(range(1, found.products + 1))
    assert found.check_products > 0
    assert (seen[-1][1] <= 1).all()
    assert not (seen[2][1] <= 1).all()
    torch.testing.assert_close(seen[-1][1][:2], found.bounds / (1e-3 * found.values), rtol=1e-6, atol=0)


def test_a_seed_gives_the_same_bits() -> None:
    A = symmetric(np.linspace(-1, 3, 40))
    first, second, other = (
        extreme_eigenpairs(lambda v: A @ v, 40, EigenRequest(top=2, seed=s, tolerance=0.1)) for s in (1, 1, 2)
    )
    assert torch.equal(first.values, second.values)
    assert torch.equal(first.vectors, second.vectors)
    assert not torch.equal(first.vectors, other.vectors)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_product_that_is_not_finite_is_an_error(bad: float) -> None:
    def product(v: Tensor) -> Tensor:
        w = v.clone()
        w[3] = bad
        return w

    with pytest.raises(LandscapeError, match="NaN or inf"):
        extreme_eigenpairs(product, 10, EigenRequest(top=1))


@pytest.mark.parametrize(("top", "bottom"), [(0, 0), (11, 0), (6, 5), (-1, 3), (3, -1)])
def test_counts_that_do_not_fit_are_refused(top: int, bottom: int) -> None:
    with pytest.raises(LandscapeError, match="expected 1 to 10 together"):
        extreme_eigenpairs(lambda v: v, 10, EigenRequest(top=top, bottom=bottom))


def test_too_large_a_basis_is_refused_before_memory_runs_out() -> None:
    with pytest.raises(LandscapeError, match="need more than 4 GB; ask for fewer"):
        extreme_eigenpairs(lambda v: v, 100_000_000, EigenRequest(top=10))


@pytest.mark.parametrize("end", [1, -1])
def test_the_last_value_asked_for_is_not_biased(end: int) -> None:
    errors = []
    for seed in range(10):
        generator = np.random.default_rng(seed)
        exact = end * np.sort(10 / np.arange(1.0, 121))[::-1]
        q = np.linalg.qr(generator.normal(size=(120, 120)))[0]
        A = torch.from_numpy((q * exact) @ q.T)
        count = {"top": 4, "bottom": 0} if end > 0 else {"top": 0, "bottom": 4}
        found = extreme_eigenpairs(A.matmul, 120, EigenRequest(**count, seed=seed))  # type: ignore[arg-type]
        assert found.converged.all()
        values = found.values.numpy() if end > 0 else found.values.numpy()[::-1]
        assert (np.abs(values - exact[:4]) <= found.bounds.numpy()[::end] + 1e-12).all()
        errors.append((values[3] - exact[3]) / exact[3])
    assert abs(np.mean(errors)) < 3e-5  # 2e-4 for the last one computed, at a tolerance of 1e-3
