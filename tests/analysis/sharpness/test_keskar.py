"""Keskar's maximum over a box against closed forms."""

import itertools
import math
from typing import Any

import numpy as np
import pytest
import scipy.optimize
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from landscape.analysis.objective.objective import Objective
from landscape.analysis.sharpness import KeskarSharpness
from landscape.analysis.sharpness.keskar import _percent
from landscape.analysis.sharpness.solvers.lbfgsb import ITERATIONS, BoxMaximum, box_half_widths, maximize_in_box
from landscape.analysis.sharpness.solvers.random_subspace import RandomManifold
from landscape.errors import LandscapeError
from landscape.results import Floats


class Convex:
    """f(z) = c + bᵀz + ½ Σ λ z², with its maximum over the box |z| ≤ r: c + Σ (|b| r + ½ λ r²) at a vertex."""

    def __init__(self, b: Floats, curvature: Floats, r: Floats, c: float = 1.0) -> None:
        self.b, self.curvature, self.r, self.c = b, curvature, r, c
        self.calls = 0

    def __call__(self, z: Floats) -> tuple[float, Floats]:
        assert (np.abs(z) <= self.r * (1 + 1e-12)).all()  # never outside the box
        self.calls += 1
        value = self.c + self.b @ z + 0.5 * self.curvature @ z**2
        return float(value), self.b + self.curvature * z

    @property
    def rise(self) -> float:
        return float(np.abs(self.b) @ self.r + 0.5 * self.curvature @ self.r**2)


def convex(seed: int, p: int = 40, *, gradient: float = 1.0, curvature: float = 1.0) -> Convex:
    generator = np.random.default_rng(seed)
    r = 1e-3 * (np.abs(generator.standard_normal(p)) + 1)
    return Convex(gradient * generator.standard_normal(p), curvature * generator.uniform(0, 5, p), r)


@given(seed=st.integers(0, 10_000), p=st.integers(1, 60), exponent=st.floats(-8, 4), c=st.floats(-10, 10))
@settings(max_examples=60, deadline=None)
def test_within_one_percent_where_the_gradient_rules_the_box(seed: int, p: int, exponent: float, c: float) -> None:
    """With |b| ≥ λ r the gradient keeps its sign: the vertex sign(g) is the maximum."""
    generator = np.random.default_rng(seed)
    r = generator.uniform(1e-4, 1e-2, p)
    b = 10**exponent * generator.standard_normal(p)
    f = Convex(b, generator.uniform(0, 1, p) * np.abs(b) / r, r, 0.0)
    found = maximize_in_box(f, r, restarts=0)
    assert found.value == pytest.approx(f.rise, rel=0.01)
    assert found.value <= f.rise * (1 + 1e-9)
    assert found.evaluations == f.calls
    assert f(found.point)[0] == found.value


@given(seed=st.integers(0, 10_000), gradient=st.floats(-9, 1), restarts=st.integers(0, 3))
@settings(max_examples=60, deadline=None)
def test_a_lower_bound_that_is_not_far_off_elsewhere(seed: int, gradient: float, restarts: int) -> None:
    f = convex(seed, gradient=10**gradient)
    found = maximize_in_box(f, f.r, restarts=restarts, seed=seed)
    assert 0.9 * f.rise <= found.value - f.c <= f.rise + 1e-12
    assert found.base == f.c
    assert len(found.starts) == restarts + 1
    assert found.value == max(found.base, *found.starts)


@pytest.mark.parametrize("gradient", [0.0, 1e-14, 1e-9, 1e-5])
@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_a_good_minimum_is_not_reported_as_flat(gradient: float, scale: float) -> None:
    """The default gtol stops at once where the gradient is tiny, and reports 0: a mistake in public code."""
    f = convex(0, gradient=gradient * scale, curvature=scale)
    found = maximize_in_box(f, f.r, restarts=2)
    assert found.value - f.c == pytest.approx(f.rise, rel=0.05)


def test_more_restarts_never_lower_the_maximum_and_leave_the_first_alone() -> None:
    def rippled(z: Floats) -> tuple[float, Floats]:  # many local maxima
        return float(np.sin(9 * z).sum() + 0.1 * z.sum()), 9 * np.cos(9 * z) + 0.1

    few, many = (maximize_in_box(rippled, np.ones(5), restarts=n, seed=3, iterations=3) for n in (2, 6))
    assert many.starts[:3] == few.starts
    assert many.value >= few.value
    assert len(set(many.starts)) == 7
    assert maximize_in_box(rippled, np.ones(5), restarts=2, seed=4, iterations=3).starts[1:] != few.starts[1:]


