"""Keskar's maximum over a box against closed forms."""

import itertools
import math

import numpy as np
import pytest
import torch
from cases.manifolds import dense
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from landscape.analysis.objective.objective import Objective
from landscape.analysis.sharpness import KeskarSharpness
from landscape.analysis.sharpness.keskar import _percent
from landscape.analysis.sharpness.solvers.lbfgsb import BoxMaximum, box_half_widths, maximize_in_box
from landscape.analysis.sharpness.solvers.random_subspace import RandomManifold
from landscape.errors import LandscapeError
from landscape.results import Floats


def test_half_widths_and_percent_are_the_paper_s() -> None:
    np.testing.assert_allclose(
        box_half_widths(np.array([-3.0, 0.0, 0.5], dtype=np.float32), 1e-3), [4e-3, 1e-3, 1.5e-3]
    )
    found = BoxMaximum(value=2.3, base=0.25, evaluations=1, starts=(2.3,), point=np.zeros(1))
    assert _percent(found.value, found.base) == pytest.approx(100 * (2.3 - 0.25) / 1.25)


class Bowl(nn.Module):
    """½ Σ λ w² + bᵀw + c."""

    def __init__(self, curvature: Tensor, b: Tensor, w: Tensor) -> None:
        super().__init__()
        self.curvature, self.b = nn.Buffer(curvature), nn.Buffer(b)
        self.first, self.second = nn.Parameter(w[:2].clone()), nn.Parameter(w[2:].clone().view(2, -1))

    def forward(self, x: Tensor) -> Tensor:
        w = torch.cat([self.first, self.second.flatten()])
        return (0.5 * self.curvature @ w.square() + self.b @ w + 1).expand(len(x))


@pytest.mark.parametrize("epsilon", [1e-3, 5e-4])
def test_the_measure_of_a_model_is_the_closed_form(epsilon: float) -> None:
    w = torch.tensor([1.0, -2, 0.5, 0, 3, -0.25], dtype=torch.float64)
    curvature, b = torch.tensor([2.0, 1, 0, 4, 1, 3]).double(), torch.tensor([0.3, -0.1, 1, 0.5, 0, -0.2]).double()
    found = Objective(
        Bowl(curvature, b, w), lambda o, _: o, torch.ones(3, 1), torch.zeros(3), device="cpu", precision="float64"
    )
    measure = KeskarSharpness(epsilon).measure(found)
    f = (0.5 * curvature @ w**2 + b @ w + 1).item()
    g, r = curvature * w + b, epsilon * (w.abs() + 1)
    rise = (g.abs() @ r + 0.5 * curvature @ r**2).item()
    assert measure.value == pytest.approx(100 * rise / (1 + f), rel=1e-6)
    assert math.isnan(measure.stderr)
    assert "lower bound" in measure.meaning
    assert measure.parameters["epsilon"] == epsilon
    assert measure.parameters["columns"] is None
    assert measure.diagnostics["loss"] == pytest.approx(f)
    assert max(measure.diagnostics["starts"]) == measure.value
    assert measure.evaluations > 2


@given(seed=st.integers(0, 10_000), first=st.integers(0, 3), more=st.integers(1, 4))
@settings(max_examples=25, deadline=None)
def test_it_never_falls_with_restarts(seed: int, first: int, more: int) -> None:
    generator = np.random.default_rng(seed)
    a, b = generator.standard_normal((5, 5)), generator.standard_normal(5)

    def bumpy(z: Floats) -> tuple[float, Floats]:
        return float(np.sin(4 * a @ z).sum() + b @ z), a.T @ (4 * np.cos(4 * a @ z)) + b

    few, many = (maximize_in_box(bumpy, np.ones(5), restarts=n, seed=seed) for n in (first, first + more))
    assert many.value >= few.value
    assert many.starts[: first + 1] == few.starts


@pytest.mark.parametrize("epsilon", [1e-3, 0.5])
def test_the_measure_on_a_manifold_against_all_vertices(epsilon: float) -> None:
    """The loss is convex, so its maximum over the box is at one of 2^p vertices: all of them are tried."""
    w = torch.tensor([1.0, -2, 0.5, 0, 3, -0.25], dtype=torch.float64)
    curvature, b = torch.tensor([2.0, 1, 0, 4, 1, 3]).double(), torch.tensor([0.3, -0.1, 1, 0.5, 0, -0.2]).double()
    bowl = Bowl(curvature, b, w)
    found = Objective(bowl, lambda o, _: o, torch.ones(3, 1), torch.zeros(3), device="cpu", precision="float64")
    a = dense(RandomManifold(6, 4, seed=9))
    r = epsilon * (np.abs(np.linalg.pinv(a) @ w.numpy()) + 1)

    def loss(z: Floats) -> float:
        x = w.numpy() + a @ z
        return float(0.5 * curvature.numpy() @ x**2 + b.numpy() @ x + 1)

    highest = max(loss(r * np.array(signs)) for signs in itertools.product((-1, 1), repeat=4))
    exact = 100 * (highest - loss(np.zeros(4))) / (1 + loss(np.zeros(4)))
    few, many = (KeskarSharpness(epsilon, "manifold", n, columns=4).measure(found, seed=9) for n in (0, 8))
    assert few.value <= many.value <= exact * (1 + 1e-9)
    assert many.value == pytest.approx(exact, rel=0.01)
    assert "random manifold" in many.label
    assert many.parameters["columns"] == 4


def test_another_space_is_refused() -> None:
    with pytest.raises(LandscapeError, match="full or manifold"):
        KeskarSharpness(space="half")  # type: ignore[arg-type]
