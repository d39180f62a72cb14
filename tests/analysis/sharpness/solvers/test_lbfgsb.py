"""Maxima over a box by L-BFGS-B against closed forms."""

import math
from typing import Any

import numpy as np
import pytest
import scipy.optimize
from hypothesis import given, settings
from hypothesis import strategies as st

from landscape.analysis.sharpness.keskar import _percent
from landscape.analysis.sharpness.solvers.lbfgsb import ITERATIONS, maximize_in_box
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