def test_a_concave_maximum_inside_the_box_is_found() -> None:
    centre = np.array([0.3, -0.2, 0.05])

    def concave(z: Floats) -> tuple[float, Floats]:
        return float(2 - ((z - centre) ** 2).sum()), -2 * (z - centre)

    for half_widths in (np.ones(3), np.array([0.5, 2.0, 30.0])):
        found = maximize_in_box(concave, half_widths, iterations=30)
        assert found.value == pytest.approx(2, abs=1e-5)
        assert found.evaluations < 40


def test_the_first_start_is_the_vertex_of_the_gradient_s_signs() -> None:
    seen: list[Floats] = []
    f = convex(1)

    def watched(z: Floats) -> tuple[float, Floats]:
        seen.append(z.copy())
        return f(z)

    count = 0

    def evaluated() -> None:
        nonlocal count
        count += 1

    found = maximize_in_box(watched, f.r, restarts=1, on_evaluation=evaluated)
    assert seen[0].tolist() == [0.0] * 40
    np.testing.assert_array_equal(seen[1], np.sign(f.b) * f.r)
    assert count == len(seen) == found.evaluations


def test_the_optimizer_is_given_a_unit_box_a_true_gradient_and_no_reason_to_stop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It sees u = z / r: a unit step of the scaled function crosses the box, and neither ftol nor gtol ends it."""
    asked: list[tuple[Any, Floats, dict[str, Any]]] = []
    monkeypatch.setattr(scipy.optimize, "minimize", lambda fun, x0, **options: asked.append((fun, x0, options)))
    f = convex(3, p=6)
    maximize_in_box(f, f.r, restarts=1)
    assert len(asked) == 2
    for fun, start, options in asked:
        assert (np.abs(start) <= 1).all()
        assert (options["bounds"].lb, options["bounds"].ub) == (-1, 1)
        assert options["options"] == {"maxiter": 10, "ftol": 0.0, "gtol": 0.0}
        u, h = np.linspace(-0.5, 0.5, 6), 1e-4
        steps = h * np.eye(6)
        slope = [(fun(u + step)[0] - fun(u - step)[0]) / (2 * h) for step in steps]
        np.testing.assert_allclose(fun(u)[1], slope, rtol=1e-6)
        assert np.abs(fun(np.zeros(6))[1]).mean() == pytest.approx(2)  # the width of the box


def test_the_number_of_iterations_is_kept() -> None:
    f = convex(2)
    assert ITERATIONS == 10  # the paper's
    short, long = (maximize_in_box(f, f.r, restarts=1, iterations=n) for n in (1, 10))
    assert short.evaluations < long.evaluations <= 2 + 2 * 21  # L-BFGS-B tries at most 20 steps in an iteration
    assert short.value <= long.value


@pytest.mark.parametrize("bad", [math.inf, math.nan])
def test_a_loss_that_diverges_in_the_box_is_reported_as_it_is(bad: float) -> None:
    def wall(z: Floats) -> tuple[float, Floats]:
        return (1.0 if np.abs(z).max() < 0.5 else bad), np.ones(4)

    found = maximize_in_box(wall, np.ones(4))
    assert found.value == pytest.approx(bad, nan_ok=True)
    assert _percent(found.value, found.base) == pytest.approx(bad, nan_ok=True)


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


# ---- the random manifold


def dense(manifold: RandomManifold) -> Floats:
    return np.stack([manifold.times(column) for column in np.eye(manifold.columns)], axis=1)


@pytest.mark.parametrize(("rows", "columns"), [(50, 8), (40_000, 5), (3, 8)])
def test_the_manifold_s_products_are_those_of_its_matrix(rows: int, columns: int) -> None:
    """Over several blocks of rows, and where there are fewer parameters than columns."""
    manifold = RandomManifold(rows, columns, seed=1)
    a, generator = dense(manifold), np.random.default_rng(0)
    v, z = generator.standard_normal(rows), generator.standard_normal(columns)
    np.testing.assert_allclose(manifold.times(z), a @ z, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(manifold.transposed_times(v), a.T @ v, rtol=1e-10, atol=1e-9)
    np.testing.assert_allclose(manifold.pseudo_inverse_times(v), np.linalg.pinv(a) @ v, rtol=1e-7, atol=1e-9)


def test_the_manifold_s_entries_are_normal_and_each_column_its_own() -> None:
    a = dense(RandomManifold(20_000, 4, seed=2))
    assert np.abs(a.mean(0)).max() < 0.03
    assert np.abs(np.cov(a.T) - np.eye(4)).max() < 0.03
    np.testing.assert_array_equal(dense(RandomManifold(20_000, 2, seed=2)), a[:, :2])
    np.testing.assert_array_equal(dense(RandomManifold(17_000, 2, seed=2)), a[:17_000, :2])
    assert not (dense(RandomManifold(20_000, 1, seed=3)) == a[:, :1]).any()


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
