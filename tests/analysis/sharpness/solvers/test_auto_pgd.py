"""Auto-PGD against its algorithm written plainly, and against exact maxima."""

import math
from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.optimize
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from landscape.analysis.sharpness import WorstCaseSharpness
from landscape.analysis.sharpness.solvers.auto_pgd import auto_pgd, checkpoints
from landscape.errors import LandscapeError

Function = Callable[[np.ndarray], tuple[float, np.ndarray]]


def reference(
    f: Function, start: np.ndarray, radius: float, p: float, n: int, looks: list[int]
) -> tuple[list[np.ndarray], set[int]]:
    """Return every iterate of Algorithm 1 of arXiv:2003.01690, line by line, and the iterations that halved η."""

    def project(u: np.ndarray) -> np.ndarray:
        if p == math.inf:
            return np.clip(u, -radius, radius)
        return u * min(1.0, radius / max(np.linalg.norm(u), 1e-300))

    def ascent(u: np.ndarray) -> np.ndarray:
        g = f(u)[1]
        return np.sign(g) if p == math.inf else g / np.linalg.norm(g)

    w = [0, *looks]
    eta = {0: 2 * radius}  # η of every iteration
    halved: set[int] = set()
    x = [start, project(start + eta[0] * ascent(start))]
    best = [start]  # x_max of the first k iterates
    best.append(max(x, key=lambda u: f(u)[0]))
    for k in range(1, n):
        eta[k] = eta[k - 1] if k - 1 not in halved else eta[k - 1] / 2
        z = project(x[k] + eta[k] * ascent(x[k]))
        new = project(x[k] + 0.75 * (z - x[k]) + 0.25 * (x[k] - x[k - 1]))
        best_now = new if f(new)[0] > f(best[k])[0] else best[k]
        if k in looks:
            j = w.index(k)
            raised = sum(f(x[i + 1])[0] > f(x[i])[0] for i in range(w[j - 1], w[j]))
            condition_1 = raised < 0.75 * (w[j] - w[j - 1])
            condition_2 = eta[w[j - 1]] == eta[w[j]] and f(best[w[j - 1]])[0] == f(best[w[j]])[0]
            if condition_1 or condition_2:
                halved.add(k)
                new = best_now
        x.append(new)
        best.append(best_now)
    return x, halved


def bumpy(seed: int, size: int = 4) -> Function:
    """Return a function with many maxima."""
    generator = np.random.default_rng(seed)
    a, b = generator.standard_normal((size, size)), generator.standard_normal(size)

    def f(u: np.ndarray) -> tuple[float, np.ndarray]:
        return float(np.sin(3 * a @ u).sum() + b @ u), a.T @ (3 * np.cos(3 * a @ u)) + b

    return f


@given(seed=st.integers(0, 10_000), p=st.sampled_from([2.0, math.inf]), n=st.sampled_from([1, 5, 20, 40]))
@settings(max_examples=60, deadline=None, derandomize=True)  # an order of near equals could flip
def test_auto_pgd_is_algorithm_1(seed: int, p: float, n: int) -> None:
    f, seen = bumpy(seed), []
    start = 0.3 * np.random.default_rng(seed + 1).uniform(-1, 1, 4) * (seed % 2)

    def watched(u: Tensor) -> tuple[float, Tensor]:
        seen.append(u.numpy().copy())
        value, gradient = f(u.numpy())
        return value, torch.from_numpy(gradient)

    found = auto_pgd(watched, torch.from_numpy(start), 1.0, p=p, steps=n)
    expected, halved = reference(f, start, 1.0, p, n, checkpoints(n))
    evaluated = [u for k, u in enumerate(expected) if k - 1 not in halved]  # a return to x_max is no evaluation
    kept = [u for k, u in enumerate(seen) if k - 1 not in halved]
    np.testing.assert_allclose(np.array(kept), np.array(evaluated), atol=1e-5)  # rounding grows along a bumpy path
    assert len(seen) == found.evaluations == n + 1
    assert found.value == max(f(u)[0] for u in seen)
    assert f(found.point.numpy())[0] == found.value


def test_the_step_is_halved_where_it_should_be() -> None:
    """That the reference halves at all on these functions, else it would show nothing of the conditions."""
    counts = [len(reference(bumpy(seed), np.zeros(4), 1.0, 2.0, 40, checkpoints(40))[1]) for seed in range(10)]
    assert max(counts) >= 3


