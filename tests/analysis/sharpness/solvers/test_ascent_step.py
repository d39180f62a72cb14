"""SAM's and ASAM's perturbations against their formulas, and as what they are for: the steepest in a norm."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from landscape.analysis.sharpness.solvers.ascent_step import asam_perturbation, sam_perturbation
from landscape.errors import LandscapeError

GRADIENT = {"a.weight": torch.tensor([[0.3, -2.0], [0.0, 1e-3]]).double(), "a.bias": torch.tensor([-0.7]).double()}
WEIGHTS = {"a.weight": torch.tensor([[1.0, -0.5], [3.0, 0.0]]).double(), "a.bias": torch.tensor([-2.0]).double()}

NORMS = st.one_of(st.floats(1.05, 30), st.just(math.inf))
VECTORS = st.lists(st.floats(-10, 10).filter(lambda x: x == 0 or abs(x) > 1e-3), min_size=1, max_size=6)


def flat(tensors: dict[str, Tensor]) -> np.ndarray:
    return torch.cat([t.flatten() for t in tensors.values()]).numpy()


def dual(p: float) -> float:
    return 1.0 if math.isinf(p) else p / (p - 1)


@pytest.mark.parametrize("p", [1.25, 1.5, 2.0, 3.0, 10.0, math.inf])
def test_sam_is_equation_2(p: float) -> None:
    g, q = flat(GRADIENT), dual(p)
    expected = 0.05 * np.sign(g) * np.abs(g) ** (q - 1) / (np.abs(g) ** q).sum() ** (1 / p)
    np.testing.assert_allclose(flat(sam_perturbation(GRADIENT, 0.05, p)), expected, rtol=1e-12)


@given(vector=VECTORS, p=NORMS, exponent=st.integers(-120, 120))
@settings(max_examples=100, deadline=None)
def test_no_perturbation_of_that_norm_rises_faster(vector: list[float], p: float, exponent: int) -> None:
    """Hölder's equality, ‖ε̂‖_p = ρ and gᵀε̂ = ρ ‖g‖_q, however large or small g is."""
    g = torch.tensor(vector).double()
    step = sam_perturbation({"w": g * 10.0**exponent}, 0.3, p)["w"]
    if not g.any():
        assert not step.any()
        return
    assert np.linalg.norm(step.numpy(), p) == pytest.approx(0.3, rel=1e-9)
    assert (g @ step).item() == pytest.approx(0.3 * np.linalg.norm(g.numpy(), dual(p)), rel=1e-9)


@pytest.mark.parametrize("scope", ["all", "weights-only"])
def test_asam_is_the_formula_of_its_paper(scope: str) -> None:
    g = flat(GRADIENT)
    t = np.abs(flat(WEIGHTS)) + 0.01
    if scope == "weights-only":
        t[-1] = 1
    round_, square = (
        flat(asam_perturbation(GRADIENT, WEIGHTS, 0.5, p, eta=0.01, scope=scope))  # type: ignore[arg-type]
        for p in (2.0, math.inf)
    )
    np.testing.assert_allclose(round_, 0.5 * t**2 * g / np.linalg.norm(t * g), rtol=1e-12)
    np.testing.assert_allclose(square, 0.5 * t * np.sign(g), rtol=1e-12)


@given(vector=VECTORS, p=NORMS, eta=st.floats(0.001, 1), seed=st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_asam_is_the_steepest_in_its_own_norm(vector: list[float], p: float, eta: float, seed: int) -> None:
    g = torch.tensor(vector).double()
    w = torch.randn(len(g), generator=torch.Generator().manual_seed(seed)).double()
    step = asam_perturbation({"w": g}, {"w": w}, 0.3, p, eta=eta)["w"]
    scale = w.abs() + eta
    if g.any():
        assert np.linalg.norm((step / scale).numpy(), p) == pytest.approx(0.3, rel=1e-9)
        assert (g @ step).item() == pytest.approx(0.3 * np.linalg.norm((scale * g).numpy(), dual(p)), rel=1e-9)


@pytest.mark.parametrize("p", [2.0, 3.0, math.inf])
def test_a_zero_gradient_gives_zero_not_nan(p: float) -> None:
    zero = {name: torch.zeros_like(g) for name, g in GRADIENT.items()}
    assert not flat(sam_perturbation(zero, 0.05, p)).any()
    assert not flat(asam_perturbation(zero, WEIGHTS, 0.5, p)).any()


def test_without_eta_weights_that_are_zero_do_not_move() -> None:
    step = asam_perturbation(GRADIENT, WEIGHTS, 0.5, 2.0, eta=0.0)
    assert step["a.weight"][1, 1] == 0
    assert step["a.weight"][0, 1] != 0


@pytest.mark.parametrize("p", [1.0, 0.5, -2.0, math.nan])
def test_other_norms_are_refused(p: float) -> None:
    with pytest.raises(LandscapeError, match="above 1, or inf"):
        sam_perturbation(GRADIENT, 0.05, p)