def test_checkpoints_are_those_of_the_paper() -> None:
    assert checkpoints(100) == [22, 41, 57, 70, 80, 87, 93, 99]
    assert checkpoints(20) == [5, 9, 12, 14, 16, 18, 19, 20]


@given(seed=st.integers(0, 10_000), size=st.integers(1, 20), radius=st.floats(1e-3, 10))
@settings(max_examples=60, deadline=None)
def test_the_maximum_over_a_box_where_the_gradient_keeps_its_signs(seed: int, size: int, radius: float) -> None:
    generator = np.random.default_rng(seed)
    b = torch.from_numpy(generator.standard_normal(size))
    curvature = torch.from_numpy(generator.uniform(0, 1, size)) * b.abs() / radius
    found = auto_pgd(lambda u: ((b @ u + 0.5 * curvature @ u**2).item(), b + curvature * u), 0 * b, radius)
    assert found.value == pytest.approx((b.abs().sum() * radius + 0.5 * curvature.sum() * radius**2).item(), rel=1e-9)


def shares_of_the_maximum(seed: int) -> tuple[float, float]:
    """Return what 20 and 200 steps find of a convex quadratic's maximum over a ball, as shares of it.

    The maximum solves (μ − H) u = b with ‖u‖ = ρ and μ above the spectrum.
    """
    generator = np.random.default_rng(seed)
    root = generator.standard_normal((6, 6))
    h, b, radius = root @ root.T, generator.standard_normal(6), 0.5
    values, vectors = np.linalg.eigh(h)
    c, top = vectors.T @ b, float(values[-1])

    def excess(mu: float) -> float:
        return float(np.sqrt(((c / (mu - values)) ** 2).sum())) - radius

    mu = scipy.optimize.brentq(excess, top + 0.5 * abs(c[-1]) / radius, top + np.linalg.norm(c) / radius)
    exact = vectors @ (c / (mu - values))
    maximum = b @ exact + 0.5 * exact @ h @ exact
    matrix, slope = torch.from_numpy(h), torch.from_numpy(b)

    def function(u: Tensor) -> tuple[float, Tensor]:
        assert u.norm() <= radius * (1 + 1e-12)
        return (slope @ u + 0.5 * u @ matrix @ u).item(), slope + matrix @ u

    few, many = (auto_pgd(function, 0 * slope, radius, p=2.0, steps=steps) for steps in (20, 200))
    return few.value / maximum, many.value / maximum


@given(seed=st.integers(0, 10_000))
@settings(max_examples=30, deadline=None)
def test_it_is_a_lower_bound_of_the_maximum_over_a_ball(seed: int) -> None:
    assert max(shares_of_the_maximum(seed)) <= 1 + 1e-9


def test_and_not_far_below_it() -> None:
    few, many = np.array([shares_of_the_maximum(seed) for seed in range(30)]).T
    assert np.median(few) > 0.99
    assert np.median(many) > 0.9999
    assert few.min() > 0.8


@pytest.mark.parametrize("bad", [math.inf, math.nan])
def test_a_loss_that_diverges_in_the_ball_ends_the_search_as_it_is(bad: float) -> None:
    def wall(u: Tensor) -> tuple[float, Tensor]:
        return (0.0 if u.abs().max() < 0.5 else bad), torch.ones_like(u)

    found = auto_pgd(wall, torch.zeros(3), 1.0)
    assert found.value == pytest.approx(bad, nan_ok=True)
    assert found.evaluations == 2


def test_other_norms_are_refused() -> None:
    with pytest.raises(LandscapeError, match="2 or inf"):
        auto_pgd(lambda u: (0.0, u), torch.zeros(2), 1.0, p=3.0)
    with pytest.raises(LandscapeError, match="2 or inf"):
        WorstCaseSharpness(p=3.0)
    with pytest.raises(LandscapeError, match="1 ≤ m ≤ examples"):
        WorstCaseSharpness(m=10, examples=5)


def test_random_starts_in_a_box_are_uniform() -> None:
    large = SimpleNamespace(origin={"w": torch.ones(20_000, dtype=torch.float64)})
    start = WorstCaseSharpness(1.0).random_start(large, torch.ones(20_000).double(), 0, 0, 1)  # type: ignore[arg-type]
    assert np.abs(np.histogram(start.numpy(), 10, (-1, 1))[0] / 2000 - 1).max() < 0.1
